#pragma once
#include <cstdint>

#include "device_rows.h"

namespace oneglance::cuda {

/// How rows become numbers that a library multiplies. tf32: 11 significant bits, which tensor cores read exactly;
/// with a second panel for what is left over, 22 bits.
enum class PanelType : std::uint8_t { float32 = 0, float64 = 1, tf32 = 2 };

/// What `load_panel` does to rows besides converting them; all pointers in device memory.
///   columns       (rank,) columns used, in this order; null: all
///   column_scale  (rank,) powers of two; null: 1
///   row_scale     (n_rows,) null: 1
///   mask          (n_rows,) 0: the row becomes zeros and is not read; null: all rows
struct PanelSource {
  const std::int32_t* columns = nullptr;
  const double* column_scale = nullptr;
  const double* row_scale = nullptr;
  const std::uint8_t* mask = nullptr;
};

/// panel (n_rows, rank), row-major and adjacent: the rows selected and scaled. Rows with NaN or infinity become zeros
/// and are added to the device counter n_bad.
///   rest  float32 panel of what tf32 leaves over, or null; only for PanelType::tf32
/// Rows are read once, 16 bytes at a time where address, stride and rank allow.
void load_panel(const DeviceRows& rows, const PanelSource& source, std::int64_t rank, PanelType type, void* panel,
                float* rest, std::int64_t* n_bad, std::uintptr_t stream);

/// tau[i] = |row i of the panel|^2 in float64; and each row times tau_i^(gram_power / 2) where `gram_power` is not 0,
/// rounded to tf32 when that is the type: what enters the Gram product. Rows of zeros stay.
///   tau   (n_rows,) or null
///   rest  as in load_panel
///   keep  false: the panel is read, not written (norms alone)
void reweight_panel(void* panel, std::int64_t n_rows, std::int64_t rank, PanelType type, double gram_power, bool keep,
                    double* tau, float* rest, std::uintptr_t stream);

/// float64 values as float32 with 11 bits, and what is left over with 11 more (`rest`, may be null).
void split_tf32(const double* values, std::int64_t n, float* high, float* rest, std::uintptr_t stream);

}  // namespace oneglance::cuda
