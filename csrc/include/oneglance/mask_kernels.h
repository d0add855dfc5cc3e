#pragma once
#include <cstdint>

namespace oneglance {

/// Inner loops of packed masks, one table per instruction set, the same bytes from each. Weight i is bit i mod 8 of
/// byte i / 8, the lowest bit first; bits after the last weight are written as 0. Nothing beyond n weights, or
/// ceil(n / 8) bytes, is read or written. Nothing needs alignment.
struct MaskKernels {
  /// Bit i = mask[i] != 0. Returns the number of ones.
  std::int64_t (*pack)(const std::uint8_t* mask, std::int64_t n, std::uint8_t* bits);
  /// Bit i = scores[i] > mu. Returns the number of ones; n_nan: how many scores are NaN.
  std::int64_t (*pack_scores)(const float* scores, float mu, std::int64_t n, std::uint8_t* bits, std::int64_t* n_nan);
  /// mask[i] = bit i, 0 or 1
  void (*unpack)(const std::uint8_t* bits, std::int64_t n, std::uint8_t* mask);
  /// out[i] = bit i ? weights[i] / divisor : +0. `out` may be `weights`. The second: float16, divided in float32.
  /// past_cache: `out` is more than the caches hold, so its lines need not be read before they are written.
  void (*apply_f32)(const float* weights, const std::uint8_t* bits, float divisor, std::int64_t n, bool past_cache,
                    float* out);
  void (*apply_f16)(const std::uint16_t* weights, const std::uint8_t* bits, float divisor, std::int64_t n,
                    bool past_cache, std::uint16_t* out);
  /// Ones in n_bytes bytes.
  std::int64_t (*popcount)(const std::uint8_t* bits, std::int64_t n_bytes);
  /// out = a xor b, byte by byte. Returns the number of ones.
  std::int64_t (*exclusive_or)(const std::uint8_t* a, const std::uint8_t* b, std::int64_t n_bytes, std::uint8_t* out);
};

/// The table of the active instruction set.
const MaskKernels& mask_kernels();

}  // namespace oneglance
