// AVX-512 F/BW/DQ/VL: Skylake-X (2017), Zen 4 (2022) and later.
#include <immintrin.h>

#include <cstdint>

namespace {

bool row_f16_to_f32(const std::uint16_t* src, std::int64_t n, float* dst) {
  const __m256i exponent_u16x16 = _mm256_set1_epi16(0x7c00);
  bool ok = true;
  for (std::int64_t j = 0; j < n; j += 16) {
    const __mmask16 lanes = n - j >= 16 ? 0xffff : static_cast<__mmask16>((1u << (n - j)) - 1u);
    const __m256i half_u16x16 = _mm256_maskz_loadu_epi16(lanes, src + j);
    ok = ok && _mm256_cmpeq_epi16_mask(_mm256_and_si256(half_u16x16, exponent_u16x16), exponent_u16x16) == 0;
    _mm512_mask_storeu_ps(dst + j, lanes, _mm512_maskz_cvtph_ps(lanes, half_u16x16));
  }
  return ok;
}

}  // namespace

#define ONEGLANCE_ROW_F16_TO_F32
#include "panel_impl.h"
#include "tables.h"

namespace oneglance {
const PanelKernels panel_kernels_avx512 = ONEGLANCE_PANEL_TABLE;
}
