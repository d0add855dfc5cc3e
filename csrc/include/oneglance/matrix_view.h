#pragma once
#include <cstdint>
#include <vector>

namespace oneglance {

enum class DType : std::uint8_t { float16, float32, float64 };

/// Consecutive rows of one matrix, wherever they lie (array, memory map, shard).
///   data        row 0, column 0; columns are adjacent
///   row_stride  in elements, >= n_dims
struct RowBlock {
  const void* data = nullptr;
  std::int64_t n_rows = 0;
  std::int64_t row_stride = 0;
  DType dtype = DType::float32;
};

/// An (n_rows, n_dims) row-major matrix in one or more blocks. Does not own its memory.
class MatrixView {
 public:
  MatrixView(std::vector<RowBlock> blocks, std::int64_t n_dims);

  std::int64_t n_rows() const { return starts_.back(); }
  std::int64_t n_dims() const { return n_dims_; }
  const std::vector<RowBlock>& blocks() const { return blocks_; }
  /// True when any block holds float64, so that float32 arithmetic would lose input digits.
  bool has_float64() const;
  /// Index of the block that holds `row`, and the first row of that block.
  std::size_t block_of(std::int64_t row) const;
  std::int64_t block_start(std::size_t block) const { return starts_[block]; }

 private:
  std::vector<RowBlock> blocks_;
  std::vector<std::int64_t> starts_;  // one more than blocks
  std::int64_t n_dims_;
};

}  // namespace oneglance
