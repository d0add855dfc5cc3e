#include "panel.h"

#include <cmath>
#include <limits>

#include "row_types.h"

namespace oneglance::cuda {
namespace {

constexpr bool kAdjacent = true, kScattered = false;
template <typename Real>
constexpr double kLargest = std::numeric_limits<Real>::max();

/// One element into the panel, whole or as two parts of 11 bits.
template <typename Real>
struct Store {
  Real* panel;
  float* rest;
  bool tf32;

  SIMT_DEVICE void operator()(std::int64_t place, Real value) const {
    if constexpr (std::is_same_v<Real, float>) {
      if (tf32) {
        const float high = simt::round_to_tf32(value);
        panel[place] = high;
        if (rest != nullptr) rest[place] = simt::round_to_tf32(value - high);
        return;
      }
    }
    panel[place] = value;
  }
};

/// One warp per row.
///   kTogether  elements that a lane takes at once: 16 bytes of neighbouring columns, or 1
template <typename T, typename Real, bool adjacent>
SIMT_KERNEL load_panel_kernel(const T* rows, std::int64_t n_rows, std::int64_t row_stride, std::int64_t rank,
                              PanelSource source, Store<Real> store, std::int64_t* n_bad) {
  constexpr int kTogether = adjacent ? static_cast<int>(16 / sizeof(T)) : 1;
  for (std::int64_t i = simt::first_of_warp(); i < n_rows; i += simt::warp_step()) {
    const T* row = rows + i * row_stride;
    const bool used = source.mask == nullptr || source.mask[i] != 0;
    const auto factor = source.row_scale == nullptr ? Real(1) : static_cast<Real>(source.row_scale[i]);
    bool finite = true;
    for (std::int64_t j = static_cast<std::int64_t>(simt::lane()) * kTogether; j < rank; j += 32 * kTogether) {
      simt::Vec<T, kTogether> read;
      if (used) {
        if constexpr (adjacent) {
          read = *reinterpret_cast<const simt::Vec<T, kTogether>*>(row + j);
        } else {
          read.at[0] = row[source.columns == nullptr ? j : source.columns[j]];
        }
      }
      for (int e = 0; e < kTogether; ++e) {
        Real value = 0;
        if (used) {
          const auto whole = exact(read.at[e]);
          finite = finite && is_finite(whole);
          // Scaled before it is rounded: the number may be far outside the range of float32.
          value = source.column_scale == nullptr
                      ? static_cast<Real>(whole)
                      : static_cast<Real>(static_cast<double>(whole) * source.column_scale[j + e]);
          value *= factor;
        }
        store(i * rank + j + e, value);
      }
    }
    if (simt::ballot(!finite) == 0) continue;
    for (std::int64_t j = static_cast<std::int64_t>(simt::lane()) * kTogether; j < rank; j += 32 * kTogether) {
      for (int e = 0; e < kTogether; ++e) store(i * rank + j + e, Real(0));
    }
    if (simt::lane() == 0) simt::atomic_add(n_bad, std::int64_t{1});
  }
}

/// One warp per row, read twice: the second time from the nearest cache.
template <typename Real>
SIMT_KERNEL reweight_panel_kernel(Store<Real> store, std::int64_t n_rows, std::int64_t rank, double gram_power,
                                  bool keep, double* tau) {
  for (std::int64_t i = simt::first_of_warp(); i < n_rows; i += simt::warp_step()) {
    const Real* row = store.panel + i * rank;
    double sum = 0.0;
    for (std::int64_t j = simt::lane(); j < rank; j += 32) {
      const auto value = static_cast<double>(row[j]);
      sum += value * value;
    }
    const double norm2 = simt::warp_sum(sum);
    if (tau != nullptr && simt::lane() == 0) tau[i] = norm2;
    if (!keep) continue;
    double factor = gram_power == 0.0 || norm2 == 0.0 ? 1.0 : pow(norm2, 0.5 * gram_power);
    factor = factor > kLargest<Real> ? kLargest<Real> : factor;
    for (std::int64_t j = simt::lane(); j < rank; j += 32) store(i * rank + j, row[j] * static_cast<Real>(factor));
  }
}

SIMT_KERNEL split_tf32_kernel(const double* values, std::int64_t n, float* high, float* rest) {
  for (std::int64_t i = simt::first_of_thread(); i < n; i += simt::thread_step()) {
    const float first = simt::round_to_tf32(static_cast<float>(values[i]));
    high[i] = first;
    if (rest != nullptr) {
      rest[i] = simt::round_to_tf32(static_cast<float>(values[i] - static_cast<double>(first)));
    }
  }
}

template <typename T, typename Real>
void load_as(const DeviceRows& rows, const PanelSource& source, std::int64_t rank, bool tf32, void* panel, float* rest,
             std::int64_t* n_bad, std::uintptr_t stream) {
  const auto* data = static_cast<const T*>(rows.data);
  const Store<Real> store{static_cast<Real*>(panel), rest, tf32};
  constexpr std::int64_t kTogether = 16 / sizeof(T);
  const bool adjacent = source.columns == nullptr && rank % kTogether == 0 && rows.row_stride % kTogether == 0 &&
                        reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
  const auto kernel = adjacent ? load_panel_kernel<T, Real, kAdjacent> : load_panel_kernel<T, Real, kScattered>;
  simt::launch("load_panel", kernel, simt::warp_per_item(rows.n_rows), stream, data, rows.n_rows, rows.row_stride, rank,
               source, store, n_bad);
}

}  // namespace

void load_panel(const DeviceRows& rows, const PanelSource& source, std::int64_t rank, PanelType type, void* panel,
                float* rest, std::int64_t* n_bad, std::uintptr_t stream) {
  with_row_type(rows.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    if (type == PanelType::float64) {
      load_as<T, double>(rows, source, rank, false, panel, nullptr, n_bad, stream);
    } else {
      load_as<T, float>(rows, source, rank, type == PanelType::tf32, panel, rest, n_bad, stream);
    }
  });
}

void reweight_panel(void* panel, std::int64_t n_rows, std::int64_t rank, PanelType type, double gram_power, bool keep,
                    double* tau, float* rest, std::uintptr_t stream) {
  const simt::Geometry geometry = simt::warp_per_item(n_rows);
  if (type == PanelType::float64) {
    simt::launch("reweight_panel", reweight_panel_kernel<double>, geometry, stream,
                 Store<double>{static_cast<double*>(panel), nullptr, false}, n_rows, rank, gram_power, keep, tau);
  } else {
    simt::launch("reweight_panel", reweight_panel_kernel<float>, geometry, stream,
                 Store<float>{static_cast<float*>(panel), rest, type == PanelType::tf32}, n_rows, rank, gram_power,
                 keep, tau);
  }
}

void split_tf32(const double* values, std::int64_t n, float* high, float* rest, std::uintptr_t stream) {
  simt::launch("split_tf32", split_tf32_kernel, simt::thread_per_item(n), stream, values, n, high, rest);
}

}  // namespace oneglance::cuda
