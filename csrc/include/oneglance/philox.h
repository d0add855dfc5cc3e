#pragma once
#include <cstdint>

// The one definition of the random numbers, compiled for the CPU and for CUDA: both give the same bits.
#if defined(__CUDACC__)
#define ONEGLANCE_HOST_DEVICE __host__ __device__
#else
#define ONEGLANCE_HOST_DEVICE
#endif

namespace oneglance {

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): a uniform number in [0, 1) with 53 bits.
/// Key = seed; counter = (item low, item high, purpose, draw).
ONEGLANCE_HOST_DEVICE inline double philox_uniform(std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw,
                                                   std::uint64_t item) {
  constexpr std::uint32_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  std::uint32_t c0 = static_cast<std::uint32_t>(item), c1 = static_cast<std::uint32_t>(item >> 32);
  std::uint32_t c2 = purpose, c3 = draw;
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{kMultiplier0} * c0;
    const std::uint64_t product1 = std::uint64_t{kMultiplier1} * c2;
    c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(product1);
    c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(product0);
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  const std::uint64_t bits = (std::uint64_t{c0} << 32) | c1;
  return static_cast<double>(bits >> 11) * (1.0 / 9007199254740992.0);  // 2^-53
}

}  // namespace oneglance
