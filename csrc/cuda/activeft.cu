#include "activeft.h"

#include <cmath>

#include "row_types.h"

namespace oneglance::cuda {
namespace {

using simt::lane;
using simt::thread;

constexpr int kWarps = simt::kThreads / 32;

/// The same answer for every thread: one value of each, merged in a fixed order. `part` (kWarps) is shared memory.
template <typename Merge>
SIMT_DEVICE double over_block(double mine, double* part, const Merge& merge) {
  for (int step = 16; step > 0; step /= 2) mine = merge(mine, simt::shuffle_xor(mine, step));
  simt::sync_block();  // the last answer has been read
  if (lane() == 0) part[simt::warp()] = mine;
  simt::sync_block();
  mine = part[0];
  for (int w = 1; w < kWarps; ++w) mine = merge(mine, part[w]);
  return mine;
}
struct Sum {
  SIMT_DEVICE double operator()(double a, double b) const { return a + b; }
};
struct Largest {
  SIMT_DEVICE double operator()(double a, double b) const { return a > b ? a : b; }
};

SIMT_KERNEL softmax_kernel(float* products, std::int64_t n_queries, std::int64_t n_keys, float scale,
                           const double* bias, std::int64_t self, bool with_self, double* most, double* total,
                           float* out, std::int64_t n_dims) {
  SIMT_SHARED(double, part, kWarps);
  for (std::int64_t i = simt::block(); i < n_queries; i += simt::grid_size()) {
    float* row = products + i * n_keys;
    const std::int64_t own = with_self ? -1 : self + i;
    double largest = most[i];
    for (std::int64_t j = thread(); j < n_keys; j += simt::kThreads) {
      row[j] = (row[j] - 1.0f) * scale + (bias == nullptr ? 0.0f : static_cast<float>(bias[j]));
      if (j != own && row[j] > largest) largest = row[j];
    }
    largest = over_block(largest, part, Largest());
    const auto shift = static_cast<float>(largest);
    double sum = 0.0;
    for (std::int64_t j = thread(); j < n_keys; j += simt::kThreads) {
      row[j] = j == own ? 0.0f : expf(row[j] - shift);
      sum += row[j];
    }
    sum = over_block(sum, part, Sum());
    const double factor = most[i] == largest ? 1.0 : exp(most[i] - largest);
    const auto narrow = static_cast<float>(factor);
    for (std::int64_t j = thread(); factor != 1.0 && j < n_dims; j += simt::kThreads) out[i * n_dims + j] *= narrow;
    simt::sync_block();  // all have read the old maximum
    if (thread() == 0) {
      total[i] = total[i] * factor + sum;
      most[i] = largest;
    }
  }
}

SIMT_KERNEL log_sum_kernel(const double* most, const double* total, std::int64_t n, double* log_sum) {
  for (std::int64_t i = simt::first_of_thread(); i < n; i += simt::thread_step()) log_sum[i] = most[i] + log(total[i]);
}

SIMT_KERNEL rows_kernel(const std::int64_t* labels, const double* dist2, std::int64_t n, const double* log_sum,
                        double tau, double log_balance, double* weight, double* partial) {
  SIMT_SHARED(double, part, kWarps);
  const std::int64_t n_parts = (n + kLossRows - 1) / kLossRows;
  for (std::int64_t p = simt::block(); p < n_parts; p += simt::grid_size()) {
    double loss = 0.0;
    for (std::int64_t i = p * kLossRows + thread(); i < n && i < (p + 1) * kLossRows; i += simt::kThreads) {
      const double s = (1.0 - 0.5 * dist2[i]) / tau;
      if (log_sum == nullptr) {
        weight[i] = 1.0;
        loss -= s;
        continue;
      }
      const double gap = log_balance + log_sum[labels[i]] + 1.0 / tau - s;
      weight[i] = 1.0 / (1.0 + exp(-gap));
      loss += gap > 0.0 ? gap + log1p(exp(-gap)) : log1p(exp(gap));
    }
    loss = over_block(loss, part, Sum());
    if (thread() == 0) partial[p] = loss;
  }
}

SIMT_KERNEL loss_kernel(const double* partial, std::int64_t n, double* loss) {
  SIMT_SHARED(double, part, kWarps);
  double sum = 0.0;
  for (std::int64_t p = thread(); p * kLossRows < n; p += simt::kThreads) sum += partial[p];
  sum = over_block(sum, part, Sum());
  if (thread() == 0) loss[0] = sum / static_cast<double>(n);
}

/// The first place in the order whose label is at least k.
SIMT_DEVICE std::int64_t first_of_label(const std::int64_t* labels, const std::int64_t* order, std::int64_t n,
                                        std::int64_t k) {
  std::int64_t low = 0, high = n;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (labels[order[middle]] < k) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

template <typename T>
SIMT_KERNEL pull_kernel(const T* rows, std::int64_t n, std::int64_t n_dims, std::int64_t row_stride,
                        const double* scale, const std::int64_t* labels, const std::int64_t* order,
                        const double* weight, std::int64_t n_theta, double* pull, double* weights) {
  for (std::int64_t k = simt::block(); k < n_theta; k += simt::grid_size()) {
    const std::int64_t first = first_of_label(labels, order, n, k), last = first_of_label(labels, order, n, k + 1);
    for (std::int64_t j = thread(); j < n_dims; j += simt::kThreads) {
      double sum = 0.0;
      for (std::int64_t p = first; p < last; ++p) {
        const std::int64_t i = order[p];
        sum += weight[i] * scale[i] * simt::to_double(rows[i * row_stride + j]);
      }
      pull[k * n_dims + j] = sum;
    }
    if (thread() != 0) continue;
    double sum = 0.0;
    for (std::int64_t p = first; p < last; ++p) sum += weight[order[p]];
    weights[k] = sum;
  }
}

SIMT_DEVICE double moved(const ActiveFtStep& a, std::int64_t at, double gradient) {
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
  a.m[at] = kBeta1 * a.m[at] + (1.0 - kBeta1) * gradient;
  a.s[at] = kBeta2 * a.s[at] + (1.0 - kBeta2) * gradient * gradient;
  return a.v[at] - a.rate * (a.m[at] / a.correct1) / (sqrt(a.s[at] / a.correct2) + kEpsilon);
}

SIMT_KERNEL step_kernel(ActiveFtStep a) {
  SIMT_SHARED(double, part, kWarps);
  for (std::int64_t k = simt::block(); k < a.n_theta; k += simt::grid_size()) {
    double along = 0.0;
    for (std::int64_t j = thread(); j < a.n_dims; j += simt::kThreads) {
      const std::int64_t at = k * a.n_dims + j;
      double g = -a.row_factor * a.pull[at];
      if (a.out2 == nullptr) {
        if (a.out != nullptr) g += a.row_factor * a.weights[k] * (a.out[at] / a.total[k]);
      } else {
        g += a.theta_factor * (a.out[at] / a.total[k] + exp(a.most2[k]) * a.out2[at]);
      }
      a.gradient[at] = g;
      along += g * a.theta[at];
    }
    along = over_block(along, part, Sum());
    double norm2 = 0.0;
    const bool moves = a.rate > 0.0 && k >= a.n_fixed;
    for (std::int64_t j = thread(); j < a.n_dims; j += simt::kThreads) {
      const std::int64_t at = k * a.n_dims + j;
      const double g = (a.gradient[at] - along * a.theta[at]) / a.norm[k];
      a.gradient[at] = g;
      if (!moves) continue;
      a.v[at] = moved(a, at, g);
      norm2 += a.v[at] * a.v[at];
    }
    if (!moves) continue;
    const double norm = sqrt(over_block(norm2, part, Sum()));
    for (std::int64_t j = thread(); j < a.n_dims; j += simt::kThreads) {
      const std::int64_t at = k * a.n_dims + j;
      a.theta[at] = a.v[at] / norm;
      a.narrow[at] = static_cast<float>(a.theta[at]);
    }
    if (thread() == 0) a.norm[k] = norm;
  }
}

}  // namespace

void softmax_tile(float* products, std::int64_t n_queries, std::int64_t n_keys, float scale, const double* bias,
                  std::int64_t self, bool with_self, double* most, double* total, float* out, std::int64_t n_dims,
                  std::uintptr_t stream) {
  simt::launch("softmax_tile", softmax_kernel, simt::block_per_item(n_queries), stream, products, n_queries, n_keys,
               scale, bias, self, with_self, most, total, out, n_dims);
}

void softmax_log_sum(const double* most, const double* total, std::int64_t n, double* log_sum, std::uintptr_t stream) {
  simt::launch("softmax_log_sum", log_sum_kernel, simt::thread_per_item(n), stream, most, total, n, log_sum);
}

void activeft_rows(const std::int64_t* labels, const double* dist2, std::int64_t n, const double* log_sum, double tau,
                   double log_balance, double* weight, double* partial, double* loss, std::uintptr_t stream) {
  simt::launch("activeft_rows", rows_kernel, simt::block_per_item((n + kLossRows - 1) / kLossRows), stream, labels,
               dist2, n, log_sum, tau, log_balance, weight, partial);
  simt::launch("activeft_loss", loss_kernel, simt::Geometry{1, simt::kThreads, 0}, stream, partial, n, loss);
}

void activeft_pull(const DeviceRows& rows, const double* scale, const std::int64_t* labels, const std::int64_t* order,
                   const double* weight, std::int64_t n_theta, double* pull, double* weights, std::uintptr_t stream) {
  with_row_type(rows.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    simt::launch("activeft_pull", pull_kernel<T>, simt::block_per_item(n_theta), stream,
                 static_cast<const T*>(rows.data), rows.n_rows, rows.n_dims, rows.row_stride, scale, labels, order,
                 weight, n_theta, pull, weights);
  });
}

void activeft_step(const ActiveFtStep& step, std::uintptr_t stream) {
  simt::launch("activeft_step", step_kernel, simt::block_per_item(step.n_theta), stream, step);
}

}  // namespace oneglance::cuda
