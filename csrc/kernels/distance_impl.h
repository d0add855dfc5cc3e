// Included once by each instruction-set unit, inside its anonymous namespace (see panel_impl.h). Compiled with
// -ffp-contract=off: a fused multiply-add in a deciding loop would give other bits on another processor.
#include <cstdint>
#include <cstring>

#include "oneglance/distance_kernels.h"

namespace {

using std::int32_t;
using std::int64_t;

#if defined(__AVX512F__)
constexpr int kWidth = 8, kTogether = 4;
#elif defined(__AVX__)
constexpr int kWidth = 4, kTogether = 2;
#else
constexpr int kWidth = 2, kTogether = 1;
#endif
constexpr int kSums = 16, kParts = kSums / kWidth;
using Doubles = double __attribute__((vector_size(8 * kWidth)));
using Floats = float __attribute__((vector_size(4 * kWidth)));

void shift_f32(float* row, float scale, const float* shift, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) row[j] = row[j] * scale - shift[j];
}

void shift_f64(const double* row, double scale, const float* shift, int64_t n, float* dst) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) dst[j] = static_cast<float>(row[j] * scale - static_cast<double>(shift[j]));
}

inline Doubles load(const float* from) {
  Floats narrow;
  std::memcpy(&narrow, from, sizeof narrow);
  return __builtin_convertvector(narrow, Doubles);
}
inline Doubles load(const double* from) {
  Doubles wide;
  std::memcpy(&wide, from, sizeof wide);
  return wide;
}

/// x against kRows rows at once: x is loaded once, and the sums, all in registers, do not wait for each other.
template <typename Real, int kRows>
void dist2_together(const double* x, const Real* const* rows, double scale, int64_t n, double* result) {
  Doubles sum[kRows][kParts] = {};
  int64_t j = 0;
  for (; j + kSums <= n; j += kSums) {
#pragma GCC unroll 8
    for (int part = 0; part < kParts; ++part) {
      const Doubles mine = load(x + j + part * kWidth);
#pragma GCC unroll 8
      for (int k = 0; k < kRows; ++k) {
        const Doubles difference = mine - load(rows[k] + j + part * kWidth) * scale;
        sum[k][part] += difference * difference;
      }
    }
  }
#pragma GCC unroll 8
  for (int k = 0; k < kRows; ++k) {
    double s[kSums];
    std::memcpy(s, sum[k], sizeof s);
    for (int64_t i = j; i < n; ++i) {
      const double difference = x[i] - static_cast<double>(rows[k][i]) * scale;
      s[i - j] += difference * difference;
    }
    for (int half = kSums / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) s[i] += s[i + half];
    }
    result[k] = s[0];
  }
}

template <typename Real>
double dist2(const double* x, const Real* y, double scale, int64_t n) {
  double result;
  dist2_together<Real, 1>(x, &y, scale, n, &result);
  return result;
}

void dist2_rows(const double* x, const double* const* rows, int64_t n_rows, int64_t n, double* result) {
  int64_t k = 0;
  for (; k + kTogether <= n_rows; k += kTogether) dist2_together<double, kTogether>(x, rows + k, 1.0, n, result + k);
  for (; k < n_rows; ++k) result[k] = dist2(x, rows[k], 1.0, n);
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

#define ONEGLANCE_DISTANCE_TABLE {shift_f32, shift_f64, dist2<float>, dist2<double>, dist2_rows, two_lowest, collect}
