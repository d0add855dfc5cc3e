#pragma once
#include <cstdint>

namespace oneglance {

/// Scores are those of the picture reduced to at most so many pixels a side; smaller ones stay as they are.
constexpr std::int64_t kScoredSide = 64;

/// Light scores of one picture; `edges` is NaN where a side of the reduced one is below 3.
struct PictureScores {
  double low = 0.0, high = 0.0, entropy = 0.0, edges = 0.0, colour = 0.0;
  std::uint64_t hash = 0;
};

/// rgb: pixels (height, width, 3), both sides at least 1. In whole numbers but for the entropy and the hash. One
/// thread: the processes that decode call it, and a process forked from one with threads has none of its own.
PictureScores picture_scores(const std::uint8_t* rgb, std::int64_t height, std::int64_t width);

}  // namespace oneglance
