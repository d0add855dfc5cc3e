#include "oneglance/bilaf.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "bad_rows.h"
#include "oneglance/check.h"
#include "oneglance/distance_kernels.h"

namespace oneglance {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The members of one class, widened once. Positions are those in the class.
class Members {
 public:
  Members(const MetricRows& rows, const Classes& classes, std::int64_t number, BadRows& bad)
      : d_(rows.n_dims()),
        rows_(classes.members.data() + classes.offsets[number]),
        n_(classes.offsets[number + 1] - classes.offsets[number]),
        wide_(static_cast<std::size_t>(n_ * d_)) {
    for (std::int64_t i = 0; i < n_; ++i) {
      if (!rows.widen(rows_[i], wide_.data() + i * d_)) bad.add(rows_[i]);
    }
    core_ = std::lower_bound(rows_, rows_ + n_, classes.cores[number]) - rows_;
  }
  std::int64_t size() const { return n_; }
  std::int64_t core() const { return core_; }
  std::int64_t row(std::int64_t i) const { return rows_[i]; }
  const double* wide(std::int64_t i) const { return wide_.data() + i * d_; }
  double distance(std::int64_t i, std::int64_t j) const {
    return std::sqrt(distance_kernels().dist2_f64(wide(i), wide(j), 1.0, d_));
  }

 private:
  std::int64_t d_;
  const std::int64_t* rows_;
  std::int64_t n_;
  std::int64_t core_ = 0;
  std::vector<double> wide_;
};

/// Members in the order in which they join.
std::vector<std::int64_t> join(const Members& members, std::int64_t n_neighbors, double growth) {
  const std::int64_t n = members.size();
  const auto step = std::max<std::int64_t>(1, static_cast<std::int64_t>(growth * static_cast<double>(n)));
  std::vector<std::int64_t> order{members.core()}, waiting, joining{members.core()};
  for (std::int64_t i = 0; i < n; ++i) {
    if (i != members.core()) waiting.push_back(i);
  }
  // The nearest few included members of each, as a max-heap; the class only grows, so new ones are merged in.
  std::vector<std::vector<double>> nearest(static_cast<std::size_t>(n));
  std::vector<double> density(static_cast<std::size_t>(n));
  while (!waiting.empty()) {
    for (const std::int64_t i : waiting) {
      std::vector<double>& mine = nearest[static_cast<std::size_t>(i)];
      for (const std::int64_t j : joining) {
        const double distance = members.distance(i, j);
        if (static_cast<std::int64_t>(mine.size()) == n_neighbors) {
          if (distance >= mine.front()) continue;
          std::pop_heap(mine.begin(), mine.end());
          mine.pop_back();
        }
        mine.push_back(distance);
        std::push_heap(mine.begin(), mine.end());
      }
      std::vector<double> sorted = mine;
      std::sort(sorted.begin(), sorted.end());  // one order of adding up, so that equal rows have equal means
      density[static_cast<std::size_t>(i)] =
          std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size());
    }
    const std::int64_t count = std::min(step, static_cast<std::int64_t>(waiting.size()));
    const auto denser = [&](std::int64_t a, std::int64_t b) {
      const double da = density[static_cast<std::size_t>(a)], db = density[static_cast<std::size_t>(b)];
      return da < db || (da == db && a < b);
    };
    std::partial_sort(waiting.begin(), waiting.begin() + count, waiting.end(), denser);
    joining.assign(waiting.begin(), waiting.begin() + count);
    waiting.erase(waiting.begin(), waiting.begin() + count);
    order.insert(order.end(), joining.begin(), joining.end());
  }
  return order;
}

std::vector<double> mean_distances(const Members& members) {
  const std::int64_t n = members.size();
  std::vector<double> sum(static_cast<std::size_t>(n), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i + 1; j < n; ++j) {
      const double distance = members.distance(i, j);
      sum[j] += distance;
      sum[i] += distance;
    }
  }
  for (double& value : sum) value /= static_cast<double>(n);
  return sum;
}

double boundary(double penalised, double distance, double intra) {
  const double scale = std::max(distance, intra);
  return scale > 0.0 ? (penalised - intra) / scale : 0.0;
}

/// The choice in one class.
class Boundary {
 public:
  Boundary(const MetricRows& rows, const Classes& classes, const BoundaryOptions& options, std::int64_t number,
           BadRows& bad)
      : rows_(rows),
        classes_(classes),
        options_(options),
        number_(number),
        members_(rows, classes, number, bad),
        intra_(mean_distances(members_)),
        power_(static_cast<std::size_t>(classes.size()), 1.0),
        narrow_(static_cast<std::size_t>(rows.n_dims())) {}

  void run(std::int64_t* out_rows, std::int64_t* out_opponent, double* out_scores) {
    const std::int64_t budget = options_.budget[number_], drop = members_.size() / budget;
    std::vector<std::int64_t> left(static_cast<std::size_t>(members_.size()));
    std::iota(left.begin(), left.end(), 0);
    for (std::int64_t pick = 0; pick < budget; ++pick) {
      std::int64_t chosen = members_.core(), opponent = -1;
      double score = std::numeric_limits<double>::quiet_NaN();
      if (pick > 0) {
        score = kInfinity;
        for (const std::int64_t i : left) {
          const double value = value_of(i, score);
          if (value < score) {
            score = value;
            chosen = i;
          }
        }
        if (score == kInfinity) chosen = left.front();  // no other class: the lowest row
        opponent = near_core(chosen, 0);
        if (opponent >= 0) power_[opponent] *= options_.penalty;
      }
      out_rows[pick] = members_.row(chosen);
      out_opponent[pick] = opponent;
      out_scores[pick] = score;
      remove_near(left, chosen, drop);
    }
  }

