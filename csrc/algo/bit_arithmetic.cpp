#include "bit_arithmetic.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace oneglance {
namespace {

constexpr int kBins = 16;      // quantiles of |weight|
constexpr int kNearby = 4;     // 0, 1, 2, or more of the rarer value among the last 16 weights
constexpr int kRateBits = 30;  // of an estimate
constexpr int kCodeBits = 16;  // of an estimate when it is used
constexpr int kKeys = 4096;    // exponent and four bits of the mantissa of |weight|
constexpr int kFirstCount = 24, kLastCount = 4095;

/// P(bit = 1) of one context, which moves by 1 / (count + 1.5) of its error.
struct Estimate {
  std::uint32_t rate;
  std::uint32_t count = kFirstCount;

  std::uint32_t code() const { return std::clamp(rate >> (kRateBits - kCodeBits), 1u, (1u << kCodeBits) - 1); }
  void learn(bool bit) {
    const std::uint64_t step = 131072 / (2 * count + 3);  // in 2^-16
    if (bit) {
      rate += static_cast<std::uint32_t>((((1u << kRateBits) - rate) * step) >> 16);
    } else {
      rate -= static_cast<std::uint32_t>((rate * step) >> 16);
    }
    if (count < kLastCount) ++count;
  }
};

/// The context of every weight in turn: quantile of its magnitude, and what came before.
class Contexts {
 public:
  Contexts(std::int64_t n, std::int64_t ones, const float* weights) : weights_(weights), rarer_(2 * ones <= n) {
    const auto rate =
        static_cast<std::uint32_t>((static_cast<std::uint64_t>(ones) << kRateBits) / static_cast<std::uint64_t>(n));
    estimates_.assign(static_cast<std::size_t>((weights != nullptr ? kBins : 1) * kNearby), Estimate{rate});
    if (weights == nullptr) return;
    std::array<std::int64_t, kKeys> counts{};
    for (std::int64_t i = 0; i < n; ++i) ++counts[key(i)];
    std::int64_t before = 0;
    for (std::size_t k = 0; k < kKeys; ++k) {
      bins_[k] = static_cast<std::uint8_t>(before * kBins / n);
      before += counts[k];
    }
  }

  Estimate& at(std::int64_t i) {
    const auto nearby = static_cast<std::size_t>(std::min(recent_, kNearby - 1));
    const std::size_t bin = weights_ != nullptr ? bins_[key(i)] : 0;
    return estimates_[bin * kNearby + nearby];
  }
  void saw(bool bit) {
    const bool rare = bit == rarer_;
    recent_ += static_cast<int>(rare) - static_cast<int>((history_ >> 15) & 1);
    history_ = static_cast<std::uint16_t>(history_ << 1 | static_cast<std::uint16_t>(rare));
  }

 private:
  std::size_t key(std::int64_t i) const {
    std::uint32_t number;
    std::memcpy(&number, weights_ + i, sizeof number);
    return (number & 0x7fffffffu) >> 19;
  }

  const float* weights_;
  bool rarer_;
  std::vector<Estimate> estimates_;
  std::array<std::uint8_t, kKeys> bins_{};
  std::uint16_t history_ = 0;
  int recent_ = 0;
};

/// The interval of numbers that begin like the message so far; bytes that both ends share leave it.
struct Interval {
  std::uint64_t low = 0, high = ~std::uint64_t{0};

  std::uint64_t split(std::uint32_t code) const { return low + ((high - low) >> kCodeBits) * code; }
  bool top_is_settled() const { return ((low ^ high) >> 56) == 0; }
  void shift() {
    low <<= 8;
    high = high << 8 | 0xff;
  }
  /// The fewest bytes that, with zeros after them, lie inside.
  std::vector<std::uint8_t> last_bytes() const {
    std::vector<std::uint8_t> bytes;
    for (int size = 0; size <= 8; ++size) {
      const std::uint64_t below = size == 0   ? ~std::uint64_t{0}
                                  : size == 8 ? 0
                                              : (std::uint64_t{1} << (64 - 8 * size)) - 1;
      const std::uint64_t number = low == 0 ? 0 : ((low - 1) | below) + 1;  // low rounded up; 0 where that overflows
      if (number < low || number > high) continue;
      for (int k = 0; k < size; ++k) bytes.push_back(static_cast<std::uint8_t>(number >> (56 - 8 * k)));
      break;
    }
    return bytes;
  }
};

}  // namespace

void encode_adaptive(const std::uint8_t* bits, std::int64_t n, std::int64_t ones, const float* weights,
                     std::vector<std::uint8_t>& out) {
  Contexts contexts(n, ones, weights);
  Interval interval;
  for (std::int64_t i = 0; i < n; ++i) {
    const bool bit = ((bits[i / 8] >> (i % 8)) & 1) != 0;
    Estimate& estimate = contexts.at(i);
    const std::uint64_t middle = interval.split(estimate.code());
    if (bit) {
      interval.high = middle;
    } else {
      interval.low = middle + 1;
    }
    estimate.learn(bit);
    contexts.saw(bit);
    for (; interval.top_is_settled(); interval.shift()) out.push_back(static_cast<std::uint8_t>(interval.high >> 56));
  }
  const std::vector<std::uint8_t> last = interval.last_bytes();
  out.insert(out.end(), last.begin(), last.end());
}

void decode_adaptive(ByteReader& in, std::int64_t n, std::int64_t ones, const float* weights, std::uint8_t* bits) {
  Contexts contexts(n, ones, weights);
  Interval interval;
  const std::uint8_t* const from = in.at();
  const std::int64_t size = in.left();
  std::int64_t settled = 0;  // bytes that have left the interval
  const auto byte_at = [&](std::int64_t i) { return i < size ? from[i] : static_cast<std::uint8_t>(0); };
  std::uint64_t number = 0;
  for (int k = 0; k < 8; ++k) number = number << 8 | byte_at(k);
  std::memset(bits, 0, static_cast<std::size_t>((n + 7) / 8));
  for (std::int64_t i = 0; i < n; ++i) {
    Estimate& estimate = contexts.at(i);
    const std::uint64_t middle = interval.split(estimate.code());
    const bool bit = number <= middle;
    if (bit) {
      bits[i / 8] |= static_cast<std::uint8_t>(1u << (i % 8));
      interval.high = middle;
    } else {
      interval.low = middle + 1;
    }
    estimate.learn(bit);
    contexts.saw(bit);
    for (; interval.top_is_settled(); interval.shift()) {
      number = number << 8 | byte_at(settled + 8);
      ++settled;
    }
  }
  const std::vector<std::uint8_t> last = interval.last_bytes();
  if (settled + static_cast<std::int64_t>(last.size()) != size ||
      !std::equal(last.begin(), last.end(), from + settled)) {
    throw BadStream("it does not end as it should");
  }
  in.take(size);
}

}  // namespace oneglance
