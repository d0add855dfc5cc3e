#include "oneglance/matrix_view.h"

#include <algorithm>

#include "oneglance/check.h"

namespace oneglance {

MatrixView::MatrixView(std::vector<RowBlock> blocks, std::int64_t n_dims)
    : blocks_(std::move(blocks)), starts_{0}, n_dims_(n_dims) {
  // BLAS here counts in 32 bits and d x d state must fit in memory: 32768^2 float64 are 8 GiB.
  require(n_dims_ >= 1 && n_dims_ <= 32768,
          "the number of columns must lie in 1..32768, got " + std::to_string(n_dims_) + ".");
  for (const RowBlock& block : blocks_) {
    require(block.n_rows >= 0 && block.row_stride >= n_dims_, "rows of a block overlap or are negative in number.");
    starts_.push_back(starts_.back() + block.n_rows);
  }
}

bool MatrixView::has_float64() const {
  return std::any_of(blocks_.begin(), blocks_.end(),
                     [](const RowBlock& block) { return block.dtype == DType::float64; });
}

std::size_t MatrixView::block_of(std::int64_t row) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), row);
  return static_cast<std::size_t>(after - starts_.begin()) - 1;
}

}  // namespace oneglance
