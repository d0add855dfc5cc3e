#include "array_in.h"

#include "oneglance/check.h"

namespace py = pybind11;

namespace oneglance {
namespace {

DType dtype_of(const py::array& array) {
  const char kind = array.dtype().kind();
  const auto size = array.dtype().itemsize();
  if (kind == 'f' && size == 2) return DType::float16;
  if (kind == 'f' && size == 4) return DType::float32;
  if (kind == 'f' && size == 8) return DType::float64;
  throw InvalidInput("rows must be float16, float32 or float64, got dtype " +
                     py::str(array.dtype()).cast<std::string>() + ".");
}

bool ctrl_c_pressed() {
  const py::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

}  // namespace

StopRequest stop_on_ctrl_c() { return ctrl_c_pressed; }

MatrixView matrix_view(const std::vector<py::array>& shards) {
  require(!shards.empty(), "at least one array of rows is needed.");
  std::vector<RowBlock> blocks;
  for (const py::array& shard : shards) {
    require(shard.ndim() == 2, "rows must be 2-D (rows, features), got " + std::to_string(shard.ndim()) + "-D.");
    const auto item = static_cast<py::ssize_t>(shard.itemsize());
    require(shard.shape(1) == shards.front().shape(1), "all shards need the same number of columns.");
    require(shard.shape(1) <= 1 || shard.strides(1) == item, "columns of a row must be adjacent in memory.");
    require(shard.strides(0) % item == 0 && (shard.shape(0) <= 1 || shard.strides(0) >= shard.shape(1) * item),
            "rows must ascend in memory without overlap.");
    RowBlock block;
    block.data = shard.data();
    block.n_rows = shard.shape(0);
    block.row_stride = shard.shape(0) <= 1 ? shard.shape(1) : shard.strides(0) / item;
    block.dtype = dtype_of(shard);
    blocks.push_back(block);
  }
  return MatrixView(std::move(blocks), shards.front().shape(1));
}

RowSource row_source(const MatrixView& rows, const std::optional<BoolVector>& mask,
                     const std::optional<Float64Vector>& row_scale) {
  RowSource source;
  source.rows = &rows;
  if (mask) {
    require(mask->size() >= rows.n_rows(), "mask must have one entry per row.");
    source.mask = reinterpret_cast<const std::uint8_t*>(mask->data());
  }
  if (row_scale) {
    require(row_scale->size() >= rows.n_rows(), "row_scale must have one entry per row.");
    source.row_scale = row_scale->data();
  }
  source.stop = stop_on_ctrl_c();
  return source;
}

}  // namespace oneglance
