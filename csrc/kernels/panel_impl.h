// Included once by each instruction-set unit, inside its anonymous namespace: plain loops that the
// compiler turns into that set's vectors. No standard containers, no globals: nothing may leak (see CMake).
#include <cstdint>

#include "oneglance/panel_kernels.h"

namespace {

using std::int32_t;
using std::int64_t;
using std::uint16_t;
using std::uint32_t;

union Bits32 {
  uint32_t u;
  float f;
};

#ifndef ONEGLANCE_ROW_F16_TO_F32
// Half to float by rescaling: shifting the 15 value bits gives the number times 2^-112, subnormals included.
bool row_f16_to_f32(const uint16_t* src, int64_t n, float* dst) {
  uint32_t bad = 0;
#pragma omp simd reduction(| : bad)
  for (int64_t j = 0; j < n; ++j) {
    const uint32_t half = src[j];
    bad |= static_cast<uint32_t>((half & 0x7c00u) == 0x7c00u);
    Bits32 value;
    value.u = (half & 0x7fffu) << 13;
    value.f *= 5.192296858534828e+33f;  // 2^112
    value.u |= (half & 0x8000u) << 16;
    dst[j] = value.f;
  }
  return bad == 0;
}
#endif

bool row_f16_to_f64(const uint16_t* src, int64_t n, double* dst) {
  constexpr int64_t kChunk = 256;
  float chunk[kChunk];
  bool ok = true;
  for (int64_t start = 0; start < n; start += kChunk) {
    const int64_t size = n - start < kChunk ? n - start : kChunk;
    ok = row_f16_to_f32(src + start, size, chunk) && ok;
    for (int64_t j = 0; j < size; ++j) dst[start + j] = chunk[j];
  }
  return ok;
}

// x - x is 0 for every finite x and NaN otherwise, so one sum tells whether all were finite.
template <typename From, typename To>
bool convert(const From* src, int64_t n, To* dst) {
  From zero = 0;
#pragma omp simd reduction(+ : zero)
  for (int64_t j = 0; j < n; ++j) {
    const From value = src[j];
    zero += value - value;
    dst[j] = static_cast<To>(value);
  }
  return zero == 0;
}

template <typename Real>
void scale_columns(Real* row, const Real* scale, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) row[j] *= scale[j];
}

template <typename Real>
double sum_squares(const Real* row, int64_t n) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) {
    const double value = row[j];
    sum += value * value;
  }
  return sum;
}

template <typename Real>
void scale_row(Real* row, Real factor, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) row[j] *= factor;
}

template <typename Real>
void add_to(double* sum, const Real* term, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) sum[j] += term[j];
}

// exp by 2^k * exp(r), |r| <= ln(2) / 2, r in two parts so that it keeps its digits; Taylor to degree 7.
inline float exp_of(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  const float rounded = x * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2^23: the whole number in the low bits
  const float k = rounded - 12582912.0f;
  const float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  Bits32 power;
  power.u = static_cast<uint32_t>(static_cast<int32_t>(k) + 127) << 23;
  return x <= -87.0f ? 0.0f : p * power.f;
}

void exp_scaled_f32(float* values, float scale, float shift, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) values[j] = exp_of((values[j] - shift) * scale);
}

// Adding and taking off 2^-7 leaves multiples of 2^-30, because a float32 of at least 2^-7 has no finer ones.
inline float whole_units(float value) {
  constexpr float kShift = 0.0078125f;
  return (value + kShift) - kShift;
}

void gauss_f32(float* products, const float* norms2, float norm2, float scale, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const float less = products[j] - (norms2[j] + norm2);
    products[j] = whole_units(exp_of((less > 0.0f ? 0.0f : less) * scale));
  }
}

void weigh_f32(const float* values, const float* weights, int64_t n, float* out) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = whole_units(values[j] * weights[j]);
}

void weigh_by_f32(const float* values, float weight, int64_t n, float* out) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = whole_units(values[j] * weight);
}

double sum_f32(const float* row, int64_t n) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) sum += row[j];
  return sum;
}

double gain_f32(const float* column, const float* current, int64_t n) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) {
    const float more = column[j] - current[j];
    sum += more > 0.0f ? more : 0.0f;
  }
  return sum;
}

void add_gains_f32(const float* values, float level, int64_t n, double* sums) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const float more = values[j] - level;
    sums[j] += more > 0.0f ? more : 0.0f;
  }
}

