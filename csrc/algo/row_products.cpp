#include "oneglance/row_products.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <vector>

#include "bad_rows.h"
#include "oneglance/check.h"
#include "oneglance/dense.h"
#include "row_loader.h"

namespace oneglance {
namespace {

constexpr std::int64_t kPanelRows = 64;  // a panel of 1536 columns stays in a cache of 1 MB
constexpr std::int64_t kMostLanes = 64;

/// All columns as they are.
RowSource whole_rows(const RowSource& source) {
  RowSource whole;
  whole.rows = source.rows;
  whole.mask = source.mask;
  whole.row_scale = source.row_scale;
  whole.stop = source.stop;
  whole.columns.resize(static_cast<std::size_t>(source.rows->n_dims()));
  std::iota(whole.columns.begin(), whole.columns.end(), 0);
  whole.column_scale.assign(whole.columns.size(), 1.0);
  return whole;
}

/// Rows as pointers to numbers of one type: those of that type where they lie, others converted.
template <typename Real>
class RowPointers {
 public:
  RowPointers(const RowSource& source, std::int64_t most_rows)
      : source_(source), kernels_(panel_kernels()), scratch_(static_cast<std::size_t>(most_rows * n_dims())) {}

  /// Appends the rows of [first, last) that are not left out to `rows`, with their numbers in `numbers`.
  void collect(std::int64_t first, std::int64_t last, std::vector<const Real*>& rows,
               std::vector<std::int64_t>& numbers) {
    const MatrixView& matrix = *source_.rows;
    std::size_t block = matrix.block_of(first);
    rows.clear();
    numbers.clear();
    for (std::int64_t row = first; row < last; ++row) {
      while (row >= matrix.block_start(block) + matrix.blocks()[block].n_rows) ++block;
      if (source_.mask != nullptr && source_.mask[row] == 0) continue;
      rows.push_back(at(matrix.blocks()[block], row - matrix.block_start(block), row - first));
      numbers.push_back(row);
    }
  }

  bool finite(const Real* row) {
    wide_.resize(static_cast<std::size_t>(n_dims()));
    if constexpr (std::is_same_v<Real, float>) return kernels_.row_f32_to_f64(row, n_dims(), wide_.data());
    if constexpr (!std::is_same_v<Real, float>) return kernels_.row_f64_to_f64(row, n_dims(), wide_.data());
  }

 private:
  std::int64_t n_dims() const { return source_.rows->n_dims(); }

  const Real* at(const RowBlock& block, std::int64_t row, std::int64_t place) {
    const std::int64_t offset = row * block.row_stride;
    constexpr DType own = std::is_same_v<Real, float> ? DType::float32 : DType::float64;
    if (block.dtype == own) return static_cast<const Real*>(block.data) + offset;
    Real* out = scratch_.data() + place * n_dims();
    if (block.dtype == DType::float16) {
      const auto* from = static_cast<const std::uint16_t*>(block.data) + offset;
      if constexpr (std::is_same_v<Real, float>) kernels_.row_f16_to_f32(from, n_dims(), out);
      if constexpr (!std::is_same_v<Real, float>) kernels_.row_f16_to_f64(from, n_dims(), out);
    } else if constexpr (!std::is_same_v<Real, float>) {
      kernels_.row_f32_to_f64(static_cast<const float*>(block.data) + offset, n_dims(), out);
    }
    return out;
  }

