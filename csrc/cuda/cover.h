#pragma once
#include <cstdint>

#include "cover_arrays.h"

namespace oneglance::cuda {

// Device pointers everywhere; the stream is a cudaStream_t as an integer. Every call returns before the work is done
// and throws LaunchError.

/// What the rows in use are like (state != kMasked; no mask: all).
///   scale   (n_rows) out with cosine: 1 / |row| in float64, the bits of the CPU; else null
///   status  (n_rows) out: 0 fine, 1 NaN or infinity, 2 zeros under cosine
///   range   (4,) uint32 in and out: bits of the largest |element| of all rows, and of the smallest largest |element|
///           of a row, as float32; numbers of rows of status 1 and 2. Starts as 0, 0xffffffff, 0, 0
void cover_measure(const DeviceRows& rows, const std::int32_t* state, double* scale, std::uint8_t* status,
                   std::uint32_t* range, std::uintptr_t stream);

/// No centre yet: state of every row by the mask of its item (n_items,), kOpen or kMasked; null: all are open.
void cover_open(const CoverArrays& arrays, const std::uint8_t* mask, std::uintptr_t stream);

/// The rows become centres first_place ...: distance 0, kChosen.
void cover_choose(const CoverArrays& arrays, const std::int64_t* rows, std::int64_t n, std::int64_t first_place,
                  std::uintptr_t stream);

/// Brings rows up to date with all centres: each (row, centre) that is new is measured once, directly, so a distance
/// is right to the rounding of its sum.
///   list, count  rows, of open items (one may be there twice), and a device counter of them (most: its largest value);
///                null: all open rows
///   gate         a device flag: 0 does nothing. Null: always
///   n_splits     parts of the centres that work at once, for few rows; part_* (n_splits, most) scratch, null for 1
void cover_refresh(const CoverArrays& arrays, const std::int64_t* list, const std::int64_t* count, std::int64_t most,
                   const std::int64_t* gate, std::int64_t n_splits, double* part_dist2, std::int64_t* part_nearest,
                   std::uintptr_t stream);

/// largest[0] = the bits of the largest dist2 of open rows; starts as 0.
void cover_largest(const CoverArrays& arrays, std::uint64_t* largest, std::uintptr_t stream);

/// Every row's distance to its nearest chosen row, times `factor`, and that row; NaN and -1 for masked rows.
void cover_assignment(const CoverArrays& arrays, double factor, double* distance, std::int64_t* nearest,
                      std::uintptr_t stream);

}  // namespace oneglance::cuda