 private:
  std::int64_t place(std::int64_t i) const { return (classes_.offsets[number_] + i) * options_.n_near; }
  std::int64_t near_core(std::int64_t i, std::int64_t k) const {
    return options_.n_near == 0 ? -1 : options_.near_core[place(i) + k];
  }

  /// The penalised score of candidate i; or anything >= best, when it is certain not to be below.
  double value_of(std::int64_t i, double best) {
    const double intra = intra_[static_cast<std::size_t>(i)];
    double value = kInfinity, last = 0.0;
    for (std::int64_t k = 0; k < options_.n_near; ++k) {
      const std::int64_t core = near_core(i, k);
      if (core < 0) return value;  // there are no more
      last = options_.near_distance[place(i) + k];
      value = std::min(value, boundary(power_[core] * last, last, intra));
    }
    // A farther core scores at least as a core at the last distance without penalty would: the score grows with the
    // distance and with the penalty.
    const double elsewhere = boundary(last, last, intra);
    if (options_.n_near >= classes_.size() - 1 || value <= elsewhere || elsewhere >= best) return value;
    for (std::int64_t core = 0; core < classes_.size(); ++core) {
      if (core == number_) continue;
      const double distance = std::sqrt(rows_.dist2(members_.wide(i), classes_.cores[core], narrow_.data()));
      value = std::min(value, boundary(power_[core] * distance, distance, intra));
    }
    return value;
  }

  /// The `count` candidates nearest to the pick leave; the pick itself is always among them.
  void remove_near(std::vector<std::int64_t>& left, std::int64_t pick, std::int64_t count) {
    std::vector<std::pair<double, std::int64_t>> far;
    for (const std::int64_t i : left) far.emplace_back(i == pick ? -1.0 : members_.distance(pick, i), i);
    count = std::min<std::int64_t>(count, static_cast<std::int64_t>(far.size()));
    std::nth_element(far.begin(), far.begin() + (count - 1), far.end());
    left.clear();
    for (auto one = far.begin() + count; one != far.end(); ++one) left.push_back(one->second);
    std::sort(left.begin(), left.end());
  }

  const MetricRows& rows_;
  const Classes& classes_;
  const BoundaryOptions& options_;
  std::int64_t number_;
  Members members_;
  std::vector<double> intra_;
  std::vector<double> power_;  // penalty^t of each class
  std::vector<float> narrow_;
};

int threads_for(const MetricRows& rows, const Classes& classes) {
  double pairs = 0.0;
  for (std::int64_t i = 0; i < classes.size(); ++i) {
    const auto n = static_cast<double>(classes.offsets[i + 1] - classes.offsets[i]);
    pairs += n * n;
  }
  return worthwhile_threads(pairs * static_cast<double>(rows.n_dims()));
}

/// Largest classes first, so that no thread is left alone with one at the end.
std::vector<std::int64_t> by_size(const Classes& classes) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(classes.size()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return classes.offsets[a + 1] - classes.offsets[a] > classes.offsets[b + 1] - classes.offsets[b];
  });
  return order;
}

}  // namespace

std::vector<std::int64_t> density_order(const MetricRows& rows, const Classes& classes, std::int64_t n_neighbors,
                                        double growth, const StopRequest& stop) {
  std::vector<std::int64_t> result(classes.members.size());
  const std::vector<std::int64_t> order = by_size(classes);
  BadRows bad;
  for_each_lane(classes.size(), threads_for(rows, classes), stop, [&](const Lane& lane) {
    const std::int64_t number = order[static_cast<std::size_t>(lane.index)];
    const Members members(rows, classes, number, bad);
    std::int64_t* out = result.data() + classes.offsets[number];
    for (const std::int64_t i : join(members, n_neighbors, growth)) *out++ = members.row(i);
  });
  bad.throw_if_any<NonFiniteRows>();
  return result;
}

BoundaryPicks boundary_picks(const MetricRows& rows, const Classes& classes, const BoundaryOptions& options) {
  std::vector<std::int64_t> starts(static_cast<std::size_t>(classes.size() + 1), 0);
  for (std::int64_t i = 0; i < classes.size(); ++i) {
    require(options.budget[i] >= 1 && options.budget[i] <= classes.offsets[i + 1] - classes.offsets[i],
            "budget of a class must lie in 1 .. its size.");
    starts[i + 1] = starts[i] + options.budget[i];
  }
  const auto n_picks = static_cast<std::size_t>(starts.back());
  BoundaryPicks picks;
  picks.rows.resize(n_picks);
  picks.opponent.resize(n_picks);
  picks.scores.resize(n_picks);
  const std::vector<std::int64_t> order = by_size(classes);
  BadRows bad;
  for_each_lane(classes.size(), threads_for(rows, classes), options.stop, [&](const Lane& lane) {
    const std::int64_t number = order[static_cast<std::size_t>(lane.index)], start = starts[number];
    Boundary(rows, classes, options, number, bad)
        .run(picks.rows.data() + start, picks.opponent.data() + start, picks.scores.data() + start);
  });
  bad.throw_if_any<NonFiniteRows>();
  return picks;
}

}  // namespace oneglance
