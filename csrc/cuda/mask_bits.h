#pragma once
#include <cstdint>

#include "device_rows.h"

namespace oneglance::cuda {

// Masks of one bit per weight, as include/oneglance/mask_bits.h describes them, on the device: the same bytes. Device
// pointers; the stream is a cudaStream_t as an integer; every call returns before the work is done and throws
// LaunchError. `bits` is a memory of its own (aligned to 16 bytes); nothing else needs alignment, but is fastest with
// it.

/// bits: mask[i] != 0; ones[0] is added to
void pack_mask(const std::uint8_t* mask, std::int64_t n, std::uint8_t* bits, std::int64_t* ones, std::uintptr_t stream);
/// bits: scores[i] > mu; counts[0] ones, counts[1] NaN are added to
void pack_scores(const float* scores, float mu, std::int64_t n, std::uint8_t* bits, std::int64_t* counts,
                 std::uintptr_t stream);
/// mask (stop - start): 0 or 1 for weights start .. stop - 1
void unpack_mask(const std::uint8_t* bits, std::int64_t start, std::int64_t stop, std::uint8_t* mask,
                 std::uintptr_t stream);
/// Masked weights of several masks at once: out[s][i] = bit i of mask s ? weights[i] / divisors[s] : +0, divided in
/// float32 (float64 weights in float64) and rounded to the type of the weights. One reading of the weights.
///   bits      (n_masks, bytes_step) device; the masks begin bytes_step bytes apart
///   divisors  (n_masks) device
///   out       (n_masks, n); with one mask it may be `weights`
void apply_masks(const void* weights, RowType type, std::int64_t n, const std::uint8_t* bits, std::int64_t bytes_step,
                 const float* divisors, std::int64_t n_masks, void* out, std::uintptr_t stream);

/// A linear map of which every sample has a mask of its own:
///   out[b][o] = sum_i x[b][i] * (bit o * n_in + i of mask site[b] ? weight[o][i] : 0) / divisors[site[b]] + bias[o]
/// without the masked weights in memory; sums in float32. A sample whose site is negative has the weights as they are.
/// For small batches, where reading the weights is what costs: they are read once per 8 samples.
///   order  (n) samples, those of one site together: only speed depends on it
///   bias   (n_out) or null
void masked_linear(const float* x, std::int64_t n, std::int64_t n_in, const float* weight, std::int64_t n_out,
                   const std::uint8_t* bits, std::int64_t bytes_step, const float* divisors, const std::int64_t* site,
                   const std::int64_t* order, const float* bias, float* out, std::uintptr_t stream);

}  // namespace oneglance::cuda
