#include "oneglance/small_kmeans.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "oneglance/check.h"
#include "oneglance/distance_kernels.h"
#include "oneglance/panel_kernels.h"
#include "oneglance/philox.h"
#include "propose.h"

namespace oneglance {
namespace {

// Purposes of python/oneglance/_rng.py.
constexpr std::uint32_t kKMeans = 7, kPattern = 8;

/// Clusters one set at a time; scratch memory of one thread.
class SmallKMeans {
 public:
  explicit SmallKMeans(const SmallKMeansInput& input)
      : input_(input),
        d_(input.n_dims),
        k_(input.n_clusters),
        // As in propose.h: float32 dot products, and the rounding of points, centres and norms, twice over.
        dot_error_(dot_error_of(d_)),
        centers_(static_cast<std::size_t>(k_ * d_)),
        moved_(static_cast<std::size_t>(k_ * d_)),
        near_centers_(static_cast<std::size_t>(k_ * d_)),
        center_norm2_(static_cast<std::size_t>(k_)),
        shift_(static_cast<std::size_t>(d_)),
        wide_(static_cast<std::size_t>(d_)) {}

  /// Writes min(K, m) patterns (d,) for the points first .. first + m - 1.
  void cluster(std::int64_t first, std::int64_t m, std::uint32_t name, float* out, BadRows& bad) {
    points_ = input_.points + first * d_;
    m_ = m;
    name_ = name;
    if (m == 0 || !prepare(first, bad)) return;
    if (k_ >= m) {
      std::copy_n(points_, m * d_, out);
      return;
    }
    if (k_ == 1) {
      labels_.assign(static_cast<std::size_t>(m), 0);
      average(0, centers_.data());
    } else {
      lloyd();
    }
    for (std::int64_t j = 0; j < k_ * d_; ++j) out[j] = static_cast<float>(centers_[j]);
  }

 private:
  void lloyd() {
    start();
    labels_.assign(static_cast<std::size_t>(m_), -1);
    for (int t = 0; t < input_.max_iter; ++t) {
      changed_.assign(static_cast<std::size_t>(k_), t == 0 ? 1 : 0);
      assign();
      double shift = 0.0;
      for (std::int64_t c = 0; c < k_; ++c) {
        double* moved = moved_.data() + c * d_;
        const double* old = centers_.data() + c * d_;
        const bool empty = counts_[c] == 0;
        if (!empty && changed_[c] == 0) {
          std::copy_n(old, d_, moved);
          continue;
        }
        if (empty) {
          const double u = philox_uniform(input_.seed, kKMeans, name_, static_cast<std::uint64_t>(c * 128 + t));
          widen(static_cast<std::int64_t>(static_cast<double>(m_) * u), moved);
        } else {
          average(c, moved);
        }
        shift += std::sqrt(distance_kernels().dist2_f64(moved, old, 1.0, d_));
      }
      centers_.swap(moved_);
      if (shift * shift < input_.tol) break;
    }
  }

  /// Points less about their mean, in float32: small norms make the bound on the products small. False when some
  /// are not finite.
  bool prepare(std::int64_t first, BadRows& bad) {
    constexpr std::int64_t kSample = 16;
    members_.clear();
    for (std::int64_t i = 0; i < m_; i += std::max<std::int64_t>(1, m_ / kSample)) members_.push_back(points_ + i * d_);
    panel_kernels().mean_rows_f32(members_.data(), static_cast<std::int64_t>(members_.size()), d_, wide_.data());
    for (std::int64_t j = 0; j < d_; ++j) {
      shift_[j] = std::abs(wide_[j]) < kLargestNorm ? static_cast<float>(wide_[j]) : 0.0f;
    }
    near_points_.resize(static_cast<std::size_t>(m_ * d_));
    point_norm_.resize(static_cast<std::size_t>(m_));
    products_.resize(static_cast<std::size_t>(m_ * k_));
    bool finite = true;
    for (std::int64_t i = 0; i < m_; ++i) {
      float* row = near_points_.data() + i * d_;
      if (!panel_kernels().row_f32_to_f32(points_ + i * d_, d_, row)) {
        bad.add(first + i);
        finite = false;
      }
      distance_kernels().shift_f32(row, 1.0f, shift_.data(), d_);
      point_norm_[i] = std::sqrt(panel_kernels().sum_squares_f32(row, d_));
    }
    largest_point_ = *std::max_element(point_norm_.begin(), point_norm_.end());
    return finite;
  }

  void start() {
    std::vector<double> keys(static_cast<std::size_t>(m_));
    for (std::int64_t i = 0; i < m_; ++i) {
      keys[i] = philox_uniform(input_.seed, kPattern, name_, static_cast<std::uint64_t>(i));
    }
    std::vector<std::int64_t> order(static_cast<std::size_t>(m_));
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k_, order.end(), [&](std::int64_t a, std::int64_t b) {
      return keys[a] < keys[b] || (keys[a] == keys[b] && a < b);
    });
    for (std::int64_t c = 0; c < k_; ++c) widen(order[static_cast<std::size_t>(c)], centers_.data() + c * d_);
  }

  void widen(std::int64_t point, double* out) const { panel_kernels().row_f32_to_f64(points_ + point * d_, d_, out); }

