#include "oneglance/picture_scores.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "oneglance/picture_kernels.h"

namespace oneglance {
namespace {

constexpr int kParts = 32;  // a side is averaged to so many parts, of which the lowest kWaves waves are kept

using Histogram = std::array<std::int32_t, 256>;
using Wave = std::array<double, kWaves>;
using Waves = std::vector<Wave>;

struct Reduced {
  std::int64_t height, width;
  std::array<std::uint8_t, 3 * kScoredSide * kScoredSide> rgb;
};

/// The picture averaged over boxes of k x k, k the least that leaves at most kScoredSide pixels a side; boxes at the
/// far borders hold what is left. Rounded to the nearest, halves up.
void reduce(const std::uint8_t* rgb, std::int64_t height, std::int64_t width, Reduced& out) {
  const std::int64_t k = (std::max(height, width) + kScoredSide - 1) / kScoredSide;
  out.height = (height + k - 1) / k;
  out.width = (width + k - 1) / k;
  const std::int64_t n_whole = width / k;  // boxes across that are k wide
  std::vector<std::uint32_t> columns(static_cast<std::size_t>(3 * width));
  std::array<std::int64_t, 3 * kScoredSide> sums;
  for (std::int64_t box = 0; box < out.height; ++box) {
    const std::int64_t top = box * k, bottom = std::min(height, top + k);
    std::fill(columns.begin(), columns.end(), 0);
    for (std::int64_t y = top; y < bottom; ++y) {
      picture_kernels().add_line(rgb + 3 * width * y, 3 * width, columns.data());
    }
    const std::uint32_t* column = columns.data();
    for (std::int64_t x = 0; x < out.width; ++x) {
      std::int64_t red = 0, green = 0, blue = 0;
      for (const std::uint32_t* end = columns.data() + 3 * std::min(width, (x + 1) * k); column != end; column += 3) {
        red += column[0];
        green += column[1];
        blue += column[2];
      }
      std::int64_t* sum = sums.data() + 3 * x;
      sum[0] = red;
      sum[1] = green;
      sum[2] = blue;
    }
    std::uint8_t* means = out.rgb.data() + 3 * out.width * box;
    picture_kernels().mean(sums.data(), 3 * n_whole, (bottom - top) * k, means);
    picture_kernels().mean(sums.data() + 3 * n_whole, 3 * (out.width - n_whole), (bottom - top) * (width - n_whole * k),
                           means + 3 * n_whole);
  }
}

/// The brightness that `percent` of the pixels do not exceed, over 255.
double quantile(const Histogram& counts, std::int64_t n_pixels, std::int64_t percent) {
  std::int64_t below = 0;
  std::size_t level = 0;
  while ((below += counts[level]) * 100 < percent * n_pixels) ++level;
  return static_cast<double>(level) / 255.0;
}

double entropy_bits(const Histogram& counts, std::int64_t n_pixels) {
  double bits = 0.0;
  for (const std::int32_t count : counts) {
    const double share = static_cast<double>(count) / static_cast<double>(n_pixels);
    if (count > 0) bits -= share * std::log2(share);
  }
  return bits + 0.0;  // no -0
}

/// Standard deviation over the pixels inside.
double edge_spread(const std::uint8_t* levels, std::int64_t height, std::int64_t width) {
  if (std::min(height, width) < 3) return std::numeric_limits<double>::quiet_NaN();
  std::int64_t sum = 0, squares = 0;
  for (std::int64_t y = 1; y + 1 < height; ++y) picture_kernels().edges(levels + y * width, width, &sum, &squares);
  const std::int64_t n = (height - 2) * (width - 2);
  return std::sqrt(static_cast<double>(n * squares - sum * sum)) / static_cast<double>(n);
}

/// Of every pixel of a side: the average over kParts equal parts, then the lowest waves of the orthonormal DCT-II.
Waves waves_of(std::int64_t side) {
  Waves waves(static_cast<std::size_t>(side), Wave{});
  const double part_size = static_cast<double>(side) / kParts, pi = std::acos(-1.0);
  for (int part = 0; part < kParts; ++part) {
    const double begin = part * part_size, end = (part + 1) * part_size;
    const auto last = std::min(side, static_cast<std::int64_t>(std::ceil(end)));
    for (auto pixel = static_cast<std::int64_t>(begin); pixel < last; ++pixel) {
      const auto place = static_cast<double>(pixel);
      const double share = std::max(0.0, std::min(end, place + 1) - std::max(begin, place)) / part_size;
      for (int k = 0; k < kWaves; ++k) {
        const double wave =
            std::cos(pi * k * (2 * part + 1) / (2.0 * kParts)) * std::sqrt((k == 0 ? 1.0 : 2.0) / kParts);
        waves[static_cast<std::size_t>(pixel)][static_cast<std::size_t>(k)] += share * wave;
      }
    }
  }
  return waves;
}

const Waves& waves_of_side(std::int64_t side) {
  static const std::vector<Waves> table = [] {
    std::vector<Waves> made;
    for (std::int64_t each = 0; each <= kScoredSide; ++each) made.push_back(waves_of(each));
    return made;
  }();
  return table[static_cast<std::size_t>(side)];
}

/// One bit per coefficient of the lowest 8 x 8: is it larger than the median of the 64?
std::uint64_t perceptual_hash(const std::uint8_t* levels, std::int64_t height, std::int64_t width) {
  const Waves& across = waves_of_side(width);
  std::array<double, kWaves * kScoredSide> columns;
  picture_kernels().waves(levels, height, width, waves_of_side(height).front().data(), columns.data());
  std::array<double, kWaves * kWaves> coefficients{};
  for (std::size_t u = 0; u < kWaves; ++u) {
    for (std::size_t x = 0; x < across.size(); ++x) {
      for (std::size_t v = 0; v < kWaves; ++v) {
        coefficients[u * kWaves + v] += columns[u * kScoredSide + x] * across[x][v];
      }
    }
  }
  auto ordered = coefficients;
  std::sort(ordered.begin(), ordered.end());
  const double median = 0.5 * (ordered[ordered.size() / 2 - 1] + ordered[ordered.size() / 2]);
  std::uint64_t hash = 0;
  for (const double coefficient : coefficients) hash = hash << 1 | static_cast<std::uint64_t>(coefficient > median);
  return hash;
}

}  // namespace

PictureScores picture_scores(const std::uint8_t* rgb, std::int64_t height, std::int64_t width) {
  Reduced little;
  if (std::max(height, width) > kScoredSide) {
    reduce(rgb, height, width, little);
    rgb = little.rgb.data();
    height = little.height;
    width = little.width;
  }
  const std::int64_t n_pixels = height * width;
  std::array<std::uint8_t, kScoredSide * kScoredSide> levels;
  const std::int64_t spread = picture_kernels().brightness(rgb, n_pixels, levels.data());
  Histogram counts{};
  for (std::int64_t i = 0; i < n_pixels; ++i) ++counts[levels[static_cast<std::size_t>(i)]];
  PictureScores scores;
  scores.low = quantile(counts, n_pixels, 5);
  scores.high = quantile(counts, n_pixels, 99);
  scores.entropy = entropy_bits(counts, n_pixels);
  scores.edges = edge_spread(levels.data(), height, width);
  scores.colour = static_cast<double>(spread) / static_cast<double>(n_pixels);
  scores.hash = perceptual_hash(levels.data(), height, width);
  return scores;
}

}  // namespace oneglance
