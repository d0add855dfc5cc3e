#include <immintrin.h>

#include <cstdint>

namespace {

inline std::uint64_t nonzero64(const std::uint8_t* mask) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(mask));
  const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(mask + 32));
  const auto low_zero = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, zero)));
  const auto high_zero = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, zero)));
  return ~(static_cast<std::uint64_t>(high_zero) << 32 | low_zero);
}

inline std::uint64_t above64(const float* scores, float mu, std::int64_t* n_nan) {
  const __m256 mu8 = _mm256_set1_ps(mu);
  std::uint64_t word = 0, nan = 0;
  for (int k = 0; k < 8; ++k) {
    const __m256 score = _mm256_loadu_ps(scores + 8 * k);
    const int above = _mm256_movemask_ps(_mm256_cmp_ps(score, mu8, _CMP_GT_OQ));
    const int unordered = _mm256_movemask_ps(_mm256_cmp_ps(score, score, _CMP_UNORD_Q));
    word |= static_cast<std::uint64_t>(above) << (8 * k);
    nan |= static_cast<std::uint64_t>(unordered) << (8 * k);
  }
  *n_nan += __builtin_popcountll(nan);
  return word;
}

inline void spread64(std::uint64_t word, std::uint8_t* mask) {
  const __m256i owner =
      _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i own_bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201u));
  for (int k = 0; k < 2; ++k) {
    const __m256i bits = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(word >> (32 * k))), owner);
    const __m256i kept = _mm256_min_epu8(_mm256_and_si256(bits, own_bit), _mm256_set1_epi8(1));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(mask + 32 * k), kept);
  }
}

/// All bits of number j where bit j of the lowest byte is 1.
inline __m256 lanes8(std::uint64_t word) {
  const __m256i own_bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i bits = _mm256_set1_epi32(static_cast<int>(word));
  return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(bits, own_bit), own_bit));
}

template <bool past_cache>
inline void apply64(const float* weights, std::uint64_t word, float divisor, float* out) {
  const __m256 divisor8 = _mm256_set1_ps(divisor);
  for (int k = 0; k < 8; ++k) {
    const __m256 scaled = _mm256_div_ps(_mm256_loadu_ps(weights + 8 * k), divisor8);
    const __m256 kept = _mm256_and_ps(scaled, lanes8(word >> (8 * k)));
    past_cache ? _mm256_stream_ps(out + 8 * k, kept) : _mm256_storeu_ps(out + 8 * k, kept);
  }
}

template <bool past_cache>
inline void apply64(const std::uint16_t* weights, std::uint64_t word, float divisor, std::uint16_t* out) {
  const __m256 divisor8 = _mm256_set1_ps(divisor);
  for (int k = 0; k < 8; ++k) {
    const __m256 wide = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights + 8 * k)));
    const __m256 scaled = _mm256_and_ps(_mm256_div_ps(wide, divisor8), lanes8(word >> (8 * k)));
    const __m128i halves = _mm256_cvtps_ph(scaled, _MM_FROUND_TO_NEAREST_INT);
    auto* const to = reinterpret_cast<__m128i*>(out + 8 * k);
    past_cache ? _mm_stream_si128(to, halves) : _mm_storeu_si128(to, halves);
  }
}

inline void finish_past_cache() { _mm_sfence(); }

}  // namespace

#include "mask_bits_impl.h"
#include "tables.h"

namespace oneglance {
const MaskKernels mask_kernels_avx2 = ONEGLANCE_MASK_TABLE;
}
