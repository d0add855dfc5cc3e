#pragma once
#include <cmath>

#include "cover_arrays.h"
#include "row_types.h"

// What the kernels of farthest points and draws share: distances by half a warp, and the rows of items.
namespace oneglance::cuda {

constexpr int kHalf = 16;  // lanes that share a distance, as the CPU's sums do
constexpr int kTileRows = 4, kTileCenters = 4;

template <typename Acc, typename T>
SIMT_DEVICE Acc loaded(T value, Acc scale) {
  if constexpr (std::is_same_v<Acc, double>) {
    return simt::mul_rn(simt::to_double(value), scale);
  } else {
    return simt::mul_rn(simt::to_float(value), scale);
  }
}

/// sum + difference^2: for float64 in two roundings, the bits of the CPU.
SIMT_DEVICE double add_square(double sum, double difference) {
  return simt::add_rn(sum, simt::mul_rn(difference, difference));
}
SIMT_DEVICE float add_square(float sum, float difference) { return fmaf(difference, difference, sum); }

template <typename Acc>
SIMT_DEVICE Acc half_warp_sum(Acc value) {
  for (int step = kHalf / 2; step > 0; step /= 2) value += simt::shuffle_xor(value, step);
  return value;
}

template <typename T>
SIMT_DEVICE const T* row_at(const CoverArrays& a, std::int64_t row) {
  return static_cast<const T*>(a.rows.data) + row * a.rows.row_stride;
}
template <typename Acc>
SIMT_DEVICE Acc scale_at(const CoverArrays& a, std::int64_t row) {
  return a.scale == nullptr ? Acc(1) : static_cast<Acc>(a.scale[row]);
}

/// dist2[r][c] of R rows and C centres, the same in the 16 lanes of a half warp: term j goes to the sum of lane j mod
/// 16, and the sums are added as a tree. Both halves of the warp must come here together, each with rows of its own.
template <typename T, typename Acc, int R, int C>
SIMT_DEVICE void half_warp_dist2(const CoverArrays& a, const std::int64_t (&rows)[R], const std::int64_t (&centers)[C],
                                 Acc (&dist2)[R][C]) {
  const T *x[R], *y[C];
  Acc x_scale[R], y_scale[C];
  for (int r = 0; r < R; ++r) {
    x[r] = row_at<T>(a, rows[r]);
    x_scale[r] = scale_at<Acc>(a, rows[r]);
  }
  for (int c = 0; c < C; ++c) {
    y[c] = row_at<T>(a, centers[c]);
    y_scale[c] = scale_at<Acc>(a, centers[c]);
    for (int r = 0; r < R; ++r) dist2[r][c] = Acc(0);
  }
  for (std::int64_t j = simt::lane() % kHalf; j < a.rows.n_dims; j += kHalf) {
    Acc at_y[C];
    for (int c = 0; c < C; ++c) at_y[c] = loaded<Acc>(y[c][j], y_scale[c]);
    for (int r = 0; r < R; ++r) {
      const Acc at_x = loaded<Acc>(x[r][j], x_scale[r]);
      for (int c = 0; c < C; ++c) dist2[r][c] = add_square(dist2[r][c], at_x - at_y[c]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) dist2[r][c] = half_warp_sum(dist2[r][c]);
  }
}

/// Lane r of a half warp takes values[r] (r < R; the others values[0]): R rows are then finished by R lanes at once.
template <typename V, int R>
SIMT_DEVICE V own_of(const V (&values)[R]) {
  V mine = values[0];
  for (int r = 1; r < R; ++r) {
    if (simt::lane() % kHalf == r) mine = values[r];
  }
  return mine;
}
template <typename V, int R, int C>
SIMT_DEVICE void own_of(const V (&values)[R][C], V (&mine)[C]) {
  for (int c = 0; c < C; ++c) {
    mine[c] = values[0][c];
    for (int r = 1; r < R; ++r) {
      if (simt::lane() % kHalf == r) mine[c] = values[r][c];
    }
  }
}

/// A row or centre and its distance; of two at the same distance the lower row.
struct Nearer {
  double dist2;
  std::int64_t row;
};
SIMT_DEVICE void take_nearer(Nearer& best, double dist2, std::int64_t row) {
  if (dist2 < best.dist2 || (dist2 == best.dist2 && row < best.row)) best = {dist2, row};
}
SIMT_DEVICE void take_farther(Nearer& best, double dist2, std::int64_t row) {
  if (row < 0) return;
  if (best.row < 0 || dist2 > best.dist2 || (dist2 == best.dist2 && row < best.row)) best = {dist2, row};
}

SIMT_DEVICE std::int64_t item_of(const CoverArrays& a, std::int64_t row) {
  if (a.offsets == nullptr) return row;
  std::int64_t low = 0, high = a.n_items;  // offsets[low] <= row < offsets[high]
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (a.offsets[middle] <= row ? low : high) = middle;
  }
  return low;
}
SIMT_DEVICE std::int64_t first_row(const CoverArrays& a, std::int64_t item) {
  return a.offsets == nullptr ? item : a.offsets[item];
}
SIMT_DEVICE std::int64_t last_row(const CoverArrays& a, std::int64_t item) {
  return a.offsets == nullptr ? item + 1 : a.offsets[item + 1];
}

/// The rows of a picked item become centres place, place + 1, ...; `mine`, `step` share them among threads.
SIMT_DEVICE void choose_item(const CoverArrays& a, std::int64_t item, std::int64_t place, std::int32_t state,
                             std::int64_t mine, std::int64_t step) {
  const std::int64_t first = first_row(a, item), n = last_row(a, item) - first;
  for (std::int64_t i = mine; i < n; i += step) {
    a.centers[place + i] = first + i;
    a.dist2[first + i] = 0.0;
    a.state[first + i] = state;
  }
}

SIMT_DEVICE void record_pick(const CoverArrays& a, std::int64_t place, std::int64_t item, std::int64_t row,
                             double dist2) {
  a.pick_item[place] = item;
  a.pick_row[place] = row;
  a.pick_dist2[place] = dist2;
  a.pick_nearest[place] = a.nearest[row];
}

/// Calls f with the rows' number type and the arithmetic that was asked for; float64 rows have float64 in any case.
template <typename F>
void with_arithmetic(const CoverArrays& a, F&& f) {
  with_row_type(a.rows.type, [&](auto tag) {
    if constexpr (!std::is_same_v<typename decltype(tag)::Type, double>) {
      if (!a.wide) return f(tag, TypeTag<float>());
    }
    f(tag, TypeTag<double>());
  });
}

}  // namespace oneglance::cuda