  const RowSource& source_;
  const PanelKernels& kernels_;
  std::vector<Real> scratch_;
  std::vector<double> wide_;
};

/// How rows are cut. Lanes depend on n only; their sums are added in order.
struct Cut {
  explicit Cut(std::int64_t n_rows) {
    const std::int64_t n_panels = (n_rows + kPanelRows - 1) / kPanelRows;
    lane_rows = std::max<std::int64_t>((n_panels + kMostLanes - 1) / kMostLanes, 8) * kPanelRows;
    n_lanes = (n_rows + lane_rows - 1) / lane_rows;
  }
  std::int64_t lane_rows, n_lanes;
};

void add_lanes(const std::vector<double>& partial, std::int64_t n_lanes, std::size_t size, double* sums) {
  std::fill_n(sums, size, 0.0);
  for (std::int64_t lane = 0; lane < n_lanes; ++lane) {
    const double* from = partial.data() + static_cast<std::size_t>(lane) * size;
    for (std::size_t i = 0; i < size; ++i) sums[i] += from[i];
  }
}

/// One column: products and sums of a few rows at a time while they are in the first cache; nothing is copied.
template <typename Real>
void column_products(const RowSource& source, const ProductSpec& spec) {
  constexpr std::int64_t kRows = 8;
  const std::int64_t n_rows = source.rows->n_rows(), n_dims = source.rows->n_dims();
  const Cut cut(n_rows);
  const auto width = static_cast<std::size_t>(n_dims);
  std::vector<double> partial(spec.sums == nullptr ? 0 : static_cast<std::size_t>(cut.n_lanes) * width);
  BadRows bad;
  const auto times = [](const Real* const* rows, std::int64_t count, const double* x, std::int64_t n, double* out) {
    if constexpr (std::is_same_v<Real, float>) panel_kernels().times_f32(rows, count, x, n, out);
    if constexpr (!std::is_same_v<Real, float>) panel_kernels().times_f64(rows, count, x, n, out);
  };
  const auto add = [](const Real* const* rows, std::int64_t count, const double* factors, std::int64_t n, double* y) {
    if constexpr (std::is_same_v<Real, float>) panel_kernels().add_rows_f32(rows, count, factors, n, y);
    if constexpr (!std::is_same_v<Real, float>) panel_kernels().add_rows_f64(rows, count, factors, n, y);
  };
  const int n_threads = worthwhile_threads(static_cast<double>(n_rows) * static_cast<double>(n_dims));
  for_each_lane(cut.n_lanes, n_threads, source.stop, [&](const Lane& lane) {
    RowPointers<Real> pointers(source, kRows);
    std::vector<const Real*> rows;
    std::vector<std::int64_t> numbers;
    double factors[kRows];
    const std::int64_t first = lane.index * cut.lane_rows, last = std::min(first + cut.lane_rows, n_rows);
    double* sums = spec.sums == nullptr ? nullptr : partial.data() + static_cast<std::size_t>(lane.index) * width;
    if (spec.products != nullptr) std::fill_n(spec.products + first, last - first, 0.0);
    for (std::int64_t row = first; row < last; row += kRows) {
      if ((row - first) % kPanelRows == 0 && !lane.keep_going()) return;
      pointers.collect(row, std::min(row + kRows, last), rows, numbers);
      const auto count = static_cast<std::int64_t>(rows.size());
      if (spec.coef != nullptr) times(rows.data(), count, spec.coef, n_dims, factors);
      for (std::int64_t i = 0; i < count; ++i) {
        if (spec.coef == nullptr) {
          factors[i] = spec.values == nullptr ? 1.0 : spec.values[numbers[i]];
          continue;
        }
        if (!std::isfinite(factors[i]) && !pointers.finite(rows[i])) bad.add(numbers[i]);
        if (spec.products != nullptr) spec.products[numbers[i]] = factors[i];
        if (spec.values != nullptr) factors[i] *= spec.values[numbers[i]];
      }
      if (sums != nullptr) add(rows.data(), count, factors, n_dims, sums);
    }
    if (spec.coef != nullptr || std::all_of(sums, sums + n_dims, [](double sum) { return std::isfinite(sum); })) return;
    for (std::int64_t row = first; row < last; row += kRows) {  // which rows were they?
      pointers.collect(row, std::min(row + kRows, last), rows, numbers);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if (!pointers.finite(rows[i])) bad.add(numbers[i]);
      }
    }
  });
  bad.throw_if_any<NonFiniteRows>();
  if (spec.sums != nullptr) add_lanes(partial, cut.n_lanes, width, spec.sums);
}

}  // namespace

void row_products(const RowSource& source, const ProductSpec& spec) {
  if (spec.coef == nullptr && spec.sums == nullptr) return;
  if (spec.width == 1) {
    return source.rows->has_float64() ? column_products<double>(source, spec) : column_products<float>(source, spec);
  }
  RowSource whole = whole_rows(source);
  whole.row_scale = nullptr;
  const std::int64_t n_rows = source.rows->n_rows();
  const std::int64_t n_dims = source.rows->n_dims();
  const std::int64_t width = spec.width;
  const Cut cut(n_rows);
  const auto sum_size = static_cast<std::size_t>(n_dims * width);
  std::vector<double> partial(spec.sums == nullptr ? 0 : static_cast<std::size_t>(cut.n_lanes) * sum_size);
  BadRows bad;

  struct Scratch {
    std::vector<double> panel, products;
  };
  const int n_threads = worthwhile_threads(static_cast<double>(n_rows) * static_cast<double>(sum_size));
  std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));

  for_each_lane(cut.n_lanes, n_threads, source.stop, [&](const Lane& lane) {
    auto& [panel, products] = scratch[lane.slot];
    panel.resize(static_cast<std::size_t>(kPanelRows * n_dims));
    products.resize(static_cast<std::size_t>(kPanelRows * width));
    Loader<double> loader(whole);
    const std::int64_t last = std::min((lane.index + 1) * cut.lane_rows, n_rows);
    for (std::int64_t row = lane.index * cut.lane_rows; row < last; row += kPanelRows) {
      if (!lane.keep_going()) return;
      const std::int64_t size = std::min(kPanelRows, last - row);
      loader.load(row, size, panel.data(), bad);
      const double* values = spec.values == nullptr ? nullptr : spec.values + row * width;
      const double* terms = values;
      if (spec.coef != nullptr) {
        dense::product(size, width, n_dims, panel.data(), spec.coef, products.data());
        if (spec.products != nullptr) std::copy_n(products.data(), size * width, spec.products + row * width);
        if (values != nullptr) {
          for (std::int64_t i = 0; i < size * width; ++i) products[i] *= values[i];
        }
        terms = products.data();
      }
      if (spec.sums == nullptr) continue;
      if (terms == nullptr) {
        std::fill(products.begin(), products.end(), 1.0);
        terms = products.data();
      }
      dense::add_transposed_product(n_dims, width, size, panel.data(), terms,
                                    partial.data() + static_cast<std::size_t>(lane.index) * sum_size);
    }
  });
  bad.throw_if_any<NonFiniteRows>();
  if (spec.sums != nullptr) add_lanes(partial, cut.n_lanes, sum_size, spec.sums);
}

void weighted_gram(RowSource source, double* gram) {
  const RowSource whole = whole_rows(source);
  const std::int64_t n_dims = source.rows->n_dims();
  PassSpec spec;
  spec.gram = gram;
  panel_pass<double>(whole, spec);
  for (std::int64_t i = 0; i < n_dims; ++i) {
    for (std::int64_t j = i + 1; j < n_dims; ++j) gram[j * n_dims + i] = gram[i * n_dims + j];
  }
}

}  // namespace oneglance
