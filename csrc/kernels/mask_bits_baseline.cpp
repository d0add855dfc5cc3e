// Plain C++ for any processor; little-endian, as everywhere here.
#include <cstdint>
#include <cstring>

namespace {

constexpr std::uint64_t kEach = 0x0101010101010101u;

/// Bit i of the answer = byte i of eight bytes that are 0 or 1.
inline std::uint64_t gather8(std::uint64_t bytes) { return (bytes * 0x0102040810204080u) >> 56; }

inline std::uint64_t gather64(const std::uint8_t* zero_or_one) {
  std::uint64_t word = 0;
  for (int k = 0; k < 8; ++k) {
    std::uint64_t bytes;
    std::memcpy(&bytes, zero_or_one + 8 * k, sizeof bytes);
    word |= gather8(bytes) << (8 * k);
  }
  return word;
}

inline std::uint64_t nonzero64(const std::uint8_t* mask) {
  std::uint8_t kept[64];
#pragma omp simd
  for (int i = 0; i < 64; ++i) kept[i] = mask[i] != 0 ? 1 : 0;
  return gather64(kept);
}

inline std::uint64_t above64(const float* scores, float mu, std::int64_t* n_nan) {
  std::uint8_t kept[64];
  std::int32_t nan = 0;
#pragma omp simd reduction(+ : nan)
  for (int i = 0; i < 64; ++i) {
    kept[i] = scores[i] > mu ? 1 : 0;
    nan += scores[i] != scores[i] ? 1 : 0;
  }
  *n_nan += nan;
  return gather64(kept);
}

inline void spread64(std::uint64_t word, std::uint8_t* mask) {
  for (int k = 0; k < 8; ++k) {
    const std::uint64_t bits = (((word >> (8 * k)) & 0xff) * kEach) & 0x8040201008040201u;
    const std::uint64_t bytes = ((bits + 0x7f * kEach) >> 7) & kEach;  // no byte reaches the next: 0x80 + 0x7f = 0xff
    std::memcpy(mask + 8 * k, &bytes, sizeof bytes);
  }
}

template <bool past_cache>
inline void apply64(const float* weights, std::uint64_t word, float divisor, float* out) {
  std::uint8_t kept[64];
  spread64(word, kept);
  for (int i = 0; i < 64; ++i) out[i] = kept[i] != 0 ? weights[i] / divisor : 0.0f;
}

inline float widen(std::uint16_t half) {
  std::uint32_t bits = (half & 0x7fffu) << 13;
  float value;
  if ((half & 0x7c00u) == 0x7c00u) {
    bits |= 0x7f800000u;
    std::memcpy(&value, &bits, sizeof value);
  } else {
    std::memcpy(&value, &bits, sizeof value);
    value *= 5.192296858534828e+33f;  // 2^112: the bias of exponents, and exact for subnormals
  }
  return (half & 0x8000u) != 0 ? -value : value;
}

/// To the nearest, ties to even.
inline std::uint16_t narrow(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  std::uint32_t half;
  if (bits > 0x7f800000u) {
    half = 0x7e00u | ((bits >> 13) & 0x1ffu);  // NaN keeps its payload, as in hardware
  } else if (bits >= 0x477ff000u) {            // 65520 and more round to infinity
    half = 0x7c00u;
  } else if (bits < 0x38800000u) {  // below 2^-14: one unit of 0.5 is one of a subnormal half
    float small;
    std::memcpy(&small, &bits, sizeof small);
    small += 0.5f;
    std::memcpy(&half, &small, sizeof half);
    half -= 0x3f000000u;
  } else {
    half = (bits - 0x38000000u + 0xfffu + ((bits >> 13) & 1u)) >> 13;
  }
  return static_cast<std::uint16_t>(sign | half);
}

template <bool past_cache>
inline void apply64(const std::uint16_t* weights, std::uint64_t word, float divisor, std::uint16_t* out) {
  for (int i = 0; i < 64; ++i) {
    out[i] = ((word >> i) & 1) != 0 ? narrow(widen(weights[i]) / divisor) : static_cast<std::uint16_t>(0);
  }
}

inline void finish_past_cache() {}

}  // namespace

#include "mask_bits_impl.h"
#include "tables.h"

namespace oneglance {
const MaskKernels mask_kernels_baseline = ONEGLANCE_MASK_TABLE;
}
