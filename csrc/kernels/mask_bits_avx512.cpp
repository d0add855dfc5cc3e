// AVX-512: comparisons give masks of bits, and masks are operands.
#include <immintrin.h>

#include <cstdint>

namespace {

inline std::uint64_t nonzero64(const std::uint8_t* mask) {
  const __m512i bytes = _mm512_loadu_si512(mask);
  return _mm512_test_epi8_mask(bytes, bytes);
}

/// Joined in mask registers: of a 16-bit mask that is widened in memory, GCC 12 may leave the upper bits as they were.
inline std::uint64_t join64(__mmask16 a, __mmask16 b, __mmask16 c, __mmask16 d) {
  return _mm512_kunpackd(_mm512_kunpackw(d, c), _mm512_kunpackw(b, a));
}

inline std::uint64_t above64(const float* scores, float mu, std::int64_t* n_nan) {
  const __m512 mu16 = _mm512_set1_ps(mu);
  const __m512 s0 = _mm512_loadu_ps(scores), s1 = _mm512_loadu_ps(scores + 16);
  const __m512 s2 = _mm512_loadu_ps(scores + 32), s3 = _mm512_loadu_ps(scores + 48);
  const auto above = [&](__m512 score) { return _mm512_cmp_ps_mask(score, mu16, _CMP_GT_OQ); };
  const auto nan = [](__m512 score) { return _mm512_cmp_ps_mask(score, score, _CMP_UNORD_Q); };
  *n_nan += __builtin_popcountll(join64(nan(s0), nan(s1), nan(s2), nan(s3)));
  return join64(above(s0), above(s1), above(s2), above(s3));
}

inline void spread64(std::uint64_t word, std::uint8_t* mask) {
  _mm512_storeu_si512(mask, _mm512_maskz_set1_epi8(word, 1));
}

template <bool past_cache>
inline void apply64(const float* weights, std::uint64_t word, float divisor, float* out) {
  const __m512 divisor16 = _mm512_set1_ps(divisor);
  for (int k = 0; k < 4; ++k) {
    const auto kept = static_cast<__mmask16>(word >> (16 * k));
    const __m512 scaled = _mm512_maskz_div_ps(kept, _mm512_loadu_ps(weights + 16 * k), divisor16);
    past_cache ? _mm512_stream_ps(out + 16 * k, scaled) : _mm512_storeu_ps(out + 16 * k, scaled);
  }
}

// Forms with a mask, since GCC 12 warns of its own header in the others.
template <bool past_cache>
inline void apply64(const std::uint16_t* weights, std::uint64_t word, float divisor, std::uint16_t* out) {
  const __m512 divisor16 = _mm512_set1_ps(divisor);
  for (int k = 0; k < 4; ++k) {
    const auto kept = static_cast<__mmask16>(word >> (16 * k));
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 16 * k));
    const __m512 scaled = _mm512_maskz_div_ps(kept, _mm512_maskz_cvtph_ps(kept, halves), divisor16);
    const __m256i rounded = _mm512_maskz_cvtps_ph(kept, scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    auto* const to = reinterpret_cast<__m256i*>(out + 16 * k);
    past_cache ? _mm256_stream_si256(to, rounded) : _mm256_storeu_si256(to, rounded);
  }
}

inline void finish_past_cache() { _mm_sfence(); }

}  // namespace

#include "mask_bits_impl.h"
#include "tables.h"

namespace oneglance {
const MaskKernels mask_kernels_avx512 = ONEGLANCE_MASK_TABLE;
}
