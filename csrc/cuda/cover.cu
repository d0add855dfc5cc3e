#include "cover.h"

#include <cmath>

#include "cover_rows.h"

namespace oneglance::cuda {
namespace {

using simt::lane;

/// 1 / |row| by half a warp, as csrc/algo/metric_rows.cpp computes it; 0 for a row of zeros.
template <typename T>
SIMT_DEVICE double inverse_norm(const T* row, std::int64_t n_dims, double largest) {
  double sum = 0.0, scaled_sum = 0.0;
  int exponent = 0;
  frexp(largest, &exponent);
  for (std::int64_t j = lane() % kHalf; j < n_dims; j += kHalf) {
    const double value = simt::to_double(row[j]);
    sum = add_square(sum, value);
    scaled_sum = add_square(scaled_sum, ldexp(value, -exponent));
  }
  sum = half_warp_sum(sum);
  scaled_sum = half_warp_sum(scaled_sum);
  if (largest == 0.0) return 0.0;
  if ((sum > 0x1p-380 && sum < 0x1p398) || std::abs(exponent) < 200) return 1.0 / sqrt(sum);
  return ldexp(1.0 / sqrt(scaled_sum), -exponent);
}

/// Half a warp per row.
template <typename T>
SIMT_KERNEL measure_kernel(const T* rows, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride,
                           const std::int32_t* state, double* scale, std::uint8_t* status, std::uint32_t* range) {
  std::uint32_t most = 0, least = 0xffffffffu;
  for (std::int64_t pair = simt::first_of_warp(); 2 * pair < n_rows; pair += simt::warp_step()) {
    const std::int64_t mine = 2 * pair + lane() / kHalf, i = mine < n_rows ? mine : n_rows - 1;
    const bool used = mine < n_rows && (state == nullptr || state[i] != kMasked);
    const T* row = rows + i * row_stride;
    double largest = 0.0;
    int bad = 0;
    for (std::int64_t j = lane() % kHalf; used && j < n_dims; j += kHalf) {
      const double value = simt::to_double(row[j]), size = value < 0 ? -value : value;
      if (!is_finite(value)) {
        bad = 1;
      } else if (size > largest) {
        largest = size;
      }
    }
    for (int step = kHalf / 2; step > 0; step /= 2) {
      const double other = simt::shuffle_xor(largest, step);
      largest = other > largest ? other : largest;
      bad |= simt::shuffle_xor(bad, step);
    }
    double inverse = 1.0;
    if (scale != nullptr) inverse = inverse_norm(row, used && bad == 0 ? n_dims : 0, largest);
    if (!used || lane() % kHalf != 0) continue;
    status[i] = bad != 0 ? 1 : (inverse == 0.0 ? 2 : 0);
    if (status[i] != 0) simt::atomic_add(range + 1 + status[i], 1u);
    if (scale != nullptr) scale[i] = bad != 0 ? 0.0 : inverse;
    if (bad != 0) continue;
    const std::uint32_t bits = simt::bits_of(static_cast<float>(largest));
    most = bits > most ? bits : most;
    least = bits < least ? bits : least;
  }
  most = simt::warp_max(most);
  least = simt::warp_min(least);
  if (lane() != 0) return;
  simt::atomic_max(range, most);
  simt::atomic_min(range + 1, least);
}

SIMT_KERNEL open_kernel(CoverArrays a, const std::uint8_t* mask) {
  for (std::int64_t i = simt::first_of_thread(); i < a.rows.n_rows; i += simt::thread_step()) {
    a.state[i] = mask == nullptr || mask[item_of(a, i)] != 0 ? kOpen : kMasked;
    a.dist2[i] = INFINITY;
    a.nearest[i] = -1;
    a.seen[i] = 0;
  }
}

SIMT_KERNEL choose_kernel(CoverArrays a, const std::int64_t* rows, std::int64_t n, std::int64_t first_place) {
  for (std::int64_t i = simt::first_of_thread(); i < n; i += simt::thread_step()) {
    a.centers[first_place + i] = rows[i];
    a.dist2[rows[i]] = 0.0;
    a.state[rows[i]] = kChosen;
  }
}

/// Whether the row was brought up to date here. A list may name a row twice (proposals do): one of the threads claims
/// it, and the others leave alone what it writes.
SIMT_DEVICE bool make_current(const CoverArrays& a, std::int64_t row, const Nearer& found, std::int64_t n_centers) {
  auto* seen = reinterpret_cast<std::uint64_t*>(a.seen + row);
  const std::uint64_t before = *seen, now = static_cast<std::uint64_t>(n_centers);
  if (before == now || simt::atomic_cas(seen, before, now) != before) return false;
  Nearer best{a.dist2[row], a.nearest[row]};
  if (found.row >= 0) take_nearer(best, found.dist2, found.row);
  a.dist2[row] = best.dist2;
  a.nearest[row] = best.row;
  return true;
}

/// A warp has 2 * kTileRows rows of the list, and one of the parts of the centres.
template <typename T, typename Acc>
SIMT_KERNEL refresh_kernel(CoverArrays a, const std::int64_t* list, const std::int64_t* count, const std::int64_t* gate,
                           std::int64_t most, std::int64_t n_splits, double* part_dist2, std::int64_t* part_nearest) {
  constexpr std::int64_t kWarpRows = 2 * kTileRows;
  if (gate != nullptr && *gate == 0) return;
  const std::int64_t n = count == nullptr ? most : *count, n_centers = a.control[kCenters];
  const std::int64_t n_tiles = (n + kWarpRows - 1) / kWarpRows;
  std::int64_t n_read = 0;
  for (std::int64_t work = simt::first_of_warp(); work < n_tiles * n_splits; work += simt::warp_step()) {
    const std::int64_t split = work % n_splits;
    const std::int64_t place = work / n_splits * kWarpRows + lane() / kHalf * kTileRows;
    std::int64_t rows[kTileRows], oldest = n_centers;
    bool mine[kTileRows];
    Nearer best[kTileRows];
    for (int r = 0; r < kTileRows; ++r) {
      const std::int64_t at = place + r < n ? place + r : n - 1;
      rows[r] = list == nullptr ? at : list[at];
      mine[r] = place + r < n && a.state[rows[r]] == kOpen && a.seen[rows[r]] < n_centers;
      if (mine[r] && a.seen[rows[r]] < oldest) oldest = a.seen[rows[r]];
      best[r] = {INFINITY, -1};
    }
    oldest = simt::warp_min(oldest);  // the same for all lanes, whatever another warp writes meanwhile
    const std::int64_t size = (n_centers - oldest + n_splits - 1) / n_splits;
    const std::int64_t first = oldest + split * size, end = first + size < n_centers ? first + size : n_centers;
    for (std::int64_t c = first; c < end; c += kTileCenters) {
      std::int64_t centers[kTileCenters];
      for (int i = 0; i < kTileCenters; ++i) centers[i] = a.centers[c + i < end ? c + i : end - 1];
      Acc dist2[kTileRows][kTileCenters];
      half_warp_dist2<T, Acc, kTileRows, kTileCenters>(a, rows, centers, dist2);
      for (int r = 0; r < kTileRows; ++r) {
        for (int i = 0; i < kTileCenters; ++i) {
          const double value = dist2[r][i];
          if (best[r].row < 0 || value < best[r].dist2 || (value == best[r].dist2 && centers[i] < best[r].row)) {
            best[r] = {value, centers[i]};
          }
        }
      }
    }
    const Nearer found = own_of(best);
    const std::int64_t row = own_of(rows), own = place + lane() % kHalf;
    const bool stale = own_of(mine);
    if (lane() % kHalf >= kTileRows || own >= n) continue;
    if (n_splits > 1) {
      part_dist2[split * most + own] = found.dist2;
      part_nearest[split * most + own] = stale ? found.row : -1;
    } else if (stale) {
      n_read += make_current(a, row, found, n_centers) ? 1 : 0;
    }
  }
  n_read = simt::warp_sum(n_read);
  if (lane() == 0 && n_read > 0) simt::atomic_add(a.control + kRowsRead, n_read);
}

SIMT_KERNEL merge_kernel(CoverArrays a, const std::int64_t* list, const std::int64_t* count, const std::int64_t* gate,
                         std::int64_t most, std::int64_t n_splits, const double* part_dist2,
                         const std::int64_t* part_nearest) {
  if (gate != nullptr && *gate == 0) return;
  const std::int64_t n = count == nullptr ? most : *count, n_centers = a.control[kCenters];
  std::int64_t n_read = 0;
  for (std::int64_t i = simt::first_of_thread(); i < n; i += simt::thread_step()) {
    const std::int64_t row = list == nullptr ? i : list[i];
    Nearer best{INFINITY, -1};
    for (std::int64_t split = 0; split < n_splits; ++split) {
      const std::int64_t found = part_nearest[split * most + i];
      const double dist2 = part_dist2[split * most + i];
      if (found < 0) continue;
      if (best.row < 0 || dist2 < best.dist2 || (dist2 == best.dist2 && found < best.row)) best = {dist2, found};
    }
    if (best.row < 0) continue;
    n_read += make_current(a, row, best, n_centers) ? 1 : 0;
  }
  n_read = simt::warp_sum(n_read);
  if (lane() == 0 && n_read > 0) simt::atomic_add(a.control + kRowsRead, n_read);
}

SIMT_KERNEL largest_kernel(CoverArrays a, std::uint64_t* largest) {
  double mine = 0.0;
  for (std::int64_t i = simt::first_of_thread(); i < a.rows.n_rows; i += simt::thread_step()) {
    if (a.state[i] == kOpen && a.dist2[i] > mine) mine = a.dist2[i];
  }
  mine = simt::warp_max(mine);
  if (lane() == 0) simt::atomic_max(largest, simt::bits_of(mine));
}

SIMT_KERNEL assignment_kernel(CoverArrays a, double factor, double* distance, std::int64_t* nearest) {
  for (std::int64_t i = simt::first_of_thread(); i < a.rows.n_rows; i += simt::thread_step()) {
    const bool open = a.state[i] == kOpen, masked = a.state[i] == kMasked;
    distance[i] = masked ? NAN : (open ? factor * a.dist2[i] : 0.0);
    nearest[i] = masked ? -1 : (open ? a.nearest[i] : i);
  }
}

}  // namespace

void cover_measure(const DeviceRows& rows, const std::int32_t* state, double* scale, std::uint8_t* status,
                   std::uint32_t* range, std::uintptr_t stream) {
  with_row_type(rows.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    simt::launch("cover_measure", measure_kernel<T>, simt::warp_per_item((rows.n_rows + 1) / 2), stream,
                 static_cast<const T*>(rows.data), rows.n_rows, rows.n_dims, rows.row_stride, state, scale, status,
                 range);
  });
}

