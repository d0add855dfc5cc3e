#include <cmath>

#include "bilaf_classes.h"

namespace oneglance::cuda {
namespace {

using simt::lane;
using simt::thread;

/// Calls use(i, distance) for every i of from[0 .. n_from) with every one of to[0 .. n_to), in its order and by one
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
      double mine_of[kTileCenters];
      own_of(dist2, mine_of);
      const std::int64_t own = first + lane() % kHalf;
      if (lane() % kHalf >= kTileRows || own >= n_from) continue;
      for (int c = 0; c < kTileCenters && j + c < n_to; ++c) use(own, sqrt(mine_of[c]));
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
    for_each_pair<T>(a, mine, waiting, n_waiting, fresh, n_inside - n_measured, [&](std::int64_t i, double distance) {
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
    for_each_pair<T>(a, mine, kept, n_kept, kept, n_kept, [&](std::int64_t i, double distance) { sum[i] += distance; });
    for (std::int64_t i = thread(); i < n_kept; i += simt::kThreads) {
      mean[kept[i]] = sum[i] / static_cast<double>(n_kept);
    }
    for (std::int64_t i = thread(); i < mine.n; i += simt::kThreads) order[i] = mine.members[order[i]];
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

}  // namespace oneglance::cuda