  void average(std::int64_t cluster, double* out) {
    members_.clear();
    for (std::int64_t i = 0; i < m_; ++i) {
      if (labels_[i] == cluster) members_.push_back(points_ + i * d_);
    }
    panel_kernels().mean_rows_f32(members_.data(), static_cast<std::int64_t>(members_.size()), d_, out);
  }

  void assign() {
    largest_center_ = 0.0;
    for (std::int64_t c = 0; c < k_; ++c) {
      float* near = near_centers_.data() + c * d_;
      distance_kernels().shift_f64(centers_.data() + c * d_, 1.0, shift_.data(), d_, near);
      center_norm2_[c] = panel_kernels().sum_squares_f32(near, d_);
      largest_center_ = std::max(largest_center_, std::sqrt(center_norm2_[c]));
    }
    const bool proposes = largest_point_ < kLargestNorm && largest_center_ < kLargestNorm;
    if (proposes) {
      panel_kernels().dots_f32(near_points_.data(), m_, near_centers_.data(), k_, d_, products_.data());
    }
    counts_.assign(static_cast<std::size_t>(k_), 0);
    for (std::int64_t i = 0; i < m_; ++i) {
      const std::int64_t label = proposes ? propose(i) : decide(i, INFINITY);
      if (label != labels_[i]) {
        if (labels_[i] >= 0) changed_[labels_[i]] = 1;
        changed_[label] = 1;
        labels_[i] = label;
      }
      ++counts_[label];
    }
  }

  /// dist2 less the point's own norm^2.
  double proposed(std::int64_t i, std::int64_t c) const {
    return center_norm2_[c] - 2.0 * static_cast<double>(products_[i * k_ + c]);
  }

  std::int64_t propose(std::int64_t i) {
    std::int64_t best = 0;
    double lowest = proposed(i, 0), second = INFINITY;
    for (std::int64_t c = 1; c < k_; ++c) {
      const double value = proposed(i, c);
      second = std::min(second, std::max(value, lowest));
      best = value < lowest ? c : best;
      lowest = std::min(lowest, value);
    }
    const double r = point_norm_[i], q = largest_center_;
    const double error = 2.0 * dot_error_ * r * q + 16.0 * kRoundoff * (r * r + q * q) + 1e-30;
    return second - lowest > 2.0 * error ? best : decide(i, lowest + 2.0 * error);
  }

  /// The nearest in float64 among the centres proposed at `most` or less.
  std::int64_t decide(std::int64_t i, double most) {
    widen(i, wide_.data());
    std::int64_t best = -1;
    double nearest = INFINITY;
    for (std::int64_t c = 0; c < k_; ++c) {
      if (most < INFINITY && proposed(i, c) > most) continue;
      const double dist2 = distance_kernels().dist2_f64(wide_.data(), centers_.data() + c * d_, 1.0, d_);
      if (best < 0 || dist2 < nearest) {
        nearest = dist2;
        best = c;
      }
    }
    return best;
  }

  const SmallKMeansInput& input_;
  std::int64_t d_, k_;
  double dot_error_;
  const float* points_ = nullptr;
  std::int64_t m_ = 0;
  std::uint32_t name_ = 0;
  std::vector<double> centers_, moved_;
  std::vector<float> near_centers_, near_points_, products_;
  std::vector<double> center_norm2_, point_norm_;
  std::vector<float> shift_;
  std::vector<double> wide_;
  std::vector<std::int64_t> labels_, counts_;
  std::vector<std::uint8_t> changed_;
  std::vector<const float*> members_;
  double largest_point_ = 0.0, largest_center_ = 0.0;
};

}  // namespace

SmallKMeansResult small_kmeans(const SmallKMeansInput& input) {
  SmallKMeansResult result;
  result.offsets.assign(static_cast<std::size_t>(input.n_sets + 1), 0);
  for (std::int64_t i = 0; i < input.n_sets; ++i) {
    const std::int64_t m = input.offsets[i + 1] - input.offsets[i];
    result.offsets[i + 1] = result.offsets[i] + std::min(m, input.n_clusters);
  }
  result.patterns.resize(static_cast<std::size_t>(result.offsets.back() * input.n_dims));
  const std::int64_t n_points = input.offsets[input.n_sets];
  const int n_threads =
      worthwhile_threads(10.0 * static_cast<double>(n_points) * static_cast<double>(input.n_clusters * input.n_dims));
  constexpr std::int64_t kLaneSets = 4;
  BadRows bad;
  std::vector<std::unique_ptr<SmallKMeans>> slots(static_cast<std::size_t>(n_threads));
  for_each_lane((input.n_sets + kLaneSets - 1) / kLaneSets, n_threads, input.stop, [&](const Lane& lane) {
    auto& sets = slots[static_cast<std::size_t>(lane.slot)];
    if (!sets) sets = std::make_unique<SmallKMeans>(input);
    const std::int64_t last = std::min(input.n_sets, (lane.index + 1) * kLaneSets);
    for (std::int64_t i = lane.index * kLaneSets; i < last && lane.keep_going(); ++i) {
      const std::int64_t first = input.offsets[i];
      sets->cluster(first, input.offsets[i + 1] - first, static_cast<std::uint32_t>(input.names[i]),
                    result.patterns.data() + result.offsets[i] * input.n_dims, bad);
    }
  });
  bad.throw_if_any<NonFiniteRows>();
  return result;
}

}  // namespace oneglance
