#include "mask_bits.h"

#include "row_types.h"

namespace oneglance::cuda {
namespace {

using simt::lane;
using simt::Vec;

constexpr std::int64_t kVecBytes = 16;

bool is_aligned(const void* address) { return reinterpret_cast<std::uintptr_t>(address) % kVecBytes == 0; }

/// N elements from `first` on; those past n are `fill`. kAligned: one instruction where all are there.
template <typename T, int N, bool kAligned>
SIMT_DEVICE Vec<T, N> load(const T* from, std::int64_t first, std::int64_t n, T fill) {
  if (kAligned && first + N <= n) return *reinterpret_cast<const Vec<T, N>*>(from + first);
  Vec<T, N> found;
  for (int k = 0; k < N; ++k) found.at[k] = first + k < n ? from[first + k] : fill;
  return found;
}
template <typename T, int N, bool kAligned>
SIMT_DEVICE void store(T* to, std::int64_t first, std::int64_t n, const Vec<T, N>& values) {
  if (kAligned && first + N <= n) {
    *reinterpret_cast<Vec<T, N>*>(to + first) = values;
    return;
  }
  for (int k = 0; k < N && first + k < n; ++k) to[first + k] = values.at[k];
}

/// Bits `first` .. `first` + count - 1, count <= 25; those past the n-th weight are 0.
SIMT_DEVICE std::uint32_t bits_at(const std::uint8_t* bits, std::int64_t first, int count, std::int64_t n) {
  const int shift = static_cast<int>(first % 8);
  std::uint32_t found = 0;
  for (int byte = 0; 8 * byte < shift + count && first - shift + 8 * byte < n; ++byte) {
    found |= static_cast<std::uint32_t>(bits[first / 8 + byte]) << (8 * byte);
  }
  return found >> shift;
}

SIMT_DEVICE int ones_in(std::uint32_t word) {
  word -= (word >> 1) & 0x55555555u;
  word = (word & 0x33333333u) + ((word >> 2) & 0x33333333u);
  return static_cast<int>((((word + (word >> 4)) & 0x0f0f0f0fu) * 0x01010101u) >> 24);
}

SIMT_DEVICE void add_count(std::int64_t* total, std::int64_t mine) {
  mine = simt::warp_sum(mine);
  if (lane() == 0 && mine != 0) simt::atomic_add(total, mine);
}

/// 16 weights per thread: two bytes.
template <bool kAligned>
SIMT_KERNEL pack_kernel(const std::uint8_t* mask, std::int64_t n, std::uint8_t* bits, std::int64_t* ones) {
  constexpr int kWeights = 16;
  std::int64_t count = 0;
  for (std::int64_t i = kWeights * simt::first_of_thread(); i < n; i += kWeights * simt::thread_step()) {
    const Vec<std::uint8_t, kWeights> mine = load<std::uint8_t, kWeights, kAligned>(mask, i, n, 0);
    std::uint32_t word = 0;
    for (int k = 0; k < kWeights; k += 4) {
      std::uint32_t four = 0;
      for (int j = 0; j < 4; ++j) four |= static_cast<std::uint32_t>(mine.at[k + j]) << (8 * j);
      four = ((four | ((four & 0x7f7f7f7fu) + 0x7f7f7f7fu)) >> 7) & 0x01010101u;  // 1 in every byte that is not 0
      word |= ((four * 0x01020408u) >> 24 & 15u) << k;                            // the four bits side by side
    }
    bits[i / 8] = static_cast<std::uint8_t>(word);
    if (i + 8 < n) bits[i / 8 + 1] = static_cast<std::uint8_t>(word >> 8);
    count += ones_in(word);
  }
  add_count(ones, count);
}

/// 4 weights per thread; two threads make a byte.
template <bool kAligned>
SIMT_KERNEL pack_scores_kernel(const float* scores, float mu, std::int64_t n, std::uint8_t* bits,
                               std::int64_t* counts) {
  std::int64_t ones = 0, n_nan = 0;
  const std::int64_t step = 4 * simt::thread_step();
  for (std::int64_t first = 4 * (simt::first_of_thread() - lane()); first < n; first += step) {  // alike in a warp
    const std::int64_t i = first + 4 * lane();
    const Vec<float, 4> mine = load<float, 4, kAligned>(scores, i, n, mu);
    std::uint32_t nibble = 0;
    for (int k = 0; k < 4; ++k) {
      nibble |= mine.at[k] > mu ? 1u << k : 0u;
      n_nan += i + k < n && mine.at[k] != mine.at[k] ? 1 : 0;
    }
    ones += ones_in(nibble);
    const std::uint32_t next = simt::shuffle_down(nibble, 1);
    if (lane() % 2 == 0 && i < n) bits[i / 8] = static_cast<std::uint8_t>(nibble | next << 4);
  }
  add_count(counts, ones);
  add_count(counts + 1, n_nan);
}

template <bool kAligned>
SIMT_KERNEL unpack_kernel(const std::uint8_t* bits, std::int64_t start, std::int64_t stop, std::uint8_t* mask) {
  constexpr int kWeights = 16;
  const std::int64_t n = stop - start;
  for (std::int64_t i = kWeights * simt::first_of_thread(); i < n; i += kWeights * simt::thread_step()) {
    const std::uint32_t word = bits_at(bits, start + i, kWeights, stop);
    Vec<std::uint8_t, kWeights> mine;
    for (int k = 0; k < kWeights; ++k) mine.at[k] = static_cast<std::uint8_t>(word >> k & 1u);
    store<std::uint8_t, kWeights, kAligned>(mask, i, n, mine);
  }
}

SIMT_DEVICE float divided(float weight, float divisor) { return weight / divisor; }
SIMT_DEVICE double divided(double weight, float divisor) { return weight / static_cast<double>(divisor); }
SIMT_DEVICE simt::Half divided(simt::Half weight, float divisor) {
  return simt::to_half(simt::to_float(weight) / divisor);
}
SIMT_DEVICE simt::BFloat16 divided(simt::BFloat16 weight, float divisor) {
  const float value = simt::to_float(weight) / divisor;
  if (value != value) return {0x7fc0};
  const std::uint32_t bits = simt::bits_of(value);
  return {static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};  // to the nearest, ties to even
}

/// 16 bytes of weights per thread, for every mask.
template <typename T, bool kAligned>
SIMT_KERNEL apply_kernel(const T* weights, std::int64_t n, const std::uint8_t* bits, std::int64_t bytes_step,
                         const float* divisors, std::int64_t n_masks, T* out) {
  constexpr int kWeights = static_cast<int>(kVecBytes / sizeof(T));
  for (std::int64_t i = kWeights * simt::first_of_thread(); i < n; i += kWeights * simt::thread_step()) {
    const Vec<T, kWeights> mine = load<T, kWeights, kAligned>(weights, i, n, T{});
    for (std::int64_t s = 0; s < n_masks; ++s) {
      const std::uint32_t kept = bits_at(bits + s * bytes_step, i, kWeights, n);
      const float divisor = divisors[s];
      Vec<T, kWeights> masked;
      for (int k = 0; k < kWeights; ++k) masked.at[k] = (kept >> k & 1u) != 0 ? divided(mine.at[k], divisor) : T{};
      store<T, kWeights, kAligned>(out + s * n, i, n, masked);
    }
  }
}

constexpr int kSamples = 8;

/// A warp per output and 8 samples.
SIMT_KERNEL linear_kernel(const float* x, std::int64_t n, std::int64_t n_in, const float* weight, std::int64_t n_out,
                          const std::uint8_t* bits, std::int64_t bytes_step, const float* divisors,
                          const std::int64_t* site, const std::int64_t* order, const float* bias, float* out) {
  const std::int64_t n_groups = (n + kSamples - 1) / kSamples;
  for (std::int64_t work = simt::first_of_warp(); work < n_groups * n_out; work += simt::warp_step()) {
    const std::int64_t o = work % n_out, first = work / n_out * kSamples;
    std::int64_t sample[kSamples], of_site[kSamples];
    float sum[kSamples];
    for (int b = 0; b < kSamples; ++b) {
      sample[b] = order[first + b < n ? first + b : n - 1];
      of_site[b] = site[sample[b]];
      sum[b] = 0.0f;
    }
    for (std::int64_t i = lane(); i < n_in; i += 32) {
      const std::int64_t place = o * n_in + i;
      const float w = weight[place];
      for (int b = 0; b < kSamples; ++b) {
        const bool kept = of_site[b] < 0 || (bits[of_site[b] * bytes_step + place / 8] >> (place % 8) & 1) != 0;
        sum[b] += (kept ? w : 0.0f) * x[sample[b] * n_in + i];
      }
    }
    for (int b = 0; b < kSamples; ++b) sum[b] = simt::warp_sum(sum[b]);
    if (lane() != 0) continue;
    for (int b = 0; b < kSamples && first + b < n; ++b) {
      const float value = of_site[b] < 0 ? sum[b] : sum[b] / divisors[of_site[b]];
      out[sample[b] * n_out + o] = value + (bias == nullptr ? 0.0f : bias[o]);
    }
  }
}

/// Calls f(constant) with whether all of these addresses suit 16 bytes at once.
template <typename F>
void with_alignment(bool aligned, F&& f) {
  if (aligned) {
    f(std::true_type());
  } else {
    f(std::false_type());
  }
}

simt::Geometry threads_of(std::int64_t n, std::int64_t per_thread) {
  return simt::thread_per_item((n + per_thread - 1) / per_thread);
}

}  // namespace

void pack_mask(const std::uint8_t* mask, std::int64_t n, std::uint8_t* bits, std::int64_t* ones,
               std::uintptr_t stream) {
  with_alignment(is_aligned(mask), [&](auto aligned) {
    simt::launch("pack_mask", pack_kernel<decltype(aligned)::value>, threads_of(n, 16), stream, mask, n, bits, ones);
  });
}

void pack_scores(const float* scores, float mu, std::int64_t n, std::uint8_t* bits, std::int64_t* counts,
                 std::uintptr_t stream) {
  with_alignment(is_aligned(scores), [&](auto aligned) {
    simt::launch("pack_scores", pack_scores_kernel<decltype(aligned)::value>, threads_of(n, 4), stream, scores, mu, n,
                 bits, counts);
  });
}

void unpack_mask(const std::uint8_t* bits, std::int64_t start, std::int64_t stop, std::uint8_t* mask,
                 std::uintptr_t stream) {
  with_alignment(is_aligned(mask), [&](auto aligned) {
    simt::launch("unpack_mask", unpack_kernel<decltype(aligned)::value>, threads_of(stop - start, 16), stream, bits,
                 start, stop, mask);
  });
}

void apply_masks(const void* weights, RowType type, std::int64_t n, const std::uint8_t* bits, std::int64_t bytes_step,
                 const float* divisors, std::int64_t n_masks, void* out, std::uintptr_t stream) {
  with_row_type(type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    constexpr auto kWeights = static_cast<std::int64_t>(kVecBytes / sizeof(T));
    // Each mask's weights begin n elements further: aligned only if that is a multiple of the vector.
    const bool fits = is_aligned(weights) && is_aligned(out) && (n_masks == 1 || n % kWeights == 0);
    with_alignment(fits, [&](auto aligned) {
      simt::launch("apply_masks", apply_kernel<T, decltype(aligned)::value>, threads_of(n, kWeights), stream,
                   static_cast<const T*>(weights), n, bits, bytes_step, divisors, n_masks, static_cast<T*>(out));
    });
  });
}

void masked_linear(const float* x, std::int64_t n, std::int64_t n_in, const float* weight, std::int64_t n_out,
                   const std::uint8_t* bits, std::int64_t bytes_step, const float* divisors, const std::int64_t* site,
                   const std::int64_t* order, const float* bias, float* out, std::uintptr_t stream) {
  simt::launch("masked_linear", linear_kernel, simt::warp_per_item((n + kSamples - 1) / kSamples * n_out), stream, x, n,
               n_in, weight, n_out, bits, bytes_step, divisors, site, order, bias, out);
}

}  // namespace oneglance::cuda
