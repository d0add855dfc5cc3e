#pragma once
#include <cstdint>

#include "device_rows.h"

namespace oneglance::cuda {

/// Rows in classes (include/oneglance/bilaf.h), on the device: class i owns members[offsets[i]] .. members[offsets[i +
/// 1]
/// - 1], ascending, with its core in cores[i]. Euclidean distances in float64, with the bits of the CPU.
///   scale    (n_rows) what rows are multiplied by, null for 1
///   by_size  (n_classes) classes, the largest first: a block per class takes them in this order
struct DeviceClasses {
  DeviceRows rows;
  const double* scale = nullptr;
  const std::int64_t *members = nullptr, *offsets = nullptr, *cores = nullptr, *by_size = nullptr;
  std::int64_t n_classes = 0;
};

/// denoise() of the CPU, bit for bit. Every pair of a class is measured twice, by one block: sum_i N_i^2 d.
///   order          (members) out          mean_distance  (members) out; NaN for those left out
///   nearest        (members, min(n_neighbors, largest class)) scratch     density  (members) scratch
///   waiting, kept  (members) scratch
struct DenoiseWork {
  std::int64_t n_neighbors = 10, width = 0;  // width: of a row of `nearest`
  double growth = 0.1, removal = 0.1;
  std::int64_t *order = nullptr, *waiting = nullptr, *kept = nullptr;
  double *mean_distance = nullptr, *nearest = nullptr, *density = nullptr;
};
void denoise(const DeviceClasses& classes, const DenoiseWork& work, std::uintptr_t stream);

/// boundary_picks() of the CPU, bit for bit. A block per class: scores only grow, so that old ones are bounds, and a
/// candidate is measured against all cores only when its bound is the lowest and its n_near cores do not settle it.
///   near_core, near_distance  (members, n_near), mean_distance (members), budget (n_classes) as there
///   starts          (n_classes) place of the first pick of each class in rows, opponent and scores
///   power           (n_blocks, n_classes) scratch, for n_blocks classes at a time
///   left, exact, least, distance   (members) scratch
struct BoundaryWork {
  const std::int64_t *near_core = nullptr, *budget = nullptr, *starts = nullptr;
  const double *near_distance = nullptr, *mean_distance = nullptr;
  std::int64_t n_near = 0, n_blocks = 0;
  double penalty = 1.1;
  double *power = nullptr, *least = nullptr, *distance = nullptr;
  std::int64_t *left = nullptr, *exact = nullptr;
  std::int64_t *rows = nullptr, *opponent = nullptr;
  double* scores = nullptr;
};
void boundary_picks(const DeviceClasses& classes, const BoundaryWork& work, std::uintptr_t stream);

}  // namespace oneglance::cuda
