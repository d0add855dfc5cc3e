#pragma once
#include <cstdint>

#include "oneglance/picture_scores.h"

namespace oneglance {

constexpr int kWaves = 8;

/// Inner loops of picture_scores, one table per instruction set, the same numbers from each.
struct PictureKernels {
  /// sums[i] += line[i]
  void (*add_line)(const std::uint8_t* line, std::int64_t n, std::uint32_t* sums);
  /// means[i] = sums[i] / n_pixels to the nearest, halves up; sums of n_pixels bytes each.
  void (*mean)(const std::int64_t* sums, std::int64_t n, std::int64_t n_pixels, std::uint8_t* means);
  /// Brightness of at most kScoredSide^2 pixels; returns the sum of max(R, G, B) - min(R, G, B).
  std::int64_t (*brightness)(const std::uint8_t* rgb, std::int64_t n_pixels, std::uint8_t* levels);
  /// Of 9 c - (sum of the 3 x 3 about c), cut to 0..255, over a line but for its ends: adds to the sum and the sum of
  /// squares. Sides are 3 .. kScoredSide.
  void (*edges)(const std::uint8_t* line, std::int64_t width, std::int64_t* sum, std::int64_t* squares);
  /// columns (kWaves, kScoredSide) = down (height, kWaves)^T levels (height, width)
  void (*waves)(const std::uint8_t* levels, std::int64_t height, std::int64_t width, const double* down,
                double* columns);
};

/// The table of the active instruction set.
const PictureKernels& picture_kernels();

}  // namespace oneglance
