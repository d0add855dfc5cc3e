#include "propose.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "oneglance/dense.h"
#include "oneglance/distance_kernels.h"

namespace oneglance {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

NearestSearch::NearestSearch(const Frame& frame, const MetricRows& queries, const MetricRows& data,
                             std::int64_t n_nearest, bool skip_self)
    : frame_(frame),
      queries_(queries),
      data_(data),
      n_nearest_(n_nearest),
      skip_self_(skip_self),
      candidates_(static_cast<std::size_t>(kPanelRows)),
      product_(static_cast<std::size_t>(kPanelRows * kTileCenters)),
      lower_(static_cast<std::size_t>(kTileCenters)),
      narrow_(static_cast<std::size_t>(data.n_dims())),
      positions_(static_cast<std::size_t>(kTileCenters)),
      wide_(static_cast<std::size_t>(data.n_dims())) {}

void NearestSearch::open(const std::int64_t* rows, std::int64_t n, BadRows& bad) {
  rows_.assign(rows, rows + n);
  load_points(queries_, frame_, rows, n, points_, bad);
  best_dist2_.assign(static_cast<std::size_t>(n * n_nearest_), std::numeric_limits<double>::infinity());
  best_row_.assign(static_cast<std::size_t>(n * n_nearest_), -1);
  start();
}

void NearestSearch::start() {
  const std::int64_t n = points_.size();
  most_.resize(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    most_[i] = ceiling(i);
    candidates_[i].clear();
  }
  lowest_.assign(static_cast<std::size_t>(n), kInfinity);
  second_.assign(static_cast<std::size_t>(n), kInfinity);
}

/// Largest `lower` that can still be among the nearest: the worst decided dist2, in terms of `lower`.
float NearestSearch::ceiling(std::int64_t i) const {
  const double worst = best_dist2_[i * n_nearest_ + n_nearest_ - 1];
  return round_up(worst * frame_.power2 * (1.0 + 1e-12) - points_.norm2[i] + points_.slack[i]);
}

/// A number that at least n_nearest `lower` of a tile do not exceed: the largest of the second smallest of pieces.
/// +inf where the tile is too small.
float NearestSearch::few_lowest(const float* product, const float* base, const float* slope, float norm,
                                std::int64_t n) const {
  const std::int64_t n_pieces = (n_nearest_ + (skip_self_ ? 1 : 0) + 1) / 2, size = n / n_pieces;
  constexpr std::int64_t kSmallest = 16;  // shorter pieces would cost more than they save
  if (size < kSmallest) return kInfinity;
  float most = -kInfinity;
  for (std::int64_t piece = 0; piece < n_pieces; ++piece) {
    const std::int64_t from = piece * size;
    float first, second;
    distance_kernels().two_lowest(product + from, base + from, slope + from, norm, size, &first, &second);
    most = std::max(most, second);
  }
  return most;
}

void NearestSearch::scan(const Centers& centers, std::int64_t first, std::int64_t last) {
  const DistanceKernels& kernels = distance_kernels();
  const std::int64_t n_dims = data_.n_dims();
  const std::int64_t n_rows = points_.size();
  for (std::int64_t tile = first; tile < last; tile += kTileCenters) {
    const std::int64_t n = std::min(kTileCenters, last - tile);
    const float *base = centers.base.data() + tile, *slope = centers.slope.data() + tile;
    const float most_slope = *std::max_element(slope, slope + n);
    const double most_slack = *std::max_element(centers.slack.data() + tile, centers.slack.data() + tile + n);
    dense::times_transposed(n_rows, n, n_dims, -2.0f, points_.x.data(), centers.x.data() + tile * n_dims,
                            product_.data());
    for (std::int64_t i = 0; i < n_rows; ++i) {
      const float* product = product_.data() + i * n;
      const float norm = points_.norm[i];
      float lowest, second;
      kernels.two_lowest(product, base, slope, norm, n, &lowest, &second);
      second_[i] = std::min(second_[i], std::max(lowest, lowest_[i]));
      second_[i] = std::min(second_[i], second);
      lowest_[i] = std::min(lowest_[i], lowest);
      const double row_slack = points_.slack[i];
      if (n_nearest_ == 1 && !skip_self_) {
        const double upper = lowest + 2.0 * (static_cast<double>(norm) * most_slope + row_slack + most_slack);
        if (upper < most_[i]) most_[i] = round_up(upper);
      }
      if (std::isinf(most_[i]) && n_nearest_ > 1) {
        const double upper = few_lowest(product, base, slope, norm, n) +
                             2.0 * (static_cast<double>(norm) * most_slope + row_slack + most_slack);
        if (upper < most_[i]) most_[i] = round_up(upper);
      }
      if (!(lowest <= most_[i])) continue;
      const std::int64_t count =
          kernels.collect(product, base, slope, norm, most_[i], n, positions_.data(), lower_.data());
      std::vector<Candidate>& found = candidates_[i];
      for (std::int64_t c = 0; c < count; ++c) {
        const std::int64_t place = tile + positions_[c];
        const std::int64_t row = centers.rows[place];
        if (skip_self_ && row == rows_[i]) continue;
        const double error = static_cast<double>(norm) * centers.slope[place] + row_slack + centers.slack[place];
        const double upper = std::isinf(error) ? error : lower_[c] + 2.0 * error;
        if (n_nearest_ == 1 && upper < most_[i]) most_[i] = round_up(upper);
        if (lower_[c] <= most_[i]) found.push_back({lower_[c], round_up(upper), row});
      }
      constexpr std::size_t kFew = 48;
      if (found.size() > kFew + 4 * static_cast<std::size_t>(n_nearest_)) {
        prune(i);
        if (found.size() > kFew / 2 + 2 * static_cast<std::size_t>(n_nearest_)) decide(i);
      }
    }
  }
}

/// Drops candidates that cannot be among the nearest any more.
void NearestSearch::prune(std::int64_t i) {
  std::vector<Candidate>& found = candidates_[i];
  const auto n = static_cast<std::size_t>(n_nearest_);
  if (n > 1 && found.size() >= n) {
    std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(n - 1), found.end(),
                     [](const Candidate& a, const Candidate& b) { return a.upper < b.upper; });
    most_[i] = std::min(most_[i], found[n - 1].upper);
  }
  const float most = most_[i];
  found.erase(std::remove_if(found.begin(), found.end(), [most](const Candidate& c) { return c.lower > most; }),
              found.end());
}

