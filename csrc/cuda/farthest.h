#pragma once
#include <cstdint>

#include "cover_arrays.h"

namespace oneglance::cuda {

/// Scratch of a round.
///   pool      (n_rows) rows of the round; those chosen in it become -1
///   lowest    (1,) a row belongs to the pool when its bound is at least this
///   best_*    (2, n_blocks) the farthest row of each block of the last step
///   radius    (1,) out: dist2 of the farthest row once all picks are made
struct FarthestScratch {
  std::int64_t* pool = nullptr;
  double *lowest = nullptr, *best_dist2 = nullptr, *radius = nullptr;
  std::int64_t* best_row = nullptr;
  std::int64_t n_blocks = 0;  // of a step: 64 rows of the pool each at a time
};

/// One round of algo/farthest.cpp: the open rows with the largest bounds (about the share of them all; `share` >= 1:
/// all) become the pool and are brought up to date. The number of the round names the random numbers of its sample.
void farthest_pool(const CoverArrays& arrays, const FarthestScratch& scratch, double share, std::int64_t number,
                   std::uintptr_t stream);

/// Up to n_steps picks inside the pool, one launch each and no word to the host: the farthest row of the pool, ties to
/// the lower row, while it is at least as far as every bound outside; its item's rows bring the pool up to date.
/// Without a pick to make, the distance found is the covering radius (kPeeked). kStopped: a new round is needed.
/// n_steps is even, so that control's first copy is the current one afterwards.
void farthest_steps(const CoverArrays& arrays, const FarthestScratch& scratch, std::int64_t n_steps,
                    std::uintptr_t stream);

/// The rows of the pool know all centres.
void farthest_close(const CoverArrays& arrays, const FarthestScratch& scratch, std::uintptr_t stream);

}  // namespace oneglance::cuda
