#pragma once
#include <cstdint>

namespace oneglance::cuda {

/// The class token's attention, softmax over its products with the keys, averaged over heads.
///   q      (N, heads, 1, d_head) the query of token 0, keys (N, key_heads, T, d_head): float32, d_head adjacent;
///   strides
///          of pictures, heads (and tokens) in elements. heads is a multiple of key_heads: groups share a key
///   scale  what products are multiplied by
///   out    (N, T - n_prefix) float32
/// A block per picture; 4 * heads * T bytes of shared memory, at most kMostShared. Returns before the work is done.
/// Throws LaunchError.
struct ClassAttention {
  const float *q = nullptr, *keys = nullptr;
  std::int64_t n = 0, n_heads = 0, n_key_heads = 0, n_tokens = 0, d_head = 0, n_prefix = 0;
  std::int64_t q_step = 0, q_head_step = 0, key_step = 0, key_head_step = 0, key_token_step = 0;
  float scale = 1.0f;
  float* out = nullptr;
};
void class_attention(const ClassAttention& attention, std::uintptr_t stream);

constexpr std::int64_t kMostShared = 96 << 10;  // what every card since 8.0 gives a block

/// Which patches of every picture are kept: python/oneglance/features/pattern_filter.py has the rule.
///   rows       (N, T, d) float32, contiguous
///   attention  (N, T) float32 >= 0 or null: then patches with a norm over norm_threshold are kept
///   tau        share of the attention
///   kept       (N, T) out: positions, ascending     n_kept  (N,) out: how many; 0 where a row or an attention of the
///              picture is not finite, else at least 1
/// A block per picture; 16 * T bytes of shared memory, at most kMostShared. Sums of the attention have the bits of the
/// CPU. Returns before the work is done. Throws LaunchError.
struct PatchFilter {
  const float *rows = nullptr, *attention = nullptr;
  std::int64_t n = 0, n_patches = 0, n_dims = 0;
  double tau = 0.5, norm_threshold = 0.0;
  std::int32_t* kept = nullptr;
  std::int64_t* n_kept = nullptr;
};
void filter_patches(const PatchFilter& filter, std::uintptr_t stream);

}  // namespace oneglance::cuda
