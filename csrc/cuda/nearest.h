#pragma once
#include <cstdint>

#include "device_rows.h"

namespace oneglance::cuda {

/// The float32 numbers of a point, `parts` times side by side. tf32: each time 11 bits of them, the upper ones or,
/// where `low` has a bit for that part, those below. So one product of two points with parts high, low, high and high,
/// high, low is high * high + low * high + high * low; numbers that have 11 bits anyway need no low part.
struct PointLayout {
  int parts = 1;
  unsigned low = 0;
  bool tf32 = false;
};

/// Rows in a frame (csrc/algo/propose.h explains it and the bounds): x = scale * power * row - shift, rounded.
///   x        (n, parts d) float32
///   norm2    (n,) |x|^2, slack (n,) bound A on the rounding of the row and its norms
///   base     (n,) norm2 - slack, rounded down; slope (n,) 2 g |x|, rounded up
/// A row too large for float32 has x = 0 and infinite slack: always a candidate. A row that the mask leaves out has
/// infinite base: never one.
struct Points {
  float* x = nullptr;
  double *norm2 = nullptr, *slack = nullptr;
  float *base = nullptr, *slope = nullptr;
};
struct Frame {
  double power = 1.0, unit = 0.0;  // unit: norm of a cosine row in the frame, 0 for sqeuclidean
  double dot_error = 0.0;          // g
  double row_error = 0.0;          // A / |x|^2, but for what float64 rounds
  const float* shift = nullptr;    // (d,)
};
void prepare_points(const DeviceRows& rows, const double* scale, const std::uint8_t* mask, const Frame& frame,
                    PointLayout layout, const Points& out, std::uintptr_t stream);

/// What is known about each query: the `32 slots` smallest `lower` with their rows, ascending; the same many smallest
/// `upper`; and the smallest `lower` that had no place. Begins as +inf, -1, +inf, +inf.
struct Candidates {
  float* lower = nullptr;
  std::int64_t* row = nullptr;
  float* upper = nullptr;
  float* dropped = nullptr;
  int slots = 1;  // 1, 4 or 16
};

/// Takes up a tile of products s (n_queries, n_rows) of queries and rows.
///   first_row    row that column 0 of the tile is
///   query_rows   (n_queries,) row of the same matrix that each query is, which is no answer; null: none
void scan_tile(const float* products, std::int64_t n_queries, std::int64_t n_rows, std::int64_t first_row,
               const Points& queries, const Points& rows, const std::int64_t* query_rows, std::int64_t n_nearest,
               const Candidates& candidates, std::uintptr_t stream);

/// float64 distances of the candidates, in the order of summation of the CPU, and the nearest of them, ties to the
/// lower row.
///   indices, dist2  (n_queries, n_nearest)
///   crowded         (n_queries,) 1 where a row without a place could be an answer
void decide_nearest(const DeviceRows& queries, const double* query_scale, const DeviceRows& rows,
                    const double* row_scale, const Points& points, double power2, std::int64_t n_nearest,
                    const Candidates& candidates, std::int64_t* indices, double* dist2, std::uint8_t* crowded,
                    std::uintptr_t stream);

/// dist2 (n_chosen, n_rows) of the queries `chosen` to all rows, in float64; +inf where the mask leaves a row out and
/// for the row that the query is (query_rows, as above).
void exact_distances(const DeviceRows& queries, const double* query_scale, const std::int64_t* chosen,
                     std::int64_t n_chosen, const DeviceRows& rows, const double* row_scale, const std::uint8_t* mask,
                     const std::int64_t* query_rows, double* dist2, std::uintptr_t stream);

}  // namespace oneglance::cuda
