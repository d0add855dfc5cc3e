#include "oneglance/kernel_coverage.h"

#include <algorithm>
#include <queue>

#include "coverage_pool.h"
#include "near_lists.h"
#include "oneglance/check.h"
#include "purse.h"

namespace oneglance {
namespace {

constexpr std::int64_t kNone = -1;
constexpr double kEarly = 0.125;                             // of the work of a pass
constexpr std::int64_t kFewColumns = 16, kManyColumns = 64;  // computed at once: more while a pick stays undecided

/// A candidate with an upper bound on its gain (or gain per cost); larger first, then the lower row.
struct Bound {
  double gain;
  std::int64_t candidate;
  bool operator<(const Bound& other) const {
    return gain < other.gain || (gain == other.gain && candidate > other.candidate);
  }
};

class Greedy {
 public:
  Greedy(const MetricRows& rows, const KernelCoverageRequest& request)
      : request_(request),
        stop_(request.stop),
        pool_(rows, request),
        lists_(pool_.n_candidates(), pool_.n_evaluated()),
        levels_(pool_.lowest_levels()),
        purse_(request.budget) {
    const auto n = static_cast<std::size_t>(pool_.n_candidates());
    free_.assign(n, 1);
    bound_.assign(n, 0.0);
    seen_.assign(n, -1);
    exact_.assign(n, -1);
    std::vector<std::int64_t> before;
    for (const std::int64_t row : request.already) before.push_back(pool_.candidate(row));
    std::vector<float> columns;
    for (std::size_t first = 0; first < before.size(); first += kManyColumns) {
      const std::size_t last = std::min(before.size(), first + kManyColumns);
      const std::vector<std::int64_t> some(before.begin() + static_cast<std::ptrdiff_t>(first),
                                           before.begin() + static_cast<std::ptrdiff_t>(last));
      pool_.columns(some, columns);
      for (std::size_t k = 0; k < some.size(); ++k) {
        free_[static_cast<std::size_t>(some[k])] = 0;
        raise(columns.data() + k * levels_.size(), levels_);
      }
    }
  }

  KernelCoverageResult run() {
    KernelCoverageResult result;
    if (request_.n_picks > 0 && any_free()) {
      look_ahead();
      while (static_cast<std::int64_t>(result.rows.size()) < request_.n_picks) {
        const std::int64_t next = best();
        if (next == kNone) break;
        result.rows.push_back(pool_.row(next));
        result.gains.push_back(bound_[static_cast<std::size_t>(next)] / pool_.total());
        pick(next);
      }
    }
    double covered = 0.0;
    for (std::size_t place = 0; place < levels_.size(); ++place) {
      if (pool_.lowest_levels()[place] == 0.0f) covered += levels_[place];
    }
    result.coverage = covered / pool_.total();
    result.evaluated = pool_.work();
    return result;
  }

 private:
  static void raise(const float* column, std::vector<float>& levels) {
    for (std::size_t place = 0; place < levels.size(); ++place) levels[place] = std::max(levels[place], column[place]);
  }
  bool any_free() const { return std::find(free_.begin(), free_.end(), 1) != free_.end(); }
  double cost(std::int64_t candidate) const {
    return request_.costs.empty() ? 0.0 : request_.costs[static_cast<std::size_t>(pool_.row(candidate))];
  }
  Bound key(std::int64_t candidate) const {
    const double gain = bound_[static_cast<std::size_t>(candidate)];
    return {request_.by_cost ? gain / cost(candidate) : gain, candidate};
  }
  bool can_be_paid(std::int64_t candidate) const { return request_.costs.empty() || purse_.pays(cost(candidate)); }

  void has_bound(std::int64_t candidate, double bound, bool exact) {
    const auto at = static_cast<std::size_t>(candidate);
    bound_[at] = bound;
    seen_[at] = n_picked_;
    if (!exact) return;
    exact_[at] = n_picked_;
    if (can_be_paid(candidate) && (leader_ == kNone || key(leader_) < key(candidate))) leader_ = candidate;
  }