// Most chunks hold few of them or none: one look at all decides whether to look at each.
int64_t above_f32(const float* values, const float* levels, float more, int64_t n, int32_t* positions) {
  constexpr int64_t kChunk = 16;
  int64_t count = 0;
  for (int64_t start = 0; start < n; start += kChunk) {
    const int64_t end = start + kChunk < n ? start + kChunk : n;
    int32_t any = 0;
#pragma omp simd reduction(| : any)
    for (int64_t j = start; j < end; ++j) any |= values[j] > levels[j] + more ? 1 : 0;
    if (any == 0) continue;
    for (int64_t j = start; j < end; ++j) {
      positions[count] = static_cast<int32_t>(j);
      count += values[j] > levels[j] + more ? 1 : 0;
    }
  }
  return count;
}

#if defined(__AVX512F__)
constexpr int64_t kWide = 16, kRowsAtOnce = 4, kSums = 16;
#elif defined(__AVX2__)
constexpr int64_t kWide = 8, kRowsAtOnce = 2, kSums = 8;
#else
constexpr int64_t kWide = 4, kRowsAtOnce = 2, kSums = 8;
#endif
using Wide = float __attribute__((vector_size(kWide * sizeof(float))));
using Four = float __attribute__((vector_size(16)));
constexpr int64_t kDoubles = kWide / 2;
using Half = float __attribute__((vector_size(kDoubles * sizeof(float))));
using Doubles = double __attribute__((vector_size(kDoubles * sizeof(double))));

// Means of kCount vectors of columns: their sums stay in registers while the rows pass by.
template <int64_t kCount>
void mean_columns(const float* const* rows, int64_t n_rows, int64_t first, double* mean) {
  Doubles sums[kCount] = {};
  for (int64_t i = 0; i < n_rows; ++i) {
    for (int64_t k = 0; k < kCount; ++k) {
      Half values;
      __builtin_memcpy(&values, rows[i] + first + k * kDoubles, sizeof values);
      sums[k] += __builtin_convertvector(values, Doubles);
    }
  }
  for (int64_t k = 0; k < kCount; ++k) {
    sums[k] /= static_cast<double>(n_rows);
    __builtin_memcpy(mean + first + k * kDoubles, &sums[k], sizeof(Doubles));
  }
}

void mean_rows_f32(const float* const* rows, int64_t n_rows, int64_t n, double* mean) {
  int64_t j = 0;
  for (; j + kSums * kDoubles <= n; j += kSums * kDoubles) mean_columns<kSums>(rows, n_rows, j, mean);
  for (; j + kDoubles <= n; j += kDoubles) mean_columns<1>(rows, n_rows, j, mean);
  for (; j < n; ++j) {
    double sum = 0.0;
    for (int64_t i = 0; i < n_rows; ++i) sum += rows[i][j];
    mean[j] = sum / static_cast<double>(n_rows);
  }
}

constexpr int64_t kMostCenters = 6;  // at once: with the rows they fill the registers

float total(const Wide& values) {
  Four parts[kWide / 4];
  __builtin_memcpy(parts, &values, sizeof values);
  for (int64_t half = kWide / 8; half > 0; half /= 2) {
    for (int64_t k = 0; k < half; ++k) parts[k] += parts[k + half];
  }
  return (parts[0][0] + parts[0][2]) + (parts[0][1] + parts[0][3]);
}

// products of kRows rows with kCenters centres; each vector that is loaded serves several products.
template <int64_t kRows, int64_t kCenters>
void dots_block(const float* rows, const float* centers, int64_t n, int64_t stride, float* products) {
  Wide sums[kRows][kCenters] = {};
  int64_t j = 0;
  for (; j + kWide <= n; j += kWide) {
    Wide x[kRows];
    for (int64_t r = 0; r < kRows; ++r) __builtin_memcpy(&x[r], rows + r * n + j, sizeof(Wide));
    for (int64_t c = 0; c < kCenters; ++c) {
      Wide y;
      __builtin_memcpy(&y, centers + c * n + j, sizeof(Wide));
      for (int64_t r = 0; r < kRows; ++r) sums[r][c] += x[r] * y;
    }
  }
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCenters; ++c) {
      float sum = total(sums[r][c]);
      for (int64_t k = j; k < n; ++k) sum += rows[r * n + k] * centers[c * n + k];
      products[r * stride + c] = sum;
    }
  }
}

template <int64_t kRows>
void dots_rows(const float* rows, const float* centers, int64_t n_centers, int64_t n, float* products) {
  int64_t c = 0;
  while (c < n_centers) {
    const int64_t left = n_centers - c;
    const float* from = centers + c * n;
    float* to = products + c;
    if (left >= 6) {
      dots_block<kRows, 6>(rows, from, n, n_centers, to);
    } else if (left == 5) {
      dots_block<kRows, 5>(rows, from, n, n_centers, to);
    } else if (left == 4) {
      dots_block<kRows, 4>(rows, from, n, n_centers, to);
    } else if (left == 3) {
      dots_block<kRows, 3>(rows, from, n, n_centers, to);
    } else if (left == 2) {
      dots_block<kRows, 2>(rows, from, n, n_centers, to);
    } else {
      dots_block<kRows, 1>(rows, from, n, n_centers, to);
    }
    c += left < kMostCenters ? left : kMostCenters;
  }
}

