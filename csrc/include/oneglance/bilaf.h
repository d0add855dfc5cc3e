#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/metric_rows.h"

namespace oneglance {

/// Rows in classes, one after the other: class i owns members[offsets[i]] .. members[offsets[i+1] - 1], ascending,
/// with its core (a row, one of its members) in cores[i]. Distances below are Euclidean: the root of dist2.
struct Classes {
  std::vector<std::int64_t> members, offsets, cores;
  std::int64_t size() const { return static_cast<std::int64_t>(cores.size()); }
};

struct DenoiseOptions {
  std::int64_t n_neighbors = 10;
  double growth = 0.1;
  double removal = 0.1;
  StopRequest stop;
};

/// What the denoising finds, class after class.
///   order          the members of each class in the order in which they joined; the last floor(removal * size) of
///                  each are to be left out
///   mean_distance  (members, as in Classes) mean distance to the members of the class that stay, itself with 0
///                  among them, added up in ascending order; NaN for those left out
struct Denoised {
  std::vector<std::int64_t> order;
  std::vector<double> mean_distance;
};

/// Density order of every class (BiLAF's denoising, arXiv 2403.10069): starting from the core, the members with the
/// smallest mean distance to their n_neighbors nearest included members (all of them while there are fewer) join,
/// max(1, floor(growth * class size)) per round, ties to the lower row.
///
/// Each pair of a class is measured in float64 once, twice in classes whose pairs do not fit in memory: cost
/// sum_i N_i^2 d / 2. Classes among the threads; memory O(N_i (d + n_neighbors)) per thread, and 512 MB for pairs.
/// Throws NonFiniteRows, Interrupted.
Denoised denoise(const MetricRows& rows, const Classes& classes, const DenoiseOptions& options);

/// What the choice of boundary samples needs to know of the other cores.
///   near_core, near_distance  (members, n_near) the nearest cores of other classes of every member (numbers of
///            classes) and their Euclidean distances, ascending; -1 and +inf where there are fewer
///   mean_distance  (members) to all members of the class
///   penalty  delta >= 1
///   budget   (classes) picks of each class, its core among them: 1 .. class size
struct BoundaryOptions {
  std::vector<std::int64_t> near_core;
  std::vector<double> near_distance;
  std::int64_t n_near = 0;
  std::vector<double> mean_distance;
  double penalty = 1.1;
  std::vector<std::int64_t> budget;
  StopRequest stop;
};

/// Picks of all classes, class after class; the first of each is its core.
///   scores    boundary score when picked (NaN for cores)
///   opponent  class whose core was nearest (-1 for cores)
struct BoundaryPicks {
  std::vector<std::int64_t> rows, opponent;
  std::vector<double> scores;
};

/// Boundary samples of every class. With a_j the mean distance of member j and D_jl its distance to
/// core l, each pick minimises over the candidates left
///   min over l of (penalty^t_l D_jl - a_j) / max(D_jl, a_j)
/// (ties to the lower row), t_l counting the picks whose nearest opponent was l; then the
/// floor(class size / budget) candidates nearest to the pick leave, itself among them. Exact for all cores: where
/// the n_near nearest cannot settle the minimum, all are measured.
/// Cost at most sum_i B_i N_i d / 2. Throws Interrupted.
BoundaryPicks boundary_picks(const MetricRows& rows, const Classes& classes, const BoundaryOptions& options);

}  // namespace oneglance
