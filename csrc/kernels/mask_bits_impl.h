// Included once by each instruction-set unit, after it has defined in its anonymous namespace what to do with 64
// weights: nonzero64, above64, spread64, apply64<past_cache> of two types, finish_past_cache. Here is the rest: loops,
// and the last weights by way of a buffer.
#include <cstdint>
#include <cstring>

#include "oneglance/mask_kernels.h"

namespace {

using std::int64_t;
using std::uint16_t;
using std::uint64_t;
using std::uint8_t;

constexpr int64_t kBlock = 64;

inline int64_t ones_in(uint64_t word) {
#if defined(__POPCNT__)
  return __builtin_popcountll(word);
#else
  word -= (word >> 1) & 0x5555555555555555u;
  word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
  return static_cast<int64_t>((((word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u) >> 56);
#endif
}

inline uint64_t load64(const uint8_t* bits) {
  uint64_t word;
  std::memcpy(&word, bits, sizeof word);
  return word;
}

/// The last n < 64 bits.
inline uint64_t load_last(const uint8_t* bits, int64_t n) {
  uint64_t word = 0;
  std::memcpy(&word, bits, static_cast<std::size_t>((n + 7) / 8));
  return word;
}

inline void store_last(uint64_t word, int64_t n, uint8_t* bits) {
  std::memcpy(bits, &word, static_cast<std::size_t>((n + 7) / 8));
}

int64_t pack(const uint8_t* mask, int64_t n, uint8_t* bits) {
  int64_t ones = 0, i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    const uint64_t word = nonzero64(mask + i);
    ones += ones_in(word);
    std::memcpy(bits + i / 8, &word, sizeof word);
  }
  if (i < n) {
    uint8_t last[kBlock] = {};
    std::memcpy(last, mask + i, static_cast<std::size_t>(n - i));
    const uint64_t word = nonzero64(last);
    ones += ones_in(word);
    store_last(word, n - i, bits + i / 8);
  }
  return ones;
}

int64_t pack_scores(const float* scores, float mu, int64_t n, uint8_t* bits, int64_t* n_nan) {
  int64_t ones = 0, i = 0;
  *n_nan = 0;
  for (; i + kBlock <= n; i += kBlock) {
    const uint64_t word = above64(scores + i, mu, n_nan);
    ones += ones_in(word);
    std::memcpy(bits + i / 8, &word, sizeof word);
  }
  if (i < n) {
    float last[kBlock];
    for (float& score : last) score = mu;  // not above
    std::memcpy(last, scores + i, static_cast<std::size_t>(n - i) * sizeof(float));
    const uint64_t word = above64(last, mu, n_nan);
    ones += ones_in(word);
    store_last(word, n - i, bits + i / 8);
  }
  return ones;
}

void unpack(const uint8_t* bits, int64_t n, uint8_t* mask) {
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) spread64(load64(bits + i / 8), mask + i);
  if (i < n) {
    uint8_t last[kBlock];
    spread64(load_last(bits + i / 8, n - i), last);
    std::memcpy(mask + i, last, static_cast<std::size_t>(n - i));
  }
}

/// Bits i .. i + 63, from the bytes that hold them.
inline uint64_t bits_from(const uint8_t* bits, int64_t i) {
  const int shift = static_cast<int>(i % 8);
  const uint64_t word = load64(bits + i / 8) >> shift;
  return shift == 0 ? word : word | static_cast<uint64_t>(bits[i / 8 + 8]) << (64 - shift);
}

/// Fewer than 64 weights, by way of a buffer.
template <typename Real>
void apply_few(const Real* weights, const uint8_t* bits, int64_t first, int64_t n, float divisor, Real* out) {
  Real part[kBlock] = {};
  uint64_t word = 0;
  for (int64_t i = first; i < first + n; ++i) {
    part[i - first] = weights[i];
    word |= static_cast<uint64_t>((bits[i / 8] >> (i % 8)) & 1) << (i - first);
  }
  apply64<false>(part, word, divisor, part);
  std::memcpy(out + first, part, static_cast<std::size_t>(n) * sizeof(Real));
}

template <typename Real>
void apply(const Real* weights, const uint8_t* bits, float divisor, int64_t n, bool past_cache, Real* out) {
  int64_t i = 0;
  const auto address = reinterpret_cast<std::uintptr_t>(out);
  if (past_cache && n >= 4 * kBlock && address % sizeof(Real) == 0) {
    const auto head = static_cast<int64_t>((64 - address % 64) % 64 / sizeof(Real));  // up to a whole line of the cache
    apply_few(weights, bits, 0, head, divisor, out);
    for (i = head; i + kBlock <= n; i += kBlock) {
      apply64<true>(weights + i, bits_from(bits, i), divisor, out + i);
    }
    finish_past_cache();
  } else {
    for (; i + kBlock <= n; i += kBlock) apply64<false>(weights + i, load64(bits + i / 8), divisor, out + i);
  }
  apply_few(weights, bits, i, n - i, divisor, out);
}

int64_t popcount(const uint8_t* bits, int64_t n_bytes) {
  int64_t ones = 0, i = 0;
  for (; i + 8 <= n_bytes; i += 8) ones += ones_in(load64(bits + i));
  return i < n_bytes ? ones + ones_in(load_last(bits + i, 8 * (n_bytes - i))) : ones;
}

int64_t exclusive_or(const uint8_t* a, const uint8_t* b, int64_t n_bytes, uint8_t* out) {
  int64_t ones = 0, i = 0;
  for (; i + 8 <= n_bytes; i += 8) {
    const uint64_t word = load64(a + i) ^ load64(b + i);
    ones += ones_in(word);
    std::memcpy(out + i, &word, sizeof word);
  }
  if (i < n_bytes) {
    const int64_t left = 8 * (n_bytes - i);
    const uint64_t word = load_last(a + i, left) ^ load_last(b + i, left);
    ones += ones_in(word);
    store_last(word, left, out + i);
  }
  return ones;
}

}  // namespace

#define ONEGLANCE_MASK_TABLE {pack, pack_scores, unpack, apply<float>, apply<uint16_t>, popcount, exclusive_or}
