#include "bilaf.h"

#include <cmath>

#include "cover_rows.h"

namespace oneglance::cuda {
namespace {

using simt::lane;
using simt::thread;

constexpr int kHalves = simt::kThreads / kHalf;

/// One class; positions are those among its members.
struct Class {
  std::int64_t number, start, n;
  const std::int64_t* members;
};

SIMT_DEVICE Class class_at(const DeviceClasses& classes, std::int64_t place) {
  const std::int64_t number = classes.by_size[place], start = classes.offsets[number];
  return {number, start, classes.offsets[number + 1] - start, classes.members + start};
}

SIMT_DEVICE CoverArrays rows_of(const DeviceClasses& classes) {
  CoverArrays a;
  a.rows = classes.rows;
  a.scale = classes.scale;
  return a;
}

SIMT_DEVICE std::int64_t position_of(const Class& mine, std::int64_t row) {
  std::int64_t low = 0, high = mine.n - 1;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (mine.members[middle] < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Calls use(i, j, distance) for every i of from[0 .. n_from) and j of to[0 .. n_to), j ascending for each i and by one
/// lane for each i. The whole block comes here.
template <typename T, typename Use>
SIMT_DEVICE void for_each_pair(const CoverArrays& a, const Class& mine, const std::int64_t* from, std::int64_t n_from,
                               const std::int64_t* to, std::int64_t n_to, const Use& use) {
  constexpr std::int64_t kBlockRows = kHalves * kTileRows;
  const std::int64_t half = thread() / kHalf;
  for (std::int64_t tile = 0; tile < n_from; tile += kBlockRows) {
    const std::int64_t first = tile + half * kTileRows;
    std::int64_t rows[kTileRows];
    for (int r = 0; r < kTileRows; ++r) rows[r] = mine.members[from[first + r < n_from ? first + r : n_from - 1]];
    for (std::int64_t j = 0; j < n_to; j += kTileCenters) {
      std::int64_t others[kTileCenters];
      for (int c = 0; c < kTileCenters; ++c) others[c] = mine.members[to[j + c < n_to ? j + c : n_to - 1]];
      double dist2[kTileRows][kTileCenters];
      half_warp_dist2<T, double, kTileRows, kTileCenters>(a, rows, others, dist2);
      for (int r = 0; r < kTileRows; ++r) {
        if (lane() % kHalf != r || first + r >= n_from) continue;
        for (int c = 0; c < kTileCenters; ++c) {
          if (j + c < n_to) use(first + r, j + c, sqrt(dist2[r][c]));
        }
      }
    }
  }
  simt::sync_block();
}

/// The density order of one class in work.order (positions).
template <typename T>
SIMT_DEVICE void join(const CoverArrays& a, const Class& mine, std::int64_t core, const DenoiseWork& work) {
  SIMT_SHARED(std::int64_t, n_left, 1);
  const std::int64_t n = mine.n, k = work.n_neighbors < n ? work.n_neighbors : n;
  const auto asked = static_cast<std::int64_t>(work.growth * static_cast<double>(n));
  const std::int64_t step = asked < 1 ? 1 : asked;
  std::int64_t *order = work.order + mine.start, *waiting = work.waiting + mine.start, *taken = work.kept + mine.start;
  double *nearest = work.nearest + mine.start * work.width, *density = work.density + mine.start;
  for (std::int64_t i = thread(); i < n; i += simt::kThreads) {
    if (i + 1 < n) waiting[i] = i < core ? i : i + 1;
    taken[i] = 0;
    for (std::int64_t t = 0; t < k; ++t) nearest[i * work.width + t] = INFINITY;
  }
  if (thread() == 0) order[0] = core;
  simt::sync_block();
  std::int64_t n_waiting = n - 1, n_inside = 1, n_measured = 0;
  while (n_waiting > 0) {
    const std::int64_t* fresh = order + n_measured;
    for_each_pair<T>(a, mine, waiting, n_waiting, fresh, n_inside - n_measured,
                     [&](std::int64_t i, std::int64_t, double distance) {
                       double* list = nearest + waiting[i] * work.width;
                       if (!(distance < list[k - 1])) return;
                       std::int64_t place = k - 1;
                       for (; place > 0 && list[place - 1] > distance; --place) list[place] = list[place - 1];
                       list[place] = distance;
                     });
    n_measured = n_inside;
    const std::int64_t n_near = k < n_inside ? k : n_inside, count = step < n_waiting ? step : n_waiting;
    for (std::int64_t i = thread(); i < n_waiting; i += simt::kThreads) {
      const double* list = nearest + waiting[i] * work.width;
      double sum = 0.0;
      for (std::int64_t t = 0; t < n_near; ++t) sum += list[t];
      density[i] = sum / static_cast<double>(n_near);
    }
    simt::sync_block();
    for (std::int64_t i = thread(); i < n_waiting; i += simt::kThreads) {
      std::int64_t rank = 0;  // `waiting` ascends: of equal densities the lower row is first
      for (std::int64_t j = 0; j < n_waiting && rank < count; ++j) {
        rank += density[j] < density[i] || (density[j] == density[i] && j < i) ? 1 : 0;
      }
      if (rank >= count) continue;
      order[n_inside + rank] = waiting[i];
      taken[waiting[i]] = 1;
    }
    simt::sync_block();
    if (thread() == 0) {
      std::int64_t left = 0;
      for (std::int64_t i = 0; i < n_waiting; ++i) {
        if (taken[waiting[i]] == 0) waiting[left++] = waiting[i];
      }
      n_left[0] = left;
    }
    simt::sync_block();
    n_waiting = n_left[0];
    n_inside += count;
    simt::sync_block();  // n_left has been read
  }
}

template <typename T>
SIMT_KERNEL denoise_kernel(DeviceClasses classes, DenoiseWork work) {
  const CoverArrays a = rows_of(classes);
  for (std::int64_t place = simt::block(); place < classes.n_classes; place += simt::grid_size()) {
    const Class mine = class_at(classes, place);
    join<T>(a, mine, position_of(mine, classes.cores[mine.number]), work);
    std::int64_t *order = work.order + mine.start, *kept = work.kept + mine.start;
    double *mean = work.mean_distance + mine.start, *sum = work.density + mine.start;
    const auto n_removed = static_cast<std::int64_t>(work.removal * static_cast<double>(mine.n));
    const std::int64_t n_kept = mine.n - n_removed;
    std::int64_t* flags = work.waiting + mine.start;
    for (std::int64_t i = thread(); i < mine.n; i += simt::kThreads) flags[order[i]] = i < n_kept ? 1 : 0;
    simt::sync_block();
    if (thread() == 0) {
      std::int64_t count = 0;
      for (std::int64_t i = 0; i < mine.n; ++i) {
        if (flags[i] != 0) kept[count++] = i;
      }
    }
    for (std::int64_t i = thread(); i < mine.n; i += simt::kThreads) {
      mean[i] = NAN;
      sum[i] = 0.0;
    }
    simt::sync_block();
    for_each_pair<T>(a, mine, kept, n_kept, kept, n_kept,
                     [&](std::int64_t i, std::int64_t, double distance) { sum[i] += distance; });
    for (std::int64_t i = thread(); i < n_kept; i += simt::kThreads) {
      mean[kept[i]] = sum[i] / static_cast<double>(n_kept);
    }
    for (std::int64_t i = thread(); i < mine.n; i += simt::kThreads) order[i] = mine.members[order[i]];
    simt::sync_block();
  }
}

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
    for (int r = 0; r < kTileRows; ++r) {
      if (lane() % kHalf != r || first + r >= mine.n) continue;
      distance[first + r] = first + r == pick ? -1.0 : sqrt(dist2[r][0]);
    }
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

void denoise(const DeviceClasses& classes, const DenoiseWork& work, std::uintptr_t stream) {
  with_row_type(classes.rows.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    simt::launch("bilaf_denoise", denoise_kernel<T>, simt::block_per_item(classes.n_classes), stream, classes, work);
  });
}

void boundary_picks(const DeviceClasses& classes, const BoundaryWork& work, std::uintptr_t stream) {
  with_row_type(classes.rows.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    simt::launch("bilaf_boundary", boundary_kernel<T>, simt::Geometry{work.n_blocks, simt::kThreads, 0}, stream,
                 classes, work);
  });
}

}  // namespace oneglance::cuda
