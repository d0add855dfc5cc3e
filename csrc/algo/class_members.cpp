#include "class_members.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "oneglance/distance_kernels.h"

namespace oneglance {

ClassMembers::ClassMembers(const MetricRows& rows, const Classes& classes, std::int64_t number, BadRows& bad)
    : d_(rows.n_dims()),
      rows_(classes.members.data() + classes.offsets[number]),
      n_(classes.offsets[number + 1] - classes.offsets[number]),
      wide_(static_cast<std::size_t>(n_ * d_)) {
  for (std::int64_t i = 0; i < n_; ++i) {
    if (!rows.widen(rows_[i], wide_.data() + i * d_)) bad.add(rows_[i]);
  }
  core_ = std::lower_bound(rows_, rows_ + n_, classes.cores[number]) - rows_;
}

void ClassMembers::keep_distances(std::int64_t most_bytes) {
  if (n_ * n_ > most_bytes / static_cast<std::int64_t>(sizeof(double))) return;
  std::vector<double> all(static_cast<std::size_t>(n_ * n_));
  std::vector<double> tile(static_cast<std::size_t>(kTile * n_));
  std::vector<std::int64_t> positions(static_cast<std::size_t>(n_));
  std::iota(positions.begin(), positions.end(), 0);
  for (std::int64_t first = 0; first < n_; first += kTile) {
    const std::int64_t n_from = std::min(kTile, n_ - first), n_to = n_ - first;
    compute(positions.data() + first, n_from, positions.data() + first, n_to, tile.data());
    for (std::int64_t i = 0; i < n_from; ++i) {
      std::copy_n(tile.data() + i * n_to, n_to, all.data() + (first + i) * n_ + first);
    }
    for (std::int64_t j = 0; j < n_to; ++j) {
      for (std::int64_t i = 0; i < n_from; ++i) all[(first + j) * n_ + first + i] = tile[i * n_to + j];
    }
  }
  kept_.swap(all);
}

void ClassMembers::measure(const std::int64_t* from, std::int64_t n_from, const std::int64_t* to, std::int64_t n_to,
                           double* out) const {
  if (kept_.empty()) {
    compute(from, n_from, to, n_to, out);
    return;
  }
  for (std::int64_t i = 0; i < n_from; ++i) {
    const double* row = kept_.data() + from[i] * n_;
    for (std::int64_t j = 0; j < n_to; ++j) out[i * n_to + j] = row[to[j]];
  }
}

void ClassMembers::compute(const std::int64_t* from, std::int64_t n_from, const std::int64_t* to, std::int64_t n_to,
                           double* out) const {
  constexpr std::int64_t kGroup = 4;
  const double* others[kGroup];
  double dist2[kGroup];
  for (std::int64_t first = 0; first < n_to; first += kGroup) {
    const std::int64_t n = std::min(kGroup, n_to - first);
    for (std::int64_t j = 0; j < n; ++j) others[j] = wide(to[first + j]);
    for (std::int64_t i = 0; i < n_from; ++i) {
      distance_kernels().dist2_rows_f64(wide(from[i]), others, n, d_, dist2);
      for (std::int64_t j = 0; j < n; ++j) out[i * n_to + first + j] = std::sqrt(dist2[j]);
    }
  }
}

}  // namespace oneglance
