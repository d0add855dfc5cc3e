#include "oneglance/panel_pass.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <type_traits>

#include "oneglance/check.h"
#include "oneglance/dense.h"
#include "oneglance/panel_kernels.h"

namespace oneglance {
namespace {

std::atomic<std::int64_t> wanted_panel_rows{0};

/// How rows are cut. Blocks and lanes are the unit of arithmetic and depend on n and r only.
struct Cut {
  Cut(std::int64_t n_rows, std::int64_t rank, bool has_gram) {
    // Measured with OpenBLAS on one core: below these sizes packing costs 5-10 % of the products.
    block_rows = rank <= 512 ? 512 : rank <= 1024 ? 768 : 1024;
    n_blocks = (n_rows + block_rows - 1) / block_rows;
    // Lanes each keep r^2 float64 sums: at most 64 MiB of them (4 lanes for huge r), and enough rows
    // per lane that adding the lanes up costs little.
    const std::int64_t lanes_in_memory = (std::int64_t{64} << 20) / (8 * rank * rank);
    const std::int64_t most = has_gram ? std::clamp<std::int64_t>(lanes_in_memory, 4, 64) : 256;
    n_lanes = std::clamp<std::int64_t>(has_gram ? n_blocks / 8 : n_blocks, 1, most);
  }
  std::int64_t first_block(std::int64_t lane) const { return lane * n_blocks / n_lanes; }

  std::int64_t block_rows, n_blocks, n_lanes;
};

class BadRows {
 public:
  void add(std::int64_t row) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++count_;
    first_.insert(std::upper_bound(first_.begin(), first_.end(), row), row);
    if (first_.size() > kShown) first_.pop_back();
  }
  void throw_if_any() const {
    if (count_ > 0) throw NonFiniteRows(count_, first_);
  }

 private:
  static constexpr std::size_t kShown = 8;
  std::mutex mutex_;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> first_;
};

/// Brings rows into a panel: converted, columns selected and scaled, left-out rows as zeros.
template <typename Real>
class Loader {
 public:
  explicit Loader(const RowSource& source)
      : source_(source),
        kernels_(panel_kernels()),
        all_columns_(is_identity(source.columns, source.rows->n_dims())),
        scale_(source.column_scale.begin(), source.column_scale.end()),
        scaled_(std::any_of(scale_.begin(), scale_.end(), [](Real s) { return s != Real(1); })),
        whole_row_(all_columns_ ? 0 : static_cast<std::size_t>(source.rows->n_dims())) {}

  void load(std::int64_t first_row, std::int64_t n_rows, Real* panel, BadRows& bad) {
    const auto rank = static_cast<std::int64_t>(source_.columns.size());
    const MatrixView& rows = *source_.rows;
    std::size_t block = rows.block_of(first_row);
    for (std::int64_t i = 0; i < n_rows; ++i) {
      const std::int64_t row = first_row + i;
      Real* out = panel + i * rank;
      while (row >= rows.block_start(block) + rows.blocks()[block].n_rows) ++block;
      if (source_.mask != nullptr && source_.mask[row] == 0) {
        std::fill_n(out, rank, Real(0));
        continue;
      }
      if (!convert(rows.blocks()[block], row - rows.block_start(block), out)) bad.add(row);
      if (scaled_) scale_columns(out, rank);
      if (source_.row_scale != nullptr) scale_row(out, static_cast<Real>(source_.row_scale[row]), rank);
    }
  }

 private:
  static bool is_identity(const std::vector<std::int32_t>& columns, std::int64_t n_dims) {
    if (static_cast<std::int64_t>(columns.size()) != n_dims) return false;
    for (std::int64_t j = 0; j < n_dims; ++j) {
      if (columns[j] != j) return false;
    }
    return true;
  }

  bool convert(const RowBlock& block, std::int64_t row, Real* out) {
    Real* target = all_columns_ ? out : whole_row_.data();
    const bool finite = convert_whole(block, row * block.row_stride, target);
    if (!all_columns_) {
      for (std::size_t j = 0; j < source_.columns.size(); ++j) out[j] = whole_row_[source_.columns[j]];
    }
    return finite;
  }

