#include "cover_state.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "oneglance/check.h"

namespace oneglance {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

CoverState::CoverState(const MetricRows& rows, const CoverRequest& request)
    : rows_(rows),
      frame_(rows),
      offsets_(request.offsets.empty() ? nullptr : &request.offsets),
      n_items_(offsets_ == nullptr ? rows.n_rows() : static_cast<std::int64_t>(offsets_->size()) - 1),
      stop_(request.stop),
      open_(static_cast<std::size_t>(n_items_), 1),
      centers_(rows.n_dims()),
      wide_(static_cast<std::size_t>(rows.n_dims())),
      narrow_(static_cast<std::size_t>(rows.n_dims())) {
  if (request.mask != nullptr) std::copy_n(request.mask, n_items_, open_.begin());
  const auto n = static_cast<std::size_t>(rows.n_rows());
  dist2.assign(n, kInfinity);
  nearest.assign(n, -1);
  seen.assign(n, 0);
}

std::int64_t CoverState::item_of(std::int64_t row) const {
  if (offsets_ == nullptr) return row;
  return std::upper_bound(offsets_->begin(), offsets_->end(), row) - offsets_->begin() - 1;
}

std::vector<std::int64_t> CoverState::open_rows() const {
  std::vector<std::int64_t> rows;
  for (std::int64_t item = 0; item < n_items_; ++item) {
    if (!is_open(item)) continue;
    for (std::int64_t row = first_row(item); row < last_row(item); ++row) rows.push_back(row);
  }
  return rows;
}

void CoverState::choose(std::int64_t item) {
  open_[item] = 0;
  const std::int64_t first = first_row(item), n = last_row(item) - first;
  const std::int64_t place = centers_.size();
  std::vector<std::int64_t> rows;
  for (std::int64_t k = 0; k < n; ++k) {
    rows.push_back(first + k);
    dist2[first + k] = 0.0;
  }
  centers_.resize(place + n);
  BadRows bad;
  centers_.fill(rows_, frame_, rows.data(), n, place, bad);
  bad.throw_if_any<NonFiniteRows>();
}

void CoverState::refresh(const std::vector<std::int64_t>& rows) {
  std::vector<std::int64_t> stale;
  for (const std::int64_t row : rows) {
    if (seen[row] < n_centers()) stale.push_back(row);
  }
  // Rows that know equally much together, so that a panel compares with little it knows.
  std::stable_sort(stale.begin(), stale.end(), [this](std::int64_t a, std::int64_t b) { return seen[a] < seen[b]; });
  const auto n_stale = static_cast<std::int64_t>(stale.size());
  double work = 0.0;
  for (const std::int64_t row : stale) work += static_cast<double>(n_centers() - seen[row]);
  rows_read += static_cast<double>(n_stale);
  const int n_threads = worthwhile_threads(work * static_cast<double>(rows_.n_dims()));
  // Every thread has a few panels; larger ones are cheaper, as each packs the centres anew. No answer depends on it.
  const std::int64_t panel = std::clamp<std::int64_t>(n_stale / (2 * n_threads), 64, NearestSearch::kPanelRows);
  slots_.resize(std::max(slots_.size(), static_cast<std::size_t>(n_threads)));
  BadRows bad;
  for_each_lane((n_stale + panel - 1) / panel, n_threads, stop_, [&](const Lane& lane) {
    auto& search = slots_[static_cast<std::size_t>(lane.slot)];
    if (!search) search = std::make_unique<NearestSearch>(frame_, rows_, rows_, 1, false);
    const std::int64_t* mine = stale.data() + lane.index * panel;
    const std::int64_t n = std::min(panel, n_stale - lane.index * panel);
    search->open(mine, n, bad);
    for (std::int64_t i = 0; i < n; ++i) {
      *search->dist2(i) = dist2[mine[i]];
      *search->nearest(i) = nearest[mine[i]];
    }
    search->start();
    const std::int64_t tile = NearestSearch::kTileCenters;
    for (std::int64_t first = seen[mine[0]]; first < n_centers(); first += tile) {
      if (!lane.keep_going()) return;
      search->scan(centers_, first, std::min(first + tile, n_centers()));
    }
    search->finish();
    for (std::int64_t i = 0; i < n; ++i) {
      dist2[mine[i]] = *search->dist2(i);
      nearest[mine[i]] = *search->nearest(i);
      seen[mine[i]] = n_centers();
    }
  });
  bad.throw_if_any<NonFiniteRows>();
}

void CoverState::refresh_one(std::int64_t row) {
  if (seen[row] == n_centers()) return;
  rows_.widen(row, wide_.data());
  for (std::int64_t c = seen[row]; c < n_centers(); ++c) {
    const double d2 = rows_.dist2(wide_.data(), centers_.rows[c], narrow_.data());
    if (d2 < dist2[row] || (d2 == dist2[row] && centers_.rows[c] < nearest[row])) {
      dist2[row] = d2;
      nearest[row] = centers_.rows[c];
    }
  }
  seen[row] = n_centers();
}

void CoverState::pick(std::int64_t item, std::int64_t row, CoverResult& result) {
  result.items.push_back(item);
  result.rows.push_back(row);
  const bool known = row >= 0 && nearest[row] >= 0;
  if (known) require_finite_dist2(dist2[row]);
  result.distances.push_back(known ? unit_distance(dist2[row]) : kInfinity);
  result.nearest.push_back(known ? item_of(nearest[row]) : -1);
  choose(item);
}

void CoverState::finish(const CoverRequest& request, CoverResult& result) {
  if (request.assign) {
    const auto n = static_cast<std::size_t>(rows_.n_rows());
    refresh_all();
    result.row_distance.assign(n, std::numeric_limits<double>::quiet_NaN());
    result.row_nearest.assign(n, -1);
    for (const std::int64_t row : open_rows()) {
      result.row_distance[row] = unit_distance(dist2[row]);
      result.row_nearest[row] = nearest[row];
      result.radius = std::max(result.radius, result.row_distance[row]);
    }
    // A chosen row lies at distance 0 from itself, and from equal rows before it.
    for (std::int64_t c = 0; c < n_centers(); ++c) {
      const std::int64_t row = centers_.rows[c];
      result.row_distance[row] = 0.0;
      result.row_nearest[row] = row;
    }
  }
  result.readings = rows_read / static_cast<double>(std::max<std::int64_t>(1, rows_.n_rows()));
}

}  // namespace oneglance
