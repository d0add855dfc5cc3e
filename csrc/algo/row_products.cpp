#include "oneglance/row_products.h"

#include <algorithm>
#include <numeric>
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

}  // namespace

void row_products(const RowSource& source, const ProductSpec& spec) {
  RowSource whole = whole_rows(source);
  whole.row_scale = nullptr;
  const std::int64_t n_rows = source.rows->n_rows();
  const std::int64_t n_dims = source.rows->n_dims();
  const std::int64_t width = spec.width;
  // Lanes depend on n only; their sums are added in order.
  const std::int64_t n_panels = (n_rows + kPanelRows - 1) / kPanelRows;
  const std::int64_t lane_panels = std::max<std::int64_t>((n_panels + kMostLanes - 1) / kMostLanes, 8);
  const std::int64_t n_lanes = (n_panels + lane_panels - 1) / lane_panels;
  const auto sum_size = static_cast<std::size_t>(n_dims * width);
  std::vector<double> partial(spec.sums == nullptr ? 0 : static_cast<std::size_t>(n_lanes) * sum_size);
  BadRows bad;

  struct Scratch {
    std::vector<double> panel, products;
  };
  const int n_threads = worthwhile_threads(static_cast<double>(n_rows) * static_cast<double>(sum_size));
  std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));

  for_each_lane(n_lanes, n_threads, source.stop, [&](const Lane& lane) {
    auto& [panel, products] = scratch[lane.slot];
    panel.resize(static_cast<std::size_t>(kPanelRows * n_dims));
    products.resize(static_cast<std::size_t>(kPanelRows * width));
    Loader<double> loader(whole);
    const std::int64_t last = std::min((lane.index + 1) * lane_panels * kPanelRows, n_rows);
    for (std::int64_t row = lane.index * lane_panels * kPanelRows; row < last; row += kPanelRows) {
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
  if (spec.sums == nullptr) return;
  std::fill_n(spec.sums, sum_size, 0.0);
  for (std::int64_t lane = 0; lane < n_lanes; ++lane) {
    const double* from = partial.data() + static_cast<std::size_t>(lane) * sum_size;
    for (std::size_t i = 0; i < sum_size; ++i) spec.sums[i] += from[i];
  }
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
