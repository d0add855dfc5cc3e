#include "oneglance/panel_pass.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <type_traits>

#include "oneglance/check.h"
#include "oneglance/dense.h"
#include "oneglance/panel_kernels.h"

namespace oneglance {
namespace {

std::atomic<std::int64_t> wanted_panel_rows{0};

/// How rows are cut. Blocks and lanes are the unit of arithmetic and depend on n only.
struct Cut {
  explicit Cut(std::int64_t n_rows) {
    // Measured with OpenBLAS at 384, 768 and 1280 columns: 512 to 1024 rows are alike, fewer cost up to
    // 10 % more in packing.
    block_rows = 768;
    n_blocks = (n_rows + block_rows - 1) / block_rows;
    // A lane ends with adding r^2 partial sums to the total: thousands of rows make that cheap, and
    // some two dozen lanes keep the cores equally busy to the end.
    constexpr std::int64_t kMostLaneRows = 8192;
    lane_blocks = std::clamp<std::int64_t>(n_blocks / 24, 1, kMostLaneRows / block_rows);
    n_lanes = (n_blocks + lane_blocks - 1) / lane_blocks;
  }
  std::int64_t block_rows, n_blocks, lane_blocks, n_lanes;
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
        whole_row_(all_columns_ ? 0 : static_cast<std::size_t>(source.rows->n_dims())),
        wide_row_(scaled_ && std::is_same_v<Real, float> ? static_cast<std::size_t>(source.rows->n_dims()) : 0) {}

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
    const std::int64_t offset = row * block.row_stride;
    const std::size_t rank = source_.columns.size();
    if (block.dtype == DType::float64 && !wide_row_.empty()) {
      // Scale before rounding to float32: the numbers may be far outside its range.
      const auto* from = static_cast<const double*>(block.data) + offset;
      const bool finite = kernels_.row_f64_to_f64(from, source_.rows->n_dims(), wide_row_.data());
      for (std::size_t j = 0; j < rank; ++j) {
        out[j] = static_cast<Real>(wide_row_[source_.columns[j]] * source_.column_scale[j]);
      }
      return finite;
    }
    Real* target = all_columns_ ? out : whole_row_.data();
    const bool finite = convert_whole(block, offset, target);
    if (!all_columns_) {
      for (std::size_t j = 0; j < rank; ++j) out[j] = whole_row_[source_.columns[j]];
    }
    if (scaled_) scale_columns(out, static_cast<std::int64_t>(rank));
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
  std::vector<double> wide_row_;
};

/// Adds the lanes' upper triangles to a float64 total in lane order, whatever order they finish in.
/// Lanes start in order, so only about as many wait as there are threads.
template <typename Real>
class OrderedSum {
 public:
  OrderedSum(std::int64_t rank, double* total) : rank_(rank), total_(total) {
    if (total != nullptr) std::fill_n(total, rank * rank, 0.0);
  }

  /// Takes the lane's sums; `partial` comes back with unspecified content, perhaps another buffer.
  void add(std::int64_t lane, std::vector<Real>& partial) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (lane != next_) {
      waiting_.emplace(lane, std::move(partial));
      partial = take_spare();
      return;
    }
    add_now(partial);
    for (auto found = waiting_.find(next_); found != waiting_.end(); found = waiting_.find(next_)) {
      add_now(found->second);
      spare_.push_back(std::move(found->second));
      waiting_.erase(found);
    }
  }

 private:
  std::vector<Real> take_spare() {
    if (spare_.empty()) return std::vector<Real>(static_cast<std::size_t>(rank_ * rank_));
    std::vector<Real> buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
  }

  void add_now(const std::vector<Real>& partial) {
    const PanelKernels& kernels = panel_kernels();
    for (std::int64_t i = 0; i < rank_; ++i) {
      const std::int64_t start = i * rank_ + i;
      if constexpr (std::is_same_v<Real, float>) {
        kernels.add_f32(total_ + start, partial.data() + start, rank_ - i);
      } else {
        kernels.add_f64(total_ + start, partial.data() + start, rank_ - i);
      }
    }
    ++next_;
  }

  std::int64_t rank_;
  double* total_;
  std::mutex mutex_;
  std::int64_t next_ = 0;
  std::map<std::int64_t, std::vector<Real>> waiting_;
  std::vector<std::vector<Real>> spare_;
};

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
  const Cut cut(n_rows);
  const std::int64_t square = rank * rank;
  const std::int64_t panel_blocks =
      std::clamp<std::int64_t>((wanted_panel_rows.load() + cut.block_rows - 1) / cut.block_rows, 1, cut.lane_blocks);

  std::vector<Real> factor_inverse;
  if (spec.factor_inverse != nullptr) factor_inverse.assign(spec.factor_inverse, spec.factor_inverse + square);
  OrderedSum<Real> total(rank, spec.gram);
  BadRows bad;

  // Scratch memory per thread: fresh pages for every lane would cost more than reading the rows.
  struct Scratch {
    std::vector<Real> panel, partial;
  };
  const int n_threads = worthwhile_threads(static_cast<double>(n_rows) * static_cast<double>(square));
  std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));

  for_each_lane(cut.n_lanes, n_threads, source.stop, [&](const Lane& lane) {
    auto& [panel, partial] = scratch[lane.slot];
    panel.resize(static_cast<std::size_t>(panel_blocks * cut.block_rows * rank));
    if (spec.gram != nullptr) partial.resize(static_cast<std::size_t>(square));
    Loader<Real> loader(source);
    const std::int64_t first_block = lane.index * cut.lane_blocks;
    const std::int64_t end_block = std::min(first_block + cut.lane_blocks, cut.n_blocks);
    for (std::int64_t block = first_block; block < end_block; block += panel_blocks) {
      if (!lane.keep_going()) return;
      const std::int64_t first = block * cut.block_rows;
      const std::int64_t last = std::min(std::min(block + panel_blocks, end_block) * cut.block_rows, n_rows);
      loader.load(first, last - first, panel.data(), bad);
      for (std::int64_t row = first; row < last; row += cut.block_rows) {
        const std::int64_t size = std::min(cut.block_rows, last - row);
        Real* y = panel.data() + (row - first) * rank;
        if (!factor_inverse.empty()) dense::times_upper(size, rank, factor_inverse.data(), y, rank);
        if (spec.tau != nullptr || spec.gram_power != 0.0) {
          reweight(y, size, rank, spec, spec.tau == nullptr ? nullptr : spec.tau + row);
        }
        const bool starts_lane = row == first_block * cut.block_rows;
        if (spec.gram != nullptr) dense::add_gram(size, rank, y, rank, starts_lane ? Real(0) : Real(1), partial.data());
      }
    }
    if (spec.gram != nullptr) total.add(lane.index, partial);
  });
  bad.throw_if_any();
}

template void panel_pass<float>(const RowSource&, const PassSpec&);
template void panel_pass<double>(const RowSource&, const PassSpec&);

void set_panel_rows(std::int64_t n_rows) {
  require(n_rows >= 0, "panel_rows must be >= 0 (0 = default), got " + std::to_string(n_rows) + ".");
  wanted_panel_rows.store(n_rows);
}

}  // namespace oneglance