  /// The first pass, with a first pick foretold: the best of those that a sample of the evaluated rows likes.
  void look_ahead() {
    const std::vector<double> sampled = pool_.sampled_gains(levels_);
    std::vector<Bound> order;
    for (std::int64_t c = 0; c < pool_.n_candidates(); ++c) {
      bound_[static_cast<std::size_t>(c)] = sampled[static_cast<std::size_t>(c)];
      if (free_[static_cast<std::size_t>(c)] != 0 && can_be_paid(c)) order.push_back(key(c));
    }
    if (order.empty()) return;
    const std::size_t size = std::min<std::size_t>(order.size(), kManyColumns);
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(size), order.end(),
                      [](const Bound& a, const Bound& b) { return b < a; });
    std::vector<std::int64_t> some;
    for (std::size_t k = 0; k < size; ++k) some.push_back(order[k].candidate);
    take_columns(some);
    pass();
  }

  /// The candidate whose gain is exact and not below any other's bound.
  std::int64_t best() {
    std::int64_t n_columns = kFewColumns;
    while (!heap_.empty()) {
      const std::int64_t top = heap_.top().candidate;
      if (exact_[static_cast<std::size_t>(top)] == n_picked_ && can_be_paid(top)) return top;
      if (refreshed_top()) continue;
      if (leader_ != kNone && pass_is_due()) {
        pass();
        continue;
      }
      std::vector<std::int64_t> some;
      while (!heap_.empty() && static_cast<std::int64_t>(some.size()) < n_columns) {
        const std::int64_t next = heap_.top().candidate;
        if (exact_[static_cast<std::size_t>(next)] == n_picked_) break;
        if (refreshed_top()) continue;
        heap_.pop();
        some.push_back(next);
      }
      take_columns(some);
      for (const std::int64_t candidate : some) heap_.push(key(candidate));
      n_columns = std::min(kManyColumns, 2 * n_columns);
    }
    return kNone;
  }

  /// When as much was spent on columns; much earlier where lists were not complete, and would be now.
  bool pass_is_due() const {
    const double share = lists_lack_ && fits_now_ ? kEarly : 1.0;
    return spent_ >= share * pool_.pass_work() * static_cast<double>(pool_.n_candidates());
  }

  /// Drops the top where it cannot be paid, or brings it up to date by its list; false where neither is the case.
  bool refreshed_top() {
    const std::int64_t top = heap_.top().candidate;
    const auto at = static_cast<std::size_t>(top);
    if (!can_be_paid(top)) {
      heap_.pop();
      return true;
    }
    if (seen_[at] == n_picked_) return false;
    heap_.pop();
    const double bound = lists_.listed(top, levels_.data()) + lists_.rest(top);
    has_bound(top, std::min(bound, bound_[at]), lists_.rest(top) == 0.0);
    heap_.push(key(top));
    return true;
  }

  /// Exact gains and new lists of these, by their columns; the leader's column is kept.
  void take_columns(const std::vector<std::int64_t>& some) {
    pool_.columns(some, columns_);
    spent_ += static_cast<double>(some.size());
    std::vector<double> gains(some.size());
    const double work = static_cast<double>(some.size()) * static_cast<double>(levels_.size());
    for_each_lane(static_cast<std::int64_t>(some.size()), worthwhile_threads(4.0 * work), stop_, [&](const Lane& lane) {
      const float* column = columns_.data() + static_cast<std::size_t>(lane.index) * levels_.size();
      const std::int64_t candidate = some[static_cast<std::size_t>(lane.index)];
      const double gain = gains[static_cast<std::size_t>(lane.index)] = pool_.gain(column, levels_);
      lists_.take_column(candidate, column, gain, levels_.data());
    });
    std::size_t n_complete = 0;
    for (std::size_t k = 0; k < some.size(); ++k) {
      n_complete += lists_.rest(some[k]) == 0.0 ? 1 : 0;
      has_bound(some[k], gains[k], true);
      if (leader_ != some[k]) continue;
      const float* column = columns_.data() + k * levels_.size();
      leader_column_.assign(column, column + levels_.size());
      column_of_ = leader_;
    }
    fits_now_ = 4 * n_complete >= 3 * some.size();
  }

