// Included once by each instruction-set unit, inside its anonymous namespace (see panel_impl.h). Compiled with
// -ffp-contract=off: a fused multiply-add in a deciding loop would give other bits on another processor.
#include <cstdint>
#include <cstring>

#include "oneglance/distance_kernels.h"

namespace {

using std::int32_t;
using std::int64_t;

using Double8 = double __attribute__((vector_size(64)));
using Float8 = float __attribute__((vector_size(32)));

void shift_f32(float* row, float scale, const float* shift, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) row[j] = row[j] * scale - shift[j];
}

void shift_f64(const double* row, double scale, const float* shift, int64_t n, float* dst) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) dst[j] = static_cast<float>(row[j] * scale - static_cast<double>(shift[j]));
}

inline void load8(const float* from, Double8& to) {
  Float8 narrow;
  std::memcpy(&narrow, from, sizeof narrow);
  to = __builtin_convertvector(narrow, Double8);
}
inline void load8(const double* from, Double8& to) { std::memcpy(&to, from, sizeof to); }

template <typename Real>
double dist2(const double* x, const Real* y, double scale, int64_t n) {
  Double8 low{}, high{};
  int64_t j = 0;
  for (; j + 16 <= n; j += 16) {
    Double8 x0, x1, y0, y1;
    load8(x + j, x0);
    load8(x + j + 8, x1);
    load8(y + j, y0);
    load8(y + j + 8, y1);
    const Double8 d0 = x0 - y0 * scale, d1 = x1 - y1 * scale;
    low += d0 * d0;
    high += d1 * d1;
  }
  for (int64_t k = 0; j < n; ++j, ++k) {
    const double difference = x[j] - static_cast<double>(y[j]) * scale;
    (k < 8 ? low : high)[k & 7] += difference * difference;
  }
  const Double8 s = low + high;
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

#ifndef ONEGLANCE_TWO_LOWEST
void two_lowest(const float* product, const float* base, const float* slope, float norm, int64_t n, float* first,
                float* second) {
  constexpr int64_t kLanes = 8;
  float lowest[kLanes], next[kLanes];
  for (int64_t k = 0; k < kLanes; ++k) lowest[k] = next[k] = __builtin_inff();
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) {
      const float value = base[j + k] + product[j + k] - norm * slope[j + k];
      const float larger = value < lowest[k] ? lowest[k] : value;
      next[k] = larger < next[k] ? larger : next[k];
      lowest[k] = value < lowest[k] ? value : lowest[k];
    }
  }
  for (; j < n; ++j) {
    const float value = base[j] + product[j] - norm * slope[j];
    if (value < lowest[0]) {
      next[0] = lowest[0];
      lowest[0] = value;
    } else if (value < next[0]) {
      next[0] = value;
    }
  }
  float best = __builtin_inff(), best2 = best;
  for (int64_t k = 0; k < kLanes; ++k) {
    if (lowest[k] < best) {
      best2 = best < next[k] ? best : next[k];
      best = lowest[k];
    } else if (lowest[k] < best2) {
      best2 = lowest[k];
    }
  }
  *first = best;
  *second = best2;
}

int64_t collect(const float* product, const float* base, const float* slope, float norm, float most, int64_t n,
                int32_t* positions, float* lower) {
  int64_t count = 0;
  for (int64_t j = 0; j < n; ++j) {
    const float value = base[j] + product[j] - norm * slope[j];
    if (value <= most) {
      positions[count] = static_cast<int32_t>(j);
      lower[count] = value;
      ++count;
    }
  }
  return count;
}
#endif

}  // namespace

#define ONEGLANCE_DISTANCE_TABLE {shift_f32, shift_f64, dist2<float>, dist2<double>, two_lowest, collect}
