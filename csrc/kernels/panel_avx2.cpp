// AVX2 + FMA + F16C: Haswell (2013), Zen (2017) and later.
#include <immintrin.h>

#include <cstdint>

namespace {

bool row_f16_to_f32(const std::uint16_t* src, std::int64_t n, float* dst) {
  const __m128i exponent_u16x8 = _mm_set1_epi16(0x7c00);
  __m128i bad_u16x8 = _mm_setzero_si128();
  std::int64_t j = 0;
  for (; j + 8 <= n; j += 8) {
    const __m128i half_u16x8 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(src + j));
    bad_u16x8 = _mm_or_si128(bad_u16x8, _mm_cmpeq_epi16(_mm_and_si128(half_u16x8, exponent_u16x8), exponent_u16x8));
    _mm256_storeu_ps(dst + j, _mm256_cvtph_ps(half_u16x8));
  }
  bool ok = _mm_testz_si128(bad_u16x8, bad_u16x8) != 0;
  for (; j < n; ++j) {
    ok = ok && (src[j] & 0x7c00) != 0x7c00;
    dst[j] = _cvtsh_ss(src[j]);
  }
  return ok;
}

}  // namespace

#define ONEGLANCE_ROW_F16_TO_F32
#include "panel_impl.h"
#include "tables.h"

namespace oneglance {
const PanelKernels panel_kernels_avx2 = ONEGLANCE_PANEL_TABLE;
}
