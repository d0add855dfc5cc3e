#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "cover_state.h"
#include "oneglance/check.h"
#include "oneglance/philox.h"

namespace oneglance {
namespace {

constexpr std::uint32_t kPurpose = 6;  // Purpose::COVER of python/oneglance/_rng.py
enum Draw : std::uint32_t { kPropose = 0, kAccept = 1, kUniform = 2 };

class Drawing {
 public:
  Drawing(CoverState& state, const CoverRequest& request, double gamma, std::uint64_t seed, CoverResult& result)
      : state_(state), request_(request), gamma_(gamma), seed_(seed), result_(result) {}

  std::int64_t left() const { return request_.n_picks - static_cast<std::int64_t>(result_.items.size()); }
  bool done() const { return left() <= 0; }

  /// Open items in the order of their own random numbers, each with equal probability, those with rows first, until
  /// there are `n` more picks or nothing is open.
  void pick_uniformly(std::int64_t n) {
    using Key = std::tuple<bool, double, std::int64_t>;
    std::vector<Key> order;
    for (std::int64_t item = 0; item < state_.n_items(); ++item) {
      if (!state_.is_open(item)) continue;
      const double number = philox_uniform(seed_, kPurpose, kUniform, static_cast<std::uint64_t>(item));
      order.emplace_back(!state_.has_rows(item), number, item);
    }
    n = std::min(n, static_cast<std::int64_t>(order.size()));
    std::partial_sort(order.begin(), order.begin() + n, order.end());
    for (std::int64_t k = 0; k < n; ++k) state_.pick(std::get<2>(order[static_cast<std::size_t>(k)]), -1, result_);
  }

  /// All rows up to date for the first time. Distances only shrink: relative to the largest of now, no weight can
  /// overflow, and one vanishes only beside far larger ones.
  void begin() {
    state_.refresh_all();
    for (const std::int64_t row : state_.open_rows()) largest_ = std::max(largest_, state_.dist2[row]);
    require_finite_dist2(largest_);
    if (largest_ == 0.0) largest_ = 1.0;
  }

  /// Proposes from the weights as they stand, brings the proposed rows up to date together, and accepts each with
  /// probability new weight / old weight. False when every weight is 0.
  bool round() {
    if (wasted_ > cost_of_refresh()) {
      state_.refresh_all();
      wasted_ = 0.0;
    }
    if (!propose()) return false;
    state_.refresh(distinct());
    const double n_now = static_cast<double>(state_.n_centers());
    for (const Proposal& proposal : proposals_) {
      if (done()) break;
      const std::int64_t item = state_.item_of(proposal.row);
      bool accepted = false;
      if (state_.is_open(item)) {
        state_.refresh_one(proposal.row);
        accepted = proposal.uniform * proposal.weight < weight(proposal.row);
      }
      if (accepted) {
        state_.pick(item, proposal.row, result_);
      } else {
        wasted_ += n_now - proposal.seen + kProposalCost;
      }
    }
    return true;
  }

 private:
  struct Proposal {
    std::int64_t row;
    double weight;   // when proposed
    double uniform;  // accepts
    double seen;     // centres the row knew when proposed
  };
  // A proposal costs about as much as this many products of a row with a centre, besides those it needs.
  static constexpr double kProposalCost = 100.0;

  double weight(std::int64_t row) const {
    const double squared = state_.dist2[row] / largest_;
    if (gamma_ == 1.0) return squared;
    if (gamma_ == 2.0) return squared * squared;
    return squared == 0.0 ? 0.0 : std::pow(squared, gamma_);
  }

  double cost_of_refresh() const {
    double cost = 0.0;
    for (std::size_t k = 0; k < rows_.size(); ++k) {
      cost += static_cast<double>(state_.n_centers() - state_.seen[rows_[k]]);
    }
    return cost;
  }

  bool propose() {
    rows_ = state_.open_rows();
    cumulative_.resize(rows_.size());
    double total = 0.0;
    for (std::size_t k = 0; k < rows_.size(); ++k) {
      total += weight(rows_[k]);
      cumulative_[k] = total;
    }
    proposals_.clear();
    if (!(total > 0.0)) return false;
    // As many as the picks so far: then the weights are old by at most a doubling.
    const auto n = std::clamp<std::int64_t>(static_cast<std::int64_t>(result_.items.size()), 16, 512);
    for (std::int64_t k = 0; k < n; ++k) {
      const std::uint64_t number = n_proposed_++;
      const double target = total * philox_uniform(seed_, kPurpose, kPropose, number);
      auto place = static_cast<std::size_t>(std::upper_bound(cumulative_.begin(), cumulative_.end(), target) -
                                            cumulative_.begin());
      while (place == rows_.size() || weight(rows_[place]) == 0.0) --place;  // rounding at the very end
      const std::int64_t row = rows_[place];
      proposals_.push_back(
          {row, weight(row), philox_uniform(seed_, kPurpose, kAccept, number), static_cast<double>(state_.seen[row])});
    }
    return true;
  }

  std::vector<std::int64_t> distinct() const {
    std::vector<std::int64_t> rows;
    for (const Proposal& proposal : proposals_) rows.push_back(proposal.row);
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    return rows;
  }

  CoverState& state_;
  const CoverRequest& request_;
  double gamma_;
  std::uint64_t seed_;
  CoverResult& result_;
  std::vector<std::int64_t> rows_;
  std::vector<double> cumulative_;
  std::vector<Proposal> proposals_;
  std::uint64_t n_proposed_ = 0;
  double largest_ = 0.0;
  double wasted_ = 0.0;
};

}  // namespace

CoverResult weighted_draw(const MetricRows& rows, const CoverRequest& request, double gamma, std::uint64_t seed) {
  CoverState state(rows, request);
  CoverResult result;
  for (const std::int64_t item : request.already) state.choose(item);
  for (const std::int64_t item : request.start) state.pick(item, -1, result);
  Drawing drawing(state, request, gamma, seed, result);
  if (state.n_centers() == 0 && !drawing.done()) drawing.pick_uniformly(1);
  if (!drawing.done() && state.n_centers() > 0) {
    drawing.begin();
    while (!drawing.done() && drawing.round()) {
    }
  }
  drawing.pick_uniformly(drawing.left());
  require(drawing.done(), "n_picks exceeds the number of items that may be picked.");
  if (!request.assign) result.radius = std::numeric_limits<double>::quiet_NaN();
  state.finish(request, result);
  return result;
}

}  // namespace oneglance
