// AVX-512: masks make the search for the lowest and the collecting of candidates free of branches.
#include <immintrin.h>

#include <cstdint>

namespace {

__m512 lower16(const float* product, const float* base, const float* slope, __m512 norm, __mmask16 lanes) {
  const __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, base), _mm512_maskz_loadu_ps(lanes, product));
  return _mm512_sub_ps(sum, _mm512_mul_ps(norm, _mm512_maskz_loadu_ps(lanes, slope)));
}

__mmask16 lanes_left(std::int64_t left) {
  return left >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << left) - 1u);
}

void two_lowest(const float* product, const float* base, const float* slope, float norm, std::int64_t n, float* first,
                float* second) {
  const __m512 infinity = _mm512_set1_ps(__builtin_inff());
  const __m512 norm16 = _mm512_set1_ps(norm);
  __m512 lowest = infinity, next = infinity;
  for (std::int64_t j = 0; j < n; j += 16) {
    const __mmask16 lanes = lanes_left(n - j);
    const __m512 value = lower16(product + j, base + j, slope + j, norm16, lanes);
    next = _mm512_mask_min_ps(next, lanes, next, _mm512_mask_max_ps(infinity, lanes, lowest, value));
    lowest = _mm512_mask_min_ps(lowest, lanes, lowest, value);
  }
  alignas(64) float values[16], nexts[16];
  _mm512_store_ps(values, lowest);
  _mm512_store_ps(nexts, next);
  float best = values[0], best2 = nexts[0];
  for (int k = 1; k < 16; ++k) {
    const float larger = values[k] < best ? best : values[k];
    best = values[k] < best ? values[k] : best;
    const float nearer = nexts[k] < larger ? nexts[k] : larger;
    best2 = nearer < best2 ? nearer : best2;
  }
  *first = best;
  *second = best2;
}

std::int64_t collect(const float* product, const float* base, const float* slope, float norm, float most,
                     std::int64_t n, std::int32_t* positions, float* lower) {
  const __m512 norm16 = _mm512_set1_ps(norm), most16 = _mm512_set1_ps(most);
  __m512i position = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  std::int64_t count = 0;
  for (std::int64_t j = 0; j < n; j += 16) {
    const __mmask16 lanes = lanes_left(n - j);
    const __m512 value = lower16(product + j, base + j, slope + j, norm16, lanes);
    const __mmask16 chosen = _mm512_mask_cmp_ps_mask(lanes, value, most16, _CMP_LE_OQ);
    if (chosen != 0) {
      _mm512_mask_compressstoreu_epi32(positions + count, chosen, position);
      _mm512_mask_compressstoreu_ps(lower + count, chosen, value);
      count += __builtin_popcount(chosen);
    }
    position = _mm512_add_epi32(position, _mm512_set1_epi32(16));
  }
  return count;
}

}  // namespace

#define ONEGLANCE_TWO_LOWEST
#include "distance_impl.h"
#include "tables.h"

namespace oneglance {
const DistanceKernels distance_kernels_avx512 = ONEGLANCE_DISTANCE_TABLE;
}