void dots_f32(const float* rows, int64_t n_rows, const float* centers, int64_t n_centers, int64_t n, float* products) {
  int64_t i = 0;
  for (; i + kRowsAtOnce <= n_rows; i += kRowsAtOnce) {
    dots_rows<kRowsAtOnce>(rows + i * n, centers, n_centers, n, products + i * n_centers);
  }
  for (; i < n_rows; ++i) dots_rows<1>(rows + i * n, centers, n_centers, n, products + i * n_centers);
}

inline Doubles doubles_at(const float* from) {
  Half values;
  __builtin_memcpy(&values, from, sizeof values);
  return __builtin_convertvector(values, Doubles);
}

inline Doubles doubles_at(const double* from) {
  Doubles values;
  __builtin_memcpy(&values, from, sizeof values);
  return values;
}

// One row after the other: memory is read in one stream, which processors fetch ahead. kAhead numbers are asked for
// beforehand all the same, for the first pass over a row is the one that waits.
template <typename Real>
void times(const Real* const* rows, int64_t n_rows, const double* x, int64_t n, double* out) {
  constexpr int64_t kChains = 4, kStep = kChains * kDoubles, kAhead = 4096 / sizeof(Real);
  for (int64_t i = 0; i < n_rows; ++i) {
    const Real* row = rows[i];
    Doubles sums[kChains] = {};
    int64_t j = 0;
    for (; j + kStep <= n; j += kStep) {
      for (int64_t byte = 0; byte < kStep * static_cast<int64_t>(sizeof(Real)); byte += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(row + j + kAhead) + byte);
      }
      for (int64_t k = 0; k < kChains; ++k) {
        sums[k] += doubles_at(row + j + k * kDoubles) * doubles_at(x + j + k * kDoubles);
      }
    }
    Doubles both = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (; j + kDoubles <= n; j += kDoubles) both += doubles_at(row + j) * doubles_at(x + j);
    double sum = 0.0;
    for (int64_t k = 0; k < kDoubles; ++k) sum += both[k];
    for (; j < n; ++j) sum += static_cast<double>(row[j]) * x[j];
    out[i] = sum;
  }
}

constexpr int64_t kRowsPerBlock = 4;

// Each vector of y is loaded and stored once for several rows.
template <int64_t kRows, typename Real>
void add_rows_block(const Real* const* rows, const double* factors, int64_t n, double* y) {
  int64_t j = 0;
  for (; j + kDoubles <= n; j += kDoubles) {
    Doubles sum = doubles_at(y + j);
    for (int64_t r = 0; r < kRows; ++r) sum += doubles_at(rows[r] + j) * factors[r];
    __builtin_memcpy(y + j, &sum, sizeof sum);
  }
  for (; j < n; ++j) {
    for (int64_t r = 0; r < kRows; ++r) y[j] += factors[r] * static_cast<double>(rows[r][j]);
  }
}

template <typename Real>
void add_rows(const Real* const* rows, int64_t n_rows, const double* factors, int64_t n, double* y) {
  int64_t i = 0;
  for (; i + kRowsPerBlock <= n_rows; i += kRowsPerBlock) {
    add_rows_block<kRowsPerBlock>(rows + i, factors + i, n, y);
  }
  for (; i < n_rows; ++i) add_rows_block<1>(rows + i, factors + i, n, y);
}

}  // namespace

#define ONEGLANCE_PANEL_TABLE \
  {row_f16_to_f32,            \
   row_f16_to_f64,            \
   convert<float, float>,     \
   convert<float, double>,    \
   convert<double, float>,    \
   convert<double, double>,   \
   scale_columns<float>,      \
   scale_columns<double>,     \
   sum_squares<float>,        \
   sum_squares<double>,       \
   scale_row<float>,          \
   scale_row<double>,         \
   add_to<float>,             \
   add_to<double>,            \
   dots_f32,                  \
   mean_rows_f32,             \
   exp_scaled_f32,            \
   sum_f32,                   \
   gain_f32,                  \
   gauss_f32,                 \
   weigh_f32,                 \
   weigh_by_f32,              \
   add_gains_f32,             \
   above_f32,                 \
   times<float>,              \
   times<double>,             \
   add_rows<float>,           \
   add_rows<double>}
