#include "patches.h"

#include <cmath>

#include "simt.h"

namespace oneglance::cuda {
namespace {

using simt::lane;
using simt::thread;

constexpr int kWarps = simt::kThreads / 32;
constexpr double kSlack = 1e-9;  // of the attention's mass, as in features/pattern_filter.py

SIMT_KERNEL attention_kernel(ClassAttention a) {
  auto* logits = simt::dynamic_shared<float>();  // (heads, T)
  for (std::int64_t n = simt::block(); n < a.n; n += simt::grid_size()) {
    for (std::int64_t t = simt::warp(); t < a.n_tokens; t += kWarps) {
      for (std::int64_t h = 0; h < a.n_heads; ++h) {
        const float* q = a.q + n * a.q_step + h * a.q_head_step;
        const float* key =
            a.keys + n * a.key_step + h * a.n_key_heads / a.n_heads * a.key_head_step + t * a.key_token_step;
        float sum = 0.0f;
        for (std::int64_t j = lane(); j < a.d_head; j += 32) sum = fmaf(q[j], key[j], sum);
        sum = simt::warp_sum(sum);
        if (lane() == 0) logits[h * a.n_tokens + t] = sum * a.scale;
      }
    }
    simt::sync_block();
    for (std::int64_t h = simt::warp(); h < a.n_heads; h += kWarps) {
      float* mine = logits + h * a.n_tokens;
      float most = -INFINITY, sum = 0.0f;
      for (std::int64_t t = lane(); t < a.n_tokens; t += 32) most = mine[t] > most ? mine[t] : most;
      most = simt::warp_max(most);
      for (std::int64_t t = lane(); t < a.n_tokens; t += 32) {
        mine[t] = expf(mine[t] - most);
        sum += mine[t];
      }
      sum = simt::warp_sum(sum);
      for (std::int64_t t = lane(); t < a.n_tokens; t += 32) mine[t] /= sum;
    }
    simt::sync_block();
    for (std::int64_t t = a.n_prefix + thread(); t < a.n_tokens; t += simt::kThreads) {
      float sum = 0.0f;
      for (std::int64_t h = 0; h < a.n_heads; ++h) sum += logits[h * a.n_tokens + t];
      a.out[n * (a.n_tokens - a.n_prefix) + t - a.n_prefix] = sum / static_cast<float>(a.n_heads);
    }
    simt::sync_block();
  }
}

/// Whether all of this thread's share of n numbers are finite.
SIMT_DEVICE bool share_is_finite(const float* values, std::int64_t n) {
  bool finite = true;
  for (std::int64_t i = thread(); i < n; i += simt::kThreads) finite = finite && values[i] - values[i] == 0.0f;
  return finite;
}

/// keep[t] by attention; sorted (T) is scratch.
SIMT_DEVICE void keep_by_attention(const PatchFilter& f, const float* attention, double* sorted, std::int32_t* keep) {
  const std::int64_t n = f.n_patches;
  for (std::int64_t t = thread(); t < n; t += simt::kThreads) {
    std::int32_t rank = 0;  // among equal ones the higher position comes first
    for (std::int64_t i = 0; i < n; ++i) {
      rank += attention[i] < attention[t] || (attention[i] == attention[t] && i > t) ? 1 : 0;
    }
    sorted[rank] = static_cast<double>(attention[t]);
    keep[t] = rank;
  }
  simt::sync_block();
  if (thread() == 0) {
    for (std::int64_t i = 1; i < n; ++i) sorted[i] = sorted[i - 1] + sorted[i];
  }
  simt::sync_block();
  const double total = sorted[n - 1], slack = f.tau / 2 < kSlack ? f.tau / 2 : kSlack;
  const double bound = 1.0 - f.tau + slack;
  for (std::int64_t t = thread(); t < n; t += simt::kThreads) {
    const bool taken = f.tau == 1.0 || (total > 0.0 && f.tau > 0.0 && sorted[keep[t]] / total > bound);
    keep[t] = taken ? 1 : 0;
  }
  simt::sync_block();
}

SIMT_DEVICE void measure_norms(const PatchFilter& f, const float* rows, double* norms) {
  for (std::int64_t t = simt::warp(); t < f.n_patches; t += kWarps) {
    double sum = 0.0;
    for (std::int64_t j = lane(); j < f.n_dims; j += 32) {
      const double value = rows[t * f.n_dims + j];
      sum += value * value;
    }
    sum = simt::warp_sum(sum);
    if (lane() == 0) norms[t] = sqrt(sum);
  }
  simt::sync_block();
}

SIMT_KERNEL filter_kernel(PatchFilter f) {
  SIMT_SHARED(std::int32_t, facts, 2);  // some are not finite, number kept
  auto* values = simt::dynamic_shared<double>();
  auto* keep = reinterpret_cast<std::int32_t*>(values + f.n_patches);
  const std::int64_t n_patches = f.n_patches;
  for (std::int64_t n = simt::block(); n < f.n; n += simt::grid_size()) {
    const float* rows = f.rows + n * n_patches * f.n_dims;
    const float* attention = f.attention == nullptr ? nullptr : f.attention + n * n_patches;
    if (thread() == 0) facts[0] = facts[1] = 0;
    simt::sync_block();
    bool finite = share_is_finite(rows, n_patches * f.n_dims);
    if (attention != nullptr) finite = share_is_finite(attention, n_patches) && finite;
    if (!finite) simt::atomic_max(&facts[0], 1);
    simt::sync_block();
    if (facts[0] != 0) {
      if (thread() == 0) f.n_kept[n] = 0;
      simt::sync_block();
      continue;
    }
    if (attention != nullptr) {
      keep_by_attention(f, attention, values, keep);
    } else {
      measure_norms(f, rows, values);
      for (std::int64_t t = thread(); t < n_patches; t += simt::kThreads) keep[t] = values[t] > f.norm_threshold;
      simt::sync_block();
    }
    for (std::int64_t t = thread(); t < n_patches; t += simt::kThreads) {
      if (keep[t] != 0) simt::atomic_max(&facts[1], 1);
    }
    simt::sync_block();
    const bool none = facts[1] == 0;
    if (none && attention != nullptr) measure_norms(f, rows, values);
    if (thread() == 0) {
      std::int32_t* out = f.kept + n * n_patches;
      std::int64_t count = 0, longest = 0;
      for (std::int64_t t = 0; t < n_patches; ++t) {
        if (none && values[t] > values[longest]) longest = t;
        if (!none && keep[t] != 0) out[count++] = static_cast<std::int32_t>(t);
      }
      if (none) out[count++] = static_cast<std::int32_t>(longest);
      f.n_kept[n] = count;
    }
    simt::sync_block();
  }
}

}  // namespace

void class_attention(const ClassAttention& a, std::uintptr_t stream) {
  const auto shared = static_cast<std::size_t>(4 * a.n_heads * a.n_tokens);
  simt::launch("class_attention", attention_kernel, simt::block_per_item(a.n, simt::kThreads, shared), stream, a);
}

void filter_patches(const PatchFilter& f, std::uintptr_t stream) {
  const auto shared = static_cast<std::size_t>(16 * f.n_patches);
  simt::launch("filter_patches", filter_kernel, simt::block_per_item(f.n, simt::kThreads, shared), stream, f);
}

}  // namespace oneglance::cuda