void cover_open(const CoverArrays& arrays, const std::uint8_t* mask, std::uintptr_t stream) {
  simt::launch("cover_open", open_kernel, simt::thread_per_item(arrays.rows.n_rows), stream, arrays, mask);
}

void cover_choose(const CoverArrays& arrays, const std::int64_t* rows, std::int64_t n, std::int64_t first_place,
                  std::uintptr_t stream) {
  simt::launch("cover_choose", choose_kernel, simt::thread_per_item(n), stream, arrays, rows, n, first_place);
}

void cover_refresh(const CoverArrays& arrays, const std::int64_t* list, const std::int64_t* count, std::int64_t most,
                   const std::int64_t* gate, std::int64_t n_splits, double* part_dist2, std::int64_t* part_nearest,
                   std::uintptr_t stream) {
  const std::int64_t n_tiles = (most + 2 * kTileRows - 1) / (2 * kTileRows);
  with_arithmetic(arrays, [&](auto tag, auto arithmetic) {
    using T = typename decltype(tag)::Type;
    using Acc = typename decltype(arithmetic)::Type;
    simt::launch("cover_refresh", refresh_kernel<T, Acc>, simt::warp_per_item(n_tiles * n_splits), stream, arrays, list,
                 count, gate, most, n_splits, part_dist2, part_nearest);
  });
  if (n_splits == 1) return;
  simt::launch("cover_merge", merge_kernel, simt::thread_per_item(most), stream, arrays, list, count, gate, most,
               n_splits, part_dist2, part_nearest);
}

void cover_largest(const CoverArrays& arrays, std::uint64_t* largest, std::uintptr_t stream) {
  simt::launch("cover_largest", largest_kernel, simt::thread_per_item(arrays.rows.n_rows), stream, arrays, largest);
}

void cover_assignment(const CoverArrays& arrays, double factor, double* distance, std::int64_t* nearest,
                      std::uintptr_t stream) {
  simt::launch("cover_assignment", assignment_kernel, simt::thread_per_item(arrays.rows.n_rows), stream, arrays, factor,
               distance, nearest);
}

}  // namespace oneglance::cuda
