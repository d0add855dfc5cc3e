#pragma once
#include <cstdint>

#include "cover_arrays.h"

namespace oneglance::cuda {

constexpr std::int64_t kDrawChunk = 1024, kMostProposals = 512;

/// Scratch and numbers of a draw.
///   largest     bits of the largest dist2 at the beginning; 1.0 if that is 0
///   wasted      (1,) products spent on proposals that were refused, and on proposing
///   cumulative  (ceil(n_rows / kDrawChunk)) sums of weights up to the end of each chunk of rows
///   proposal_*  (most) row, weight and centres seen when proposed, and the number that accepts
///   most        proposals of a round, 16 .. kMostProposals: at least min(picks, kMostProposals)
///   n_splits, part_*  see cover_refresh: of the proposals
struct DrawScratch {
  double gamma = 1.0;
  std::uint64_t seed = 0;
  const double* largest = nullptr;
  double *wasted = nullptr, *cumulative = nullptr;
  std::int64_t *proposal_row = nullptr, *proposal_seen = nullptr;
  double *proposal_weight = nullptr, *proposal_uniform = nullptr;
  std::int64_t most = kMostProposals, n_splits = 1;
  double* part_dist2 = nullptr;
  std::int64_t* part_nearest = nullptr;
};

/// Rounds of algo/weighted_draw.cpp, with its random numbers and in its order: proposals from the weights as they
/// stand, brought up to date together, accepted one after the other with probability new / old; all rows are brought up
/// to date when refused proposals have cost more than that would. No word to the host; what is left after the last
/// pick, or when every weight is 0 (kStopped), does nothing.
void draw_rounds(const CoverArrays& arrays, const DrawScratch& scratch, std::int64_t n_rounds, std::uintptr_t stream);

}  // namespace oneglance::cuda