  /// What levels become with this candidate, which has a column, a complete list, or gets its column now.
  void raise_by(std::int64_t candidate, std::vector<float>& levels) {
    if (column_of_ == candidate) {
      raise(leader_column_.data(), levels);
    } else if (lists_.rest(candidate) == 0.0) {
      lists_.raise(candidate, levels.data());
    } else {
      pool_.columns({candidate}, columns_);
      spent_ += 1.0;
      raise(columns_.data(), levels);
    }
  }

  /// Exact gains of all, and what they will be when the leader is picked, with lists for that time.
  void pass() {
    levels_then_ = levels_;
    raise_by(leader_, levels_then_);
    foretold_ = leader_;
    for (std::int64_t c = 0; c < pool_.n_candidates(); ++c) lists_.open(c, free_[static_cast<std::size_t>(c)] == 0);
    std::vector<double> gains;
    pool_.pass(levels_, levels_then_, lists_, gains, gains_then_);
    spent_ = 0.0;
    leader_ = kNone;
    std::int64_t n_free = 0, n_lacking = 0;
    for (std::int64_t c = 0; c < pool_.n_candidates(); ++c) {
      if (free_[static_cast<std::size_t>(c)] == 0) continue;
      ++n_free;
      n_lacking += lists_.rest(c) > 0.0 ? 1 : 0;
      has_bound(c, gains[static_cast<std::size_t>(c)], true);
    }
    lists_lack_ = 4 * n_lacking > n_free;
    rebuild();
  }

  void pick(std::int64_t chosen) {
    const bool was_foretold = foretold_ == chosen, waited = foretold_ != kNone;
    if (was_foretold) {
      levels_.swap(levels_then_);
    } else {
      if (waited) {  // lists for a time that does not come
        for (std::int64_t c = 0; c < pool_.n_candidates(); ++c) lists_.forget(c, bound_[static_cast<std::size_t>(c)]);
      }
      raise_by(chosen, levels_);
    }
    free_[static_cast<std::size_t>(chosen)] = 0;
    if (!request_.costs.empty()) purse_.spend(cost(chosen));
    foretold_ = leader_ = column_of_ = kNone;
    ++n_picked_;
    if (was_foretold) {
      for (std::int64_t c = 0; c < pool_.n_candidates(); ++c) {
        if (free_[static_cast<std::size_t>(c)] != 0) has_bound(c, gains_then_[static_cast<std::size_t>(c)], true);
      }
      rebuild();
    } else {
      heap_.pop();
    }
  }

  void rebuild() {
    std::vector<Bound> all;
    for (std::int64_t c = 0; c < pool_.n_candidates(); ++c) {
      if (free_[static_cast<std::size_t>(c)] != 0 && can_be_paid(c)) all.push_back(key(c));
    }
    heap_ = std::priority_queue<Bound>(std::less<Bound>(), std::move(all));
  }

  const KernelCoverageRequest& request_;
  StopRequest stop_;
  CoveragePool pool_;
  NearLists lists_;
  std::vector<float> levels_;  // largest weighted kernel to a chosen row
  Purse purse_;
  std::vector<std::uint8_t> free_;
  std::vector<double> bound_;
  std::vector<std::int64_t> seen_, exact_;  // picks there were when the bound was computed, when it was a gain
  std::int64_t n_picked_ = 0;
  std::priority_queue<Bound> heap_;  // every free candidate once
  double spent_ = 0.0;               // columns since the last pass
  bool lists_lack_ = false;          // more than a quarter of the last pass's lists were not complete
  bool fits_now_ = false;            // three quarters of the last columns' lists were
  std::vector<float> columns_;
  // Best of the exact gains since the last pick, and the column that is kept of it (or of one before it).
  std::int64_t leader_ = kNone, column_of_ = kNone;
  std::vector<float> leader_column_;
  // Between a pass and the next pick, lists are for the time when this candidate was picked.
  std::int64_t foretold_ = kNone;
  std::vector<float> levels_then_;
  std::vector<double> gains_then_;
};

}  // namespace

KernelCoverageResult kernel_coverage(const MetricRows& rows, const KernelCoverageRequest& request) {
  rows.require_finite(request.stop);
  KernelCoverageResult result = Greedy(rows, request).run();
  require(!request.costs.empty() || static_cast<std::int64_t>(result.rows.size()) == request.n_picks,
          "n_picks exceeds the number of rows that may be picked.");
  return result;
}

}  // namespace oneglance
