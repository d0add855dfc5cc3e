#include <algorithm>
#include <numeric>
#include <queue>

#include "cover_state.h"
#include "oneglance/check.h"

namespace oneglance {
namespace {

/// A row with an upper bound on its distance; larger first, then the lower row.
struct Bound {
  double dist2;
  std::int64_t row;
  bool operator<(const Bound& other) const { return dist2 < other.dist2 || (dist2 == other.dist2 && row > other.row); }
};

class Farthest {
 public:
  Farthest(CoverState& state, std::int64_t n_picks, CoverResult& result)
      : state_(state), n_picks_(n_picks), result_(result), candidates_(state.open_rows()) {}

  bool done() const { return static_cast<std::int64_t>(result_.items.size()) >= n_picks_; }

  /// One round: the rows with the largest bounds are brought up to date, and greedy goes on among them while
  /// its best beats all bounds outside. With `peek` it stops at the first pick and only tells its distance.
  /// False when no open row is left.
  bool round(bool peek) {
    drop_chosen();
    if (candidates_.empty()) return false;
    const Bound outside = gather_pool();
    state_.refresh(pool_);
    std::vector<Bound> bounds;
    for (const std::int64_t row : pool_) bounds.push_back({state_.dist2[row], row});
    std::priority_queue<Bound> heap(std::less<Bound>(), std::move(bounds));
    // In-pool updates cost a float64 distance per new centre and row looked at: past this many, a product is cheaper.
    auto allowance = 64 * static_cast<std::int64_t>(pool_.size());
    while (!done() && !heap.empty()) {
      const Bound top = heap.top();
      if (top < outside) break;
      heap.pop();
      if (!state_.is_open(state_.item_of(top.row))) continue;
      if (state_.seen[top.row] < state_.n_centers()) {
        allowance -= state_.n_centers() - state_.seen[top.row];
        if (allowance < 0) break;
        state_.refresh_one(top.row);
        heap.push({state_.dist2[top.row], top.row});
        continue;
      }
      if (peek) {
        result_.radius = state_.unit_distance(top.dist2);
        peeked_ = true;
        break;
      }
      state_.pick(state_.item_of(top.row), top.row, result_);
    }
    return true;
  }
  bool peeked() const { return peeked_; }

 private:
  void drop_chosen() {
    candidates_.erase(std::remove_if(candidates_.begin(), candidates_.end(),
                                     [this](std::int64_t row) { return !state_.is_open(state_.item_of(row)); }),
                      candidates_.end());
  }

  /// Moves the rows with the largest bounds to the pool and returns the largest bound that is left out.
  Bound gather_pool() {
    const auto n = static_cast<std::int64_t>(candidates_.size());
    const std::int64_t size = std::min(n, std::max<std::int64_t>(1024, n / 16));
    const auto before = [this](std::int64_t a, std::int64_t b) {
      return Bound{state_.dist2[b], b} < Bound{state_.dist2[a], a};
    };
    Bound outside{-1.0, -1};
    if (size < n) {
      std::nth_element(candidates_.begin(), candidates_.begin() + size, candidates_.end(), before);
      outside = {state_.dist2[candidates_[size]], candidates_[size]};
    }
    pool_.assign(candidates_.begin(), candidates_.begin() + size);
    std::sort(pool_.begin(), pool_.end());
    return outside;
  }

  CoverState& state_;
  std::int64_t n_picks_;
  CoverResult& result_;
  std::vector<std::int64_t> candidates_, pool_;
  bool peeked_ = false;
};

}  // namespace

CoverResult farthest_points(const MetricRows& rows, const CoverRequest& request) {
  CoverState state(rows, request);
  CoverResult result;
  for (const std::int64_t item : request.already) state.choose(item);
  for (const std::int64_t item : request.start) state.pick(item, -1, result);
  Farthest greedy(state, request.n_picks, result);
  if (state.n_centers() == 0 && !greedy.done()) {
    std::int64_t first = 0;
    while (first < state.n_items() && !(state.is_open(first) && state.has_rows(first))) ++first;
    if (first < state.n_items()) state.pick(first, -1, result);
  }
  while (!greedy.done() && state.n_centers() > 0 && greedy.round(false)) {
  }
  for (std::int64_t item = 0; item < state.n_items() && !greedy.done(); ++item) {
    if (state.is_open(item)) state.pick(item, -1, result);
  }
  require(greedy.done(), "n_picks exceeds the number of items that may be picked.");
  if (!request.assign && state.n_centers() > 0) {
    Farthest next(state, request.n_picks + 1, result);
    while (!next.peeked() && next.round(true)) {
    }
  }
  state.finish(request, result);
  return result;
}

}  // namespace oneglance
