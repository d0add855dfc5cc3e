#include "oneglance/rng.h"

namespace oneglance {
namespace {

constexpr std::uint32_t kMultiplier0 = 0xD2511F53u;
constexpr std::uint32_t kMultiplier1 = 0xCD9E8D57u;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9u;
constexpr std::uint32_t kWeyl1 = 0xBB67AE85u;
constexpr int kRounds = 10;

}  // namespace

void philox_uniforms(std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw, const std::int64_t* items,
                     std::int64_t n_items, double* out) {
  for (std::int64_t i = 0; i < n_items; ++i) {
    const auto item = static_cast<std::uint64_t>(items[i]);
    std::uint32_t c0 = static_cast<std::uint32_t>(item);
    std::uint32_t c1 = static_cast<std::uint32_t>(item >> 32);
    std::uint32_t c2 = purpose;
    std::uint32_t c3 = draw;
    std::uint32_t k0 = static_cast<std::uint32_t>(seed);
    std::uint32_t k1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < kRounds; ++round) {
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
    out[i] = static_cast<double>(bits >> 11) * 0x1.0p-53;
  }
}

}  // namespace oneglance
