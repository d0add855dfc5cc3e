#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "oneglance/cover.h"
#include "propose.h"

namespace oneglance {

/// Distances of rows to the chosen rows, each brought up to date when asked for. `dist2[row]` is exact for the
/// first `seen[row]` centres and an upper bound for all.
class CoverState {
 public:
  CoverState(const MetricRows& rows, const CoverRequest& request);

  std::int64_t n_items() const { return n_items_; }
  std::int64_t first_row(std::int64_t item) const { return offsets_ == nullptr ? item : (*offsets_)[item]; }
  std::int64_t last_row(std::int64_t item) const { return offsets_ == nullptr ? item + 1 : (*offsets_)[item + 1]; }
  bool has_rows(std::int64_t item) const { return last_row(item) > first_row(item); }
  std::int64_t item_of(std::int64_t row) const;
  bool is_open(std::int64_t item) const { return open_[item] != 0; }
  std::int64_t n_centers() const { return centers_.size(); }

  /// The item's rows become centres; its own distances become 0 and it is not open any more.
  void choose(std::int64_t item);
  /// Brings these rows up to date with all centres, by products. Rows of open items only.
  void refresh(const std::vector<std::int64_t>& rows);
  /// Brings one row up to date in float64; for few new centres.
  void refresh_one(std::int64_t row);
  void refresh_all() { refresh(open_rows()); }
  /// Rows of open items, ascending.
  std::vector<std::int64_t> open_rows() const;

  std::vector<double> dist2;          // +inf while there is no centre
  std::vector<std::int64_t> nearest;  // the centre row it belongs to, -1
  std::vector<std::int64_t> seen;     // centres it accounts for
  double rows_read = 0.0;

  /// Records a pick: chooses the item and notes why.
  void pick(std::int64_t item, std::int64_t row, CoverResult& result);
  /// Distance in the metric's unit.
  double unit_distance(double squared) const { return rows_.metric() == Metric::cosine ? 0.5 * squared : squared; }
  void finish(const CoverRequest& request, CoverResult& result);

 private:
  const MetricRows& rows_;
  Frame frame_;
  const std::vector<std::int64_t>* offsets_;
  std::int64_t n_items_;
  StopRequest stop_;
  std::vector<std::uint8_t> open_;
  Centers centers_;
  std::vector<std::unique_ptr<NearestSearch>> slots_;
  std::vector<double> wide_;
  std::vector<float> narrow_;
};

}  // namespace oneglance
