#include "oneglance/nearest.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "oneglance/check.h"
#include "propose.h"

namespace oneglance {
namespace {

constexpr std::int64_t kPanel = NearestSearch::kPanelRows;
constexpr std::int64_t kTile = NearestSearch::kTileCenters;

/// One question and its answer so far; `dist2` is halved for cosine at the end.
struct Task {
  const Frame& frame;
  const MetricRows& queries;
  const MetricRows& data;
  std::int64_t n_nearest;
  bool skip_self;
  const StopRequest& stop;
  int n_threads;
  std::int64_t* indices;
  double* distances;

  std::int64_t n_panels() const { return (queries.n_rows() + kPanel - 1) / kPanel; }

  /// Each thread slot's own search, made when first needed.
  using Slots = std::vector<std::unique_ptr<NearestSearch>>;
  Slots slots() const { return Slots(static_cast<std::size_t>(n_threads)); }
  NearestSearch& search(Slots& all, int slot) const {
    auto& mine = all[static_cast<std::size_t>(slot)];
    if (!mine) mine = std::make_unique<NearestSearch>(frame, queries, data, n_nearest, skip_self);
    return *mine;
  }

  /// Opens the queries of a panel that are used; returns which.
  std::vector<std::int64_t> open_panel(std::int64_t panel, NearestSearch& search, BadRows& bad) const {
    std::vector<std::int64_t> rows;
    for (std::int64_t row = panel * kPanel; row < std::min((panel + 1) * kPanel, queries.n_rows()); ++row) {
      if (queries.used(row)) rows.push_back(row);
    }
    search.open(rows.data(), static_cast<std::int64_t>(rows.size()), bad);
    return rows;
  }
  void restore(const std::vector<std::int64_t>& rows, NearestSearch& search) const {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(distances + rows[i] * n_nearest, n_nearest, search.dist2(static_cast<std::int64_t>(i)));
      std::copy_n(indices + rows[i] * n_nearest, n_nearest, search.nearest(static_cast<std::int64_t>(i)));
    }
    search.start();
  }
  void keep(const std::vector<std::int64_t>& rows, NearestSearch& search) const {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(search.dist2(static_cast<std::int64_t>(i)), n_nearest, distances + rows[i] * n_nearest);
      std::copy_n(search.nearest(static_cast<std::int64_t>(i)), n_nearest, indices + rows[i] * n_nearest);
    }
  }
};

/// Many queries: pieces of the data in turn, the panels of the queries among the threads.
void by_queries(const Task& task, const std::vector<std::int64_t>& rows, BadRows& bad, BadRows& bad_queries) {
  constexpr std::int64_t kPieceBytes = 32 << 20;
  const std::int64_t n_dims = task.data.n_dims();
  const std::int64_t piece =
      std::max<std::int64_t>(1, kPieceBytes / static_cast<std::int64_t>(sizeof(float)) / n_dims / kTile) * kTile;
  const auto n_data = static_cast<std::int64_t>(rows.size());
  Task::Slots slots = task.slots();
  Centers centers(n_dims);
  BadRows counted_already;
  for (std::int64_t first = 0; first < n_data; first += piece) {
    const std::int64_t size = std::min(piece, n_data - first);
    centers.resize(size);
    for_each_lane((size + kTile - 1) / kTile, task.n_threads, task.stop, [&](const Lane& lane) {
      const std::int64_t start = lane.index * kTile;
      centers.fill(task.data, task.frame, rows.data() + first + start, std::min(kTile, size - start), start, bad);
    });
    for_each_lane(task.n_panels(), task.n_threads, task.stop, [&](const Lane& lane) {
      NearestSearch& search = task.search(slots, lane.slot);
      const std::vector<std::int64_t> mine =
          task.open_panel(lane.index, search, first == 0 ? bad_queries : counted_already);
      if (mine.empty()) return;
      if (first > 0) task.restore(mine, search);
      for (std::int64_t tile = 0; tile < size && lane.keep_going(); tile += kTile) {
        search.scan(centers, tile, std::min(tile + kTile, size));
      }
      search.finish();
      task.keep(mine, search);
    });
  }
}

/// Few queries: tiles of the data among the threads; each thread's finds are put together at the end.
void by_data(const Task& task, const std::vector<std::int64_t>& rows, BadRows& bad, BadRows& bad_queries) {
  const auto n_data = static_cast<std::int64_t>(rows.size());
  for (std::int64_t panel = 0; panel < task.n_panels(); ++panel) {
    Task::Slots slots = task.slots();
    std::vector<Centers> centers(slots.size(), Centers(task.data.n_dims()));
    const std::vector<std::int64_t> mine = task.open_panel(panel, task.search(slots, 0), bad_queries);
    if (mine.empty()) continue;
    for_each_lane((n_data + kTile - 1) / kTile, task.n_threads, task.stop, [&](const Lane& lane) {
      const auto slot = static_cast<std::size_t>(lane.slot);
      if (!slots[slot]) {
        BadRows counted_already;
        task.open_panel(panel, task.search(slots, lane.slot), counted_already);
      }
      const std::int64_t first = lane.index * kTile, size = std::min(kTile, n_data - first);
      centers[slot].resize(size);
      centers[slot].fill(task.data, task.frame, rows.data() + first, size, 0, bad);
      slots[slot]->scan(centers[slot], 0, size);
    });
    for (const auto& slot : slots) {
      if (!slot) continue;
      slot->finish();
      if (slot != slots.front()) slots.front()->merge(*slot);
    }
    task.keep(mine, *slots.front());
  }
}

}  // namespace

void nearest(const MetricRows& queries, const MetricRows& data, std::int64_t n_nearest, bool skip_self,
             const StopRequest& stop, std::int64_t* indices, double* distances) {
  require(queries.n_dims() == data.n_dims(), "queries and rows need the same number of columns.");
  std::vector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(data.n_rows()));
  for (std::int64_t row = 0; row < data.n_rows(); ++row) {
    if (data.used(row)) rows.push_back(row);
  }
  std::fill_n(indices, queries.n_rows() * n_nearest, -1);
  std::fill_n(distances, queries.n_rows() * n_nearest, std::numeric_limits<double>::infinity());
  const Frame frame(data);
  const double work =
      static_cast<double>(queries.n_rows()) * static_cast<double>(rows.size()) * static_cast<double>(data.n_dims());
  const Task task{frame, queries, data, n_nearest, skip_self, stop, worthwhile_threads(work), indices, distances};
  BadRows bad, bad_queries;
  constexpr std::int64_t kFewPanels = 8;
  if (task.n_panels() < kFewPanels) {
    by_data(task, rows, bad, bad_queries);
  } else {
    by_queries(task, rows, bad, bad_queries);
  }
  bad.throw_if_any<NonFiniteRows>();
  bad_queries.throw_if_any<NonFiniteQueries>();
  for (std::int64_t i = 0; i < queries.n_rows() * n_nearest; ++i) {
    if (indices[i] >= 0) require_finite_dist2(distances[i]);
  }
  if (data.metric() == Metric::cosine) {
    for (std::int64_t i = 0; i < queries.n_rows() * n_nearest; ++i) distances[i] *= 0.5;
  }
}

}  // namespace oneglance
