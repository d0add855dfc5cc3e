#include "oneglance/bilaf.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "bad_rows.h"
#include "class_members.h"
#include "oneglance/check.h"

namespace oneglance {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kDistanceBytes = 512 << 20;  // pairs of classes kept by all threads together

using KeepGoing = std::function<bool()>;

/// Members in the order in which they join. Not finished when keep_going() is false.
std::vector<std::int64_t> join(const ClassMembers& members, std::int64_t n_neighbors, double growth,
                               const KeepGoing& keep_going) {
  const std::int64_t n = members.size(), k = std::min(n_neighbors, n);
  const auto step = std::max<std::int64_t>(1, static_cast<std::int64_t>(growth * static_cast<double>(n)));
  std::vector<std::int64_t> order{members.core()}, waiting;
  for (std::int64_t i = 0; i < n; ++i) {
    if (i != members.core()) waiting.push_back(i);
  }
  // The nearest few included members of each, ascending; the class only grows, so new ones are merged in.
  std::vector<double> nearest(static_cast<std::size_t>(n * k), kInfinity);
  std::vector<double> density(static_cast<std::size_t>(n)), far(static_cast<std::size_t>(ClassMembers::kTile * n));
  std::int64_t n_measured = 0;
  while (!waiting.empty() && keep_going()) {
    const auto n_waiting = static_cast<std::int64_t>(waiting.size()),
               n_inside = static_cast<std::int64_t>(order.size());
    while (n_measured < n_inside) {
      const std::int64_t n_new = std::min(ClassMembers::kTile, n_inside - n_measured);
      members.measure(order.data() + n_measured, n_new, waiting.data(), n_waiting, far.data());
      n_measured += n_new;
      for (std::int64_t i = 0; i < n_waiting; ++i) {
        double* mine = nearest.data() + waiting[i] * k;
        for (std::int64_t j = 0; j < n_new; ++j) {
          const double distance = far[j * n_waiting + i];
          if (!(distance < mine[k - 1])) continue;
          std::int64_t place = k - 1;
          for (; place > 0 && mine[place - 1] > distance; --place) mine[place] = mine[place - 1];
          mine[place] = distance;
        }
      }
    }
    const std::int64_t n_near = std::min(k, n_inside);
    for (const std::int64_t i : waiting) {  // ascending: one order of adding up, so that equal rows have equal means
      const double* mine = nearest.data() + i * k;
      density[i] = std::accumulate(mine, mine + n_near, 0.0) / static_cast<double>(n_near);
    }
    const std::int64_t count = std::min(step, n_waiting);
    std::partial_sort(waiting.begin(), waiting.begin() + count, waiting.end(), [&](std::int64_t a, std::int64_t b) {
      return density[a] < density[b] || (density[a] == density[b] && a < b);
    });
    order.insert(order.end(), waiting.begin(), waiting.begin() + count);
    waiting.erase(waiting.begin(), waiting.begin() + count);
  }
  return order;
}

/// Mean distance of each member to those of `kept` (ascending, added up in this order), itself with 0 among them.
std::vector<double> mean_distances(const ClassMembers& members, const std::vector<std::int64_t>& kept,
                                   const KeepGoing& keep_going) {
  const auto n = static_cast<std::int64_t>(kept.size());
  std::vector<double> sum(static_cast<std::size_t>(n), 0.0);
  std::vector<double> far(static_cast<std::size_t>(ClassMembers::kTile * n));
  for (std::int64_t first = 0; first < n && keep_going(); first += ClassMembers::kTile) {
    const std::int64_t n_from = std::min(ClassMembers::kTile, n - first), n_to = n - first;
    members.measure(kept.data() + first, n_from, kept.data() + first, n_to, far.data());
    for (std::int64_t i = 0; i < n_from; ++i) {
      const double* distance = far.data() + i * n_to;
      for (std::int64_t j = i + 1; j < n_to; ++j) {
        sum[first + j] += distance[j];
        sum[first + i] += distance[j];
      }
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
        intra_(options.mean_distance.data() + classes.offsets[number]),
        least_(static_cast<std::size_t>(members_.size()), -kInfinity),
        power_(static_cast<std::size_t>(classes.size()), 1.0),
        narrow_(static_cast<std::size_t>(rows.n_dims())) {}

  /// Not finished when keep_going() is false.
  void run(std::int64_t* out_rows, std::int64_t* out_opponent, double* out_scores, const KeepGoing& keep_going) {
    const std::int64_t budget = options_.budget[number_], drop = members_.size() / budget;
    std::vector<std::int64_t> left(static_cast<std::size_t>(members_.size()));
    std::iota(left.begin(), left.end(), 0);
    for (std::int64_t pick = 0; pick < budget && keep_going(); ++pick) {
      std::int64_t chosen = members_.core(), opponent = -1;
      double score = std::numeric_limits<double>::quiet_NaN();
      if (pick > 0) {
        score = kInfinity;
        for (const std::int64_t i : left) {
          if (least_[i] >= score) continue;
          least_[i] = value_of(i, score);
          if (least_[i] < score) {
            score = least_[i];
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

  /// The penalised score of candidate i; or, when that is certain not to be below `best`, something between.
  double value_of(std::int64_t i, double best) {
    const double intra = intra_[i];
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
    if (options_.n_near >= classes_.size() - 1 || value <= elsewhere) return value;
    if (elsewhere >= best) return elsewhere;
    for (std::int64_t core = 0; core < classes_.size(); ++core) {
      if (core == number_) continue;
      const double distance = std::sqrt(rows_.dist2(members_.wide(i), classes_.cores[core], narrow_.data()));
      value = std::min(value, boundary(power_[core] * distance, distance, intra));
    }
    return value;
  }

  /// The `count` candidates nearest to the pick leave; the pick itself is always among them.
  void remove_near(std::vector<std::int64_t>& left, std::int64_t pick, std::int64_t count) {
    const auto n = static_cast<std::int64_t>(left.size());
    distance_.resize(left.size());
    members_.measure(&pick, 1, left.data(), n, distance_.data());
    std::vector<std::pair<double, std::int64_t>> far;
    for (std::int64_t i = 0; i < n; ++i) far.emplace_back(left[i] == pick ? -1.0 : distance_[i], left[i]);
    count = std::min(count, n);
    std::nth_element(far.begin(), far.begin() + (count - 1), far.end());
    left.clear();
    for (auto one = far.begin() + count; one != far.end(); ++one) left.push_back(one->second);
    std::sort(left.begin(), left.end());
  }

  const MetricRows& rows_;
  const Classes& classes_;
  const BoundaryOptions& options_;
  std::int64_t number_;
  ClassMembers members_;
  const double* intra_;        // mean distance of each member to all
  std::vector<double> least_;  // a lower bound on each score: penalties only grow, so that scores do
  std::vector<double> power_;  // penalty^t of each class
  std::vector<double> distance_;
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

Denoised denoise(const MetricRows& rows, const Classes& classes, const DenoiseOptions& options) {
  Denoised result;
  result.order.resize(classes.members.size());
  result.mean_distance.assign(classes.members.size(), std::numeric_limits<double>::quiet_NaN());
  const std::vector<std::int64_t> order = by_size(classes);
  const int n_threads = threads_for(rows, classes);
  BadRows bad;
  for_each_lane(classes.size(), n_threads, options.stop, [&](const Lane& lane) {
    const std::int64_t number = order[static_cast<std::size_t>(lane.index)], start = classes.offsets[number];
    ClassMembers members(rows, classes, number, bad);
    members.keep_distances(kDistanceBytes / n_threads);
    const std::vector<std::int64_t> joined = join(members, options.n_neighbors, options.growth, lane.keep_going);
    for (std::size_t i = 0; i < joined.size(); ++i) result.order[start + i] = members.row(joined[i]);
    const auto n_removed = static_cast<std::int64_t>(options.removal * static_cast<double>(members.size()));
    std::vector<std::int64_t> kept(joined.begin(), joined.end() - std::min<std::int64_t>(n_removed, joined.size()));
    std::sort(kept.begin(), kept.end());
    const std::vector<double> means = mean_distances(members, kept, lane.keep_going);
    for (std::size_t i = 0; i < kept.size(); ++i) result.mean_distance[start + kept[i]] = means[i];
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
        .run(picks.rows.data() + start, picks.opponent.data() + start, picks.scores.data() + start, lane.keep_going);
  });
  bad.throw_if_any<NonFiniteRows>();
  return picks;
}

}  // namespace oneglance
