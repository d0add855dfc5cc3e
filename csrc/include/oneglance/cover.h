#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/metric_rows.h"

namespace oneglance {

/// What is picked, and from what. Items own consecutive rows (patterns); an item joins with all its rows.
///   offsets    (n_items + 1) rows offsets[i] .. offsets[i+1]-1 belong to item i; empty: each row is an item
///   mask       (n_items) 0 = never picked, and its rows need not be covered. May be null
///   already    items that count as chosen and are not in the answer
///   start      items chosen first, in this order; part of the answer
///   assign     also say for every row which chosen row is nearest at the end (one more reading at least)
struct CoverRequest {
  std::int64_t n_picks = 0;
  std::vector<std::int64_t> offsets;
  const std::uint8_t* mask = nullptr;
  std::vector<std::int64_t> already, start;
  bool assign = false;
  StopRequest stop;
};

/// The answer, one entry per pick; distances in the metric's unit.
///   items      picked items in order, distinct
///   rows       the row that won; -1 where no distance decided (start, first pick, left-overs)
///   distances  of that row to the nearest earlier pick, when picked; +inf if there was none
///   nearest    the item of that nearest earlier pick, -1 if none
///   row_distance, row_nearest   with assign: per row, its nearest chosen row at the end (lowest on ties) and the
///              distance to it; NaN and -1 for masked rows, +inf and -1 when nothing is chosen
///   radius     farthest_points: the largest such distance at the end; weighted_draw: NaN without assign
///   readings   rows compared with centres by the product, per row: how many times all rows were read
struct CoverResult {
  std::vector<std::int64_t> items, rows, nearest;
  std::vector<double> distances;
  std::vector<double> row_distance;
  std::vector<std::int64_t> row_nearest;
  double radius = 0.0;
  double readings = 0.0;
};

/// Greedy k-center (farthest-first, Gonzalez 1985): each pick is the item of the row farthest from all chosen
/// rows, ties to the lower row; without already and start the first is the lowest item that has rows. When every
/// distance is 0 the lowest items that are left follow.
///
/// Exact, and lazy: a distance only shrinks, so an old one is an upper bound. The rows with the largest bounds are
/// brought up to date together by one product, and greedy goes on inside them while its best beats every bound
/// outside. Each (row, pick) product is formed at most once: cost <= n k d multiply-adds, usually much less.
/// Memory O(n + k d). The picks do not depend on threads, panels, instruction set or BLAS.
/// Throws NonFiniteRows, InvalidInput, Interrupted.
CoverResult farthest_points(const MetricRows& rows, const CoverRequest& request);

/// Draws items one after the other: row i with probability D_i^gamma / sum D^gamma, D_i its distance to the nearest
/// chosen row; its item joins (gamma = 1: k-means++ seeding; gamma = 2 with cosine: FreeSel, arXiv 2309.17342).
/// Without already and start the first item is drawn uniformly among those that have rows. When every weight is
/// 0 the rest is drawn uniformly.
///
/// Exact by rejection from old weights, which only shrink: a proposal is brought up to date and accepted with
/// probability new / old. Random numbers: Philox (seed, Purpose::COVER). Cost, memory, promise as farthest_points.
CoverResult weighted_draw(const MetricRows& rows, const CoverRequest& request, double gamma, std::uint64_t seed);

}  // namespace oneglance
