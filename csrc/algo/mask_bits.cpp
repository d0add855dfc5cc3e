#include "oneglance/mask_bits.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "oneglance/mask_kernels.h"

namespace oneglance {
namespace {

constexpr std::int64_t kLaneWeights = 1 << 18;
constexpr std::int64_t kPastCacheBytes = 32 << 20;
constexpr double kWorkPerByte = 1.0 / 16.0;  // a thread more per 64 MB: one alone moves that in about 3 ms

/// work(first weight, weights) for blocks that begin at whole bytes; a block takes a fraction of a millisecond.
template <typename Work>
void for_each_block(std::int64_t n, double bytes_per_weight, const Work& work) {
  const std::int64_t n_lanes = (n + kLaneWeights - 1) / kLaneWeights;
  const int n_threads = worthwhile_threads(kWorkPerByte * bytes_per_weight * static_cast<double>(n));
  for_each_lane(n_lanes, n_threads, {}, [&](const Lane& lane) {
    const std::int64_t first = lane.index * kLaneWeights;
    work(first, std::min(kLaneWeights, n - first));
  });
}

/// The same with sums of whole numbers, whose order does not matter.
template <typename Work>
Packed sum_of_blocks(std::int64_t n, double bytes_per_weight, const Work& work) {
  std::vector<Packed> parts(static_cast<std::size_t>((n + kLaneWeights - 1) / kLaneWeights));
  for_each_block(n, bytes_per_weight, [&](std::int64_t first, std::int64_t size) {
    parts[static_cast<std::size_t>(first / kLaneWeights)] = work(first, size);
  });
  Packed sum;
  for (const Packed& part : parts) {
    sum.ones += part.ones;
    sum.n_nan += part.n_nan;
  }
  return sum;
}

}  // namespace

Packed pack_mask(const std::uint8_t* mask, std::int64_t n, std::uint8_t* bits) {
  return sum_of_blocks(n, 1.125, [&](std::int64_t first, std::int64_t size) {
    return Packed{mask_kernels().pack(mask + first, size, bits + first / 8), 0};
  });
}

Packed pack_scores(const float* scores, float mu, std::int64_t n, std::uint8_t* bits) {
  return sum_of_blocks(n, 4.125, [&](std::int64_t first, std::int64_t size) {
    Packed packed;
    packed.ones = mask_kernels().pack_scores(scores + first, mu, size, bits + first / 8, &packed.n_nan);
    return packed;
  });
}

void unpack_mask(const std::uint8_t* bits, std::int64_t start, std::int64_t stop, std::uint8_t* mask) {
  // Single weights up to the next whole byte.
  for (; start < stop && start % 8 != 0; ++start) *mask++ = (bits[start / 8] >> (start % 8)) & 1;
  for_each_block(stop - start, 1.125, [&](std::int64_t first, std::int64_t size) {
    mask_kernels().unpack(bits + (start + first) / 8, size, mask + first);
  });
}

std::int64_t mask_popcount(const std::uint8_t* bits, std::int64_t n_bytes) {
  return sum_of_blocks(8 * n_bytes, 0.125,
                       [&](std::int64_t first, std::int64_t size) {
                         return Packed{mask_kernels().popcount(bits + first / 8, size / 8), 0};
                       })
      .ones;
}

std::int64_t mask_xor(const std::uint8_t* a, const std::uint8_t* b, std::int64_t n_bytes, std::uint8_t* out) {
  return sum_of_blocks(8 * n_bytes, 0.375,
                       [&](std::int64_t first, std::int64_t size) {
                         const std::int64_t at = first / 8;
                         return Packed{mask_kernels().exclusive_or(a + at, b + at, size / 8, out + at), 0};
                       })
      .ones;
}

float mask_divisor(std::int64_t kept, std::int64_t n) {
  if (n == 0) return 1.0f;
  return static_cast<float>(std::sqrt(static_cast<double>(std::max<std::int64_t>(kept, 1)) / static_cast<double>(n)));
}

void apply_mask(const float* weights, const std::uint8_t* bits, std::int64_t kept, std::int64_t n, float* out) {
  const float divisor = mask_divisor(kept, n);
  const bool past_cache = out != weights && n >= kPastCacheBytes / 4;
  for_each_block(n, 8.125, [&](std::int64_t first, std::int64_t size) {
    mask_kernels().apply_f32(weights + first, bits + first / 8, divisor, size, past_cache, out + first);
  });
}

void apply_mask(const std::uint16_t* weights, const std::uint8_t* bits, std::int64_t kept, std::int64_t n,
                std::uint16_t* out) {
  const float divisor = mask_divisor(kept, n);
  const bool past_cache = out != weights && n >= kPastCacheBytes / 2;
  for_each_block(n, 4.125, [&](std::int64_t first, std::int64_t size) {
    mask_kernels().apply_f16(weights + first, bits + first / 8, divisor, size, past_cache, out + first);
  });
}

}  // namespace oneglance