  bool convert_whole(const RowBlock& block, std::int64_t offset, Real* target) {
    const std::int64_t n = source_.rows->n_dims();
    constexpr bool single = std::is_same_v<Real, float>;
    if (block.dtype == DType::float16) {
      const auto* from = static_cast<const std::uint16_t*>(block.data) + offset;
      if constexpr (single) return kernels_.row_f16_to_f32(from, n, target);
      if constexpr (!single) return kernels_.row_f16_to_f64(from, n, target);
    }
    if (block.dtype == DType::float32) {
      const auto* from = static_cast<const float*>(block.data) + offset;
      if constexpr (single) return kernels_.row_f32_to_f32(from, n, target);
      if constexpr (!single) return kernels_.row_f32_to_f64(from, n, target);
    }
    const auto* from = static_cast<const double*>(block.data) + offset;
    if constexpr (single) return kernels_.row_f64_to_f32(from, n, target);
    if constexpr (!single) return kernels_.row_f64_to_f64(from, n, target);
  }

  void scale_columns(Real* row, std::int64_t n) const {
    if constexpr (std::is_same_v<Real, float>) {
      kernels_.scale_columns_f32(row, scale_.data(), n);
    } else {
      kernels_.scale_columns_f64(row, scale_.data(), n);
    }
  }
  void scale_row(Real* row, Real factor, std::int64_t n) const {
    if constexpr (std::is_same_v<Real, float>) {
      kernels_.scale_row_f32(row, factor, n);
    } else {
      kernels_.scale_row_f64(row, factor, n);
    }
  }

  const RowSource& source_;
  const PanelKernels& kernels_;
  bool all_columns_;
  std::vector<Real> scale_;
  bool scaled_;
  std::vector<Real> whole_row_;
};

/// Upper-triangular sum of y'y over many blocks. float32 blocks are added up in float32 for a few
/// thousand rows, then flushed into float64: the flush costs r^2, the products rows * r^2.
template <typename Real>
class GramSum {
 public:
  explicit GramSum(std::int64_t rank) : rank_(rank), total_(static_cast<std::size_t>(rank * rank), 0.0) {
    if constexpr (std::is_same_v<Real, float>) partial_.assign(total_.size(), 0.0f);
  }

  void add(const Real* y, std::int64_t n_rows) {
    if constexpr (std::is_same_v<Real, float>) {
      dense::add_gram(n_rows, rank_, y, rank_, 1.0f, partial_.data());
      pending_rows_ += n_rows;
      if (pending_rows_ >= kFlushRows) flush();
    } else {
      dense::add_gram(n_rows, rank_, y, rank_, 1.0, total_.data());
    }
  }

  std::vector<double> take() {
    flush();
    return std::move(total_);
  }

 private:
  void flush() {
    if constexpr (std::is_same_v<Real, float>) {
      for (std::int64_t i = 0; i < rank_; ++i) {
        panel_kernels().flush_f32(total_.data() + i * rank_ + i, partial_.data() + i * rank_ + i, rank_ - i);
      }
      pending_rows_ = 0;
    }
  }