void NearestSearch::insert(std::int64_t i, double dist2, std::int64_t row) {
  double* distances = this->dist2(i);
  std::int64_t* rows = nearest(i);
  std::int64_t place = n_nearest_;
  while (place > 0 && (dist2 < distances[place - 1] ||
                       (dist2 == distances[place - 1] && (rows[place - 1] < 0 || row < rows[place - 1])))) {
    --place;
  }
  if (place == n_nearest_) return;
  for (std::int64_t k = n_nearest_ - 1; k > place; --k) {
    distances[k] = distances[k - 1];
    rows[k] = rows[k - 1];
  }
  distances[place] = dist2;
  rows[place] = row;
}

void NearestSearch::decide(std::int64_t i) {
  std::vector<Candidate>& found = candidates_[i];
  if (found.empty()) return;
  queries_.widen(rows_[i], wide_.data());
  for (const Candidate& candidate : found) {
    if (candidate.lower > most_[i]) continue;
    insert(i, data_.dist2(wide_.data(), candidate.row, narrow_.data()), candidate.row);
  }
  found.clear();
  most_[i] = std::min(most_[i], ceiling(i));
}

void NearestSearch::finish() {
  for (std::int64_t i = 0; i < points_.size(); ++i) {
    prune(i);
    decide(i);
  }
}

void NearestSearch::merge(NearestSearch& other) {
  for (std::int64_t i = 0; i < points_.size(); ++i) {
    for (std::int64_t k = 0; k < n_nearest_ && other.nearest(i)[k] >= 0; ++k) {
      insert(i, other.dist2(i)[k], other.nearest(i)[k]);
    }
  }
}

void NearestSearch::finish_labels(std::int64_t* label, double* other2) {
  for (std::int64_t i = 0; i < points_.size(); ++i) {
    prune(i);
    const bool alone = nearest(i)[0] < 0 && candidates_[i].size() == 1;
    const double bound = static_cast<double>(alone ? second_[i] : lowest_[i]);
    other2[i] = std::max(0.0, bound + points_.norm2[i] - points_.slack[i]) / frame_.power2;
    if (alone) {
      label[i] = candidates_[i][0].row;
    } else {
      decide(i);
      label[i] = nearest(i)[0];
    }
  }
}

}  // namespace oneglance
