// Included once by each instruction-set unit. Plain loops for the compiler's vectors: whole numbers, or float64 whose
// sums run over lines, never across a vector, so that every instruction set gives the same bits.
#include <cmath>
#include <cstdint>

#include "oneglance/picture_kernels.h"

namespace {

using oneglance::kScoredSide;
using oneglance::kWaves;
using std::int16_t;
using std::int32_t;
using std::int64_t;
using std::uint16_t;
using std::uint32_t;
using std::uint8_t;

void add_line(const uint8_t* line, int64_t n, uint32_t* sums) {
  for (int64_t i = 0; i < n; ++i) sums[i] += line[i];
}

void mean(const int64_t* sums, int64_t n, int64_t n_pixels, uint8_t* means) {
  // A quarter more than a half outweighs all rounding, and tips no quotient of whole numbers.
  const double inverse = 1.0 / static_cast<double>(n_pixels), half = 0.5 * static_cast<double>(n_pixels) + 0.25;
  for (int64_t i = 0; i < n; ++i) means[i] = static_cast<uint8_t>((static_cast<double>(sums[i]) + half) * inverse);
}

int64_t brightness(const uint8_t* rgb, int64_t n_pixels, uint8_t* levels) {
  uint16_t squares[kScoredSide * kScoredSide];
  uint32_t spread = 0;
  for (int64_t i = 0; i < n_pixels; ++i) {
    const uint32_t red = rgb[3 * i], green = rgb[3 * i + 1], blue = rgb[3 * i + 2];
    const uint32_t high = red > green ? red : green, low = red > green ? green : red;
    spread += (high > blue ? high : blue) - (low < blue ? low : blue);
    squares[i] = static_cast<uint16_t>((62 * red * red + 177 * green * green + 17 * blue * blue) >> 8);
  }
  // Exact: the root of 16 bits in float32 never rounds up to the next whole number.
  for (int64_t i = 0; i < n_pixels; ++i) levels[i] = static_cast<uint8_t>(std::sqrt(static_cast<float>(squares[i])));
  return spread;
}

void edges(const uint8_t* line, int64_t width, int64_t* sum, int64_t* squares) {
  int16_t columns[kScoredSide];
  for (int64_t x = 0; x < width; ++x) {
    columns[x] = static_cast<int16_t>(line[x - width] + line[x] + line[x + width]);
  }
  int32_t line_sum = 0, line_squares = 0;
  for (int64_t x = 1; x + 1 < width; ++x) {
    const auto edge = static_cast<int16_t>(9 * line[x] - columns[x - 1] - columns[x] - columns[x + 1]);
    const int16_t cut = edge < 0 ? int16_t{0} : edge > 255 ? int16_t{255} : edge;
    line_sum += cut;
    line_squares += cut * cut;
  }
  *sum += line_sum;
  *squares += line_squares;
}

void waves(const uint8_t* levels, int64_t height, int64_t width, const double* down, double* columns) {
  for (int64_t i = 0; i < kWaves * kScoredSide; ++i) columns[i] = 0.0;
  double line[kScoredSide];
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) line[x] = levels[y * width + x];
    for (int k = 0; k < kWaves; ++k) {
      double* column = columns + k * kScoredSide;
      const double factor = down[y * kWaves + k];
      for (int64_t x = 0; x < width; ++x) column[x] += factor * line[x];
    }
  }
}

}  // namespace

#define ONEGLANCE_PICTURE_TABLE {add_line, mean, brightness, edges, waves}