  static constexpr std::int64_t kFlushRows = 8192;
  std::int64_t rank_;
  std::vector<double> total_;
  std::vector<float> partial_;
  std::int64_t pending_rows_ = 0;
};

/// gram (r, r) := the lanes' sums, added in lane order whatever thread adds which rows.
void add_lanes(const std::vector<std::vector<double>>& lanes, std::int64_t rank, double* gram) {
  const double work = static_cast<double>(lanes.size()) * static_cast<double>(rank * rank);
  for_each_lane(rank, worthwhile_threads(16.0 * work), {},  // bound by memory, not by arithmetic
                [&](std::int64_t i, const std::function<bool()>&) {
                  double* row = gram + i * rank;
                  std::fill_n(row, rank, 0.0);
                  for (const std::vector<double>& lane : lanes) {
                    for (std::int64_t j = i; j < rank; ++j) row[j] += lane[i * rank + j];
                  }
                });
}

/// tau and the factor by which each row enters the Gram sum.
template <typename Real>
void reweight(Real* y, std::int64_t n_rows, std::int64_t rank, const PassSpec& spec, double* tau) {
  const PanelKernels& kernels = panel_kernels();
  for (std::int64_t i = 0; i < n_rows; ++i) {
    Real* row = y + i * rank;
    double norm2;
    if constexpr (std::is_same_v<Real, float>) {
      norm2 = kernels.sum_squares_f32(row, rank);
    } else {
      norm2 = kernels.sum_squares_f64(row, rank);
    }
    if (tau != nullptr) tau[i] = norm2;
    if (spec.gram == nullptr || spec.gram_power == 0.0 || norm2 == 0.0) continue;
    const double factor =
        std::min(std::pow(norm2, 0.5 * spec.gram_power), static_cast<double>(std::numeric_limits<Real>::max()));
    if constexpr (std::is_same_v<Real, float>) {
      kernels.scale_row_f32(row, static_cast<float>(factor), rank);
    } else {
      kernels.scale_row_f64(row, factor, rank);
    }
  }
}

}  // namespace

template <typename Real>
void panel_pass(const RowSource& source, const PassSpec& spec) {
  const std::int64_t n_rows = source.rows->n_rows();
  const auto rank = static_cast<std::int64_t>(source.columns.size());
  const Cut cut(n_rows, rank, spec.gram != nullptr);
  const std::int64_t square = rank * rank;
  const std::int64_t panel_blocks =
      std::clamp<std::int64_t>((wanted_panel_rows.load() + cut.block_rows - 1) / cut.block_rows, 1,
                               (cut.n_blocks + cut.n_lanes - 1) / cut.n_lanes);

  std::vector<Real> factor_inverse;
  if (spec.factor_inverse != nullptr) factor_inverse.assign(spec.factor_inverse, spec.factor_inverse + square);
  std::vector<std::vector<double>> lane_sums(spec.gram == nullptr ? 0 : static_cast<std::size_t>(cut.n_lanes));
  BadRows bad;

  const double work = static_cast<double>(n_rows) * static_cast<double>(square);
  for_each_lane(cut.n_lanes, worthwhile_threads(work), source.stop,
                [&](std::int64_t lane, const std::function<bool()>& keep_going) {
                  Loader<Real> loader(source);
                  GramSum<Real> sum(spec.gram == nullptr ? 0 : rank);
                  std::vector<Real> panel(static_cast<std::size_t>(panel_blocks * cut.block_rows * rank));
                  const std::int64_t end_block = cut.first_block(lane + 1);
                  for (std::int64_t block = cut.first_block(lane); block < end_block; block += panel_blocks) {
                    if (!keep_going()) return;
                    const std::int64_t first = block * cut.block_rows;
                    const std::int64_t last =
                        std::min(std::min(block + panel_blocks, end_block) * cut.block_rows, n_rows);
                    loader.load(first, last - first, panel.data(), bad);
                    for (std::int64_t row = first; row < last; row += cut.block_rows) {
                      const std::int64_t size = std::min(cut.block_rows, last - row);
                      Real* y = panel.data() + (row - first) * rank;
                      if (!factor_inverse.empty()) dense::times_upper(size, rank, factor_inverse.data(), y, rank);
                      if (spec.tau != nullptr || spec.gram_power != 0.0) {
                        reweight(y, size, rank, spec, spec.tau == nullptr ? nullptr : spec.tau + row);
                      }
                      if (spec.gram != nullptr) sum.add(y, size);
                    }
                  }
                  if (spec.gram != nullptr) lane_sums[lane] = sum.take();
                });
  bad.throw_if_any();

  if (spec.gram != nullptr) add_lanes(lane_sums, rank, spec.gram);
}

template void panel_pass<float>(const RowSource&, const PassSpec&);
template void panel_pass<double>(const RowSource&, const PassSpec&);

void set_panel_rows(std::int64_t n_rows) {
  require(n_rows >= 0, "panel_rows must be >= 0 (0 = default), got " + std::to_string(n_rows) + ".");
  wanted_panel_rows.store(n_rows);
}

}  // namespace oneglance
