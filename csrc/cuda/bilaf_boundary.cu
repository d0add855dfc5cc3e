#include <cmath>

#include "bilaf_classes.h"

namespace oneglance::cuda {
namespace {

using simt::lane;
using simt::thread;

SIMT_DEVICE double boundary(double power, double distance, double intra) {
  const double scale = distance > intra ? distance : intra;
  return scale > 0.0 ? simt::sub_rn(simt::mul_rn(power, distance), intra) / scale : 0.0;
}

/// What the nearest cores say about a member: its score, or, where they do not settle it, a bound below the score.
struct Listed {
  double value, bound;
  bool settled;
};
SIMT_DEVICE Listed by_near_cores(const BoundaryWork& work, const Class& mine, std::int64_t i, const double* power,
                                 std::int64_t n_classes) {
  const double intra = work.mean_distance[mine.start + i];
  double value = INFINITY, last = 0.0;
  for (std::int64_t k = 0; k < work.n_near; ++k) {
    const std::int64_t core = work.near_core[(mine.start + i) * work.n_near + k];
    if (core < 0) return {value, value, true};
    last = work.near_distance[(mine.start + i) * work.n_near + k];
    const double score = boundary(power[core], last, intra);
    value = score < value ? score : value;
  }
  const double elsewhere = boundary(1.0, last, intra);  // a farther core without penalty scores at least this
  return {value, elsewhere, work.n_near >= n_classes - 1 || value <= elsewhere};
}

/// The least score of member i against all cores of other classes, by the block; the same answer for every thread.
template <typename T>
SIMT_DEVICE double over_all_cores(const DeviceClasses& classes, const CoverArrays& a, const Class& mine, std::int64_t i,
                                  double intra, const double* power) {
  SIMT_SHARED(double, least, kHalves);
  const std::int64_t rows[1] = {mine.members[i]}, half = thread() / kHalf;
  double value = INFINITY;
  for (std::int64_t from = 0; from < classes.n_classes; from += kHalves * kTileCenters) {
    std::int64_t numbers[kTileCenters], cores[kTileCenters];
    for (int c = 0; c < kTileCenters; ++c) {
      const std::int64_t core = from + half * kTileCenters + c;
      numbers[c] = core < classes.n_classes ? core : mine.number;
      cores[c] = classes.cores[numbers[c]];
    }
    double dist2[1][kTileCenters];
    half_warp_dist2<T, double, 1, kTileCenters>(a, rows, cores, dist2);
    for (int c = 0; c < kTileCenters; ++c) {
      if (numbers[c] == mine.number) continue;
      const double score = boundary(power[numbers[c]], sqrt(dist2[0][c]), intra);
      value = score < value ? score : value;
    }
  }
  simt::sync_block();
  if (thread() % kHalf == 0) least[half] = value;
  simt::sync_block();
  for (int h = 0; h < kHalves; ++h) value = least[h] < value ? least[h] : value;
  return value;
}

/// The candidate with the lowest bound, ties to the lower position; the same for every thread.
SIMT_DEVICE std::int64_t lowest_bound(const double* least, const std::int64_t* left, std::int64_t n) {
  SIMT_SHARED(double, values, simt::kThreads / 32);
  SIMT_SHARED(std::int64_t, places, simt::kThreads / 32);
  double value = INFINITY;
  std::int64_t place = n;
  const auto take = [&](double other, std::int64_t at) {
    if (other < value || (other == value && at < place)) {
      value = other;
      place = at;
    }
  };
  for (std::int64_t i = thread(); i < n; i += simt::kThreads) {
    if (left[i] != 0) take(least[i], i);
  }
  for (int step = 16; step > 0; step /= 2) {
    const double other = simt::shuffle_xor(value, step);
    take(other, simt::shuffle_xor(place, step));
  }
  simt::sync_block();
  if (lane() == 0) {
    values[simt::warp()] = value;
    places[simt::warp()] = place;
  }
  simt::sync_block();
  for (int w = 0; w < simt::kThreads / 32; ++w) take(values[w], places[w]);
  return place;
}

/// The `count` candidates nearest to the pick leave, the pick among them.
template <typename T>
SIMT_DEVICE void remove_near(const CoverArrays& a, const Class& mine, std::int64_t pick, std::int64_t count,
                             double* distance, std::int64_t* left) {
  constexpr std::int64_t kBlockRows = kHalves * kTileRows;
  const std::int64_t picked[1] = {mine.members[pick]};
  for (std::int64_t tile = 0; tile < mine.n; tile += kBlockRows) {
    const std::int64_t first = tile + thread() / kHalf * kTileRows;
    std::int64_t rows[kTileRows];
    for (int r = 0; r < kTileRows; ++r) rows[r] = mine.members[first + r < mine.n ? first + r : mine.n - 1];
    double dist2[kTileRows][1];
    half_warp_dist2<T, double, kTileRows, 1>(a, rows, picked, dist2);
    double found[1];
    own_of(dist2, found);
    const std::int64_t own = first + lane() % kHalf;
    if (lane() % kHalf < kTileRows && own < mine.n) distance[own] = own == pick ? -1.0 : sqrt(found[0]);
  }
  simt::sync_block();
  constexpr std::int64_t kLeaves = 2;
  for (std::int64_t i = thread(); i < mine.n; i += simt::kThreads) {
    if (left[i] == 0) continue;
    std::int64_t rank = 0;
    for (std::int64_t j = 0; j < mine.n && rank < count; ++j) {
      const bool before = distance[j] < distance[i] || (distance[j] == distance[i] && j < i);
      rank += left[j] != 0 && before ? 1 : 0;
    }
    if (rank < count) left[i] = kLeaves;
  }
  simt::sync_block();
  for (std::int64_t i = thread(); i < mine.n; i += simt::kThreads) {
    if (left[i] == kLeaves) left[i] = 0;
  }
  simt::sync_block();
}

template <typename T>
SIMT_KERNEL boundary_kernel(DeviceClasses classes, BoundaryWork work) {
  const CoverArrays a = rows_of(classes);
  double* power = work.power + simt::block() * classes.n_classes;
  for (std::int64_t place = simt::block(); place < classes.n_classes; place += simt::grid_size()) {
    const Class mine = class_at(classes, place);
    const std::int64_t budget = work.budget[mine.number], drop = mine.n / budget, out = work.starts[mine.number];
    std::int64_t *left = work.left + mine.start, *exact = work.exact + mine.start;
    double *least = work.least + mine.start, *distance = work.distance + mine.start;
    for (std::int64_t i = thread(); i < classes.n_classes; i += simt::kThreads) power[i] = 1.0;
    simt::sync_block();
    for (std::int64_t i = thread(); i < mine.n; i += simt::kThreads) {
      const Listed listed = by_near_cores(work, mine, i, power, classes.n_classes);
      left[i] = 1;
      least[i] = listed.settled ? listed.value : listed.bound;
      exact[i] = listed.settled ? 1 : 0;  // for the pick after the core
    }
    simt::sync_block();
    for (std::int64_t pick = 0; pick < budget; ++pick) {
      std::int64_t chosen = position_of(mine, classes.cores[mine.number]), opponent = -1;
      double score = NAN;
      if (pick > 0) {
        chosen = lowest_bound(least, left, mine.n);
        while (exact[chosen] != pick) {
          const Listed listed = by_near_cores(work, mine, chosen, power, classes.n_classes);
          double value = listed.value;
          if (!listed.settled) {
            const double all =
                over_all_cores<T>(classes, a, mine, chosen, work.mean_distance[mine.start + chosen], power);
            value = all < value ? all : value;
          }
          simt::sync_block();  // all have seen that it was not exact
          if (thread() == 0) {
            least[chosen] = value;
            exact[chosen] = pick;
          }
          simt::sync_block();
          chosen = lowest_bound(least, left, mine.n);
        }
        score = least[chosen];
        if (work.n_near > 0) opponent = work.near_core[(mine.start + chosen) * work.n_near];
      }
      if (thread() == 0) {
        work.rows[out + pick] = mine.members[chosen];
        work.opponent[out + pick] = opponent;
        work.scores[out + pick] = score;
        if (opponent >= 0) power[opponent] *= work.penalty;
      }
      remove_near<T>(a, mine, chosen, drop, distance, left);
    }
    simt::sync_block();
  }
}

}  // namespace

void boundary_picks(const DeviceClasses& classes, const BoundaryWork& work, std::uintptr_t stream) {
  with_row_type(classes.rows.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    simt::launch("bilaf_boundary", boundary_kernel<T>, simt::Geometry{work.n_blocks, simt::kThreads, 0}, stream,
                 classes, work);
  });
}

}  // namespace oneglance::cuda
