#pragma once
#include <cstdint>

#include "device_rows.h"

namespace oneglance::cuda {

/// Places of CoverArrays::control (int64).
enum CoverControl : std::int64_t {
  kCenters = 0,  // centres so far
  kPicked,       // picks so far, those of the request's start included
  kStopped,      // nothing more can be done in this round (farthest) or at all (draw)
  kPeeked,       // the covering radius was found
  kPoolCount,    // rows in the pool of this round, or proposals
  kRowsRead,     // rows compared with centres by cover_refresh
  kCost,         // centres that the rows open at the last proposal have not seen
  kRefresh,      // all rows are to be brought up to date
  kProposed,     // random numbers used
  kRound,        // number of this round: the state of what it picks
  kControlCount,
};

/// Rows' states.
constexpr std::int32_t kOpen = 0, kMasked = -1, kChosen = 1, kFirstRound = 3;

/// Distances of rows to the chosen rows, on the device; algo/cover_state.h holds the same for the CPU.
///   scale      (n_rows) what rows are multiplied by, null for 1
///   offsets    (n_items + 1) rows of items, null: each row is one
///   dist2      (n_rows) exact for the first seen[row] centres, an upper bound for all
///   nearest    (n_rows) the centre's row, -1
///   state      (n_rows) kOpen, kMasked, or > 0 once chosen
///   centers    rows that are centres, in order; room for all that can be
///   wide       distances in float64, the bits of the CPU; else in float32
///   control    (2, kControlCount), the second copy for steps that read one and write the other
///   pick_*     (n_picks) item, deciding row, its dist2 and its nearest centre's row; those of the start are not
///   written
struct CoverArrays {
  DeviceRows rows;
  const double* scale = nullptr;
  const std::int64_t* offsets = nullptr;
  std::int64_t n_items = 0, n_picks = 0;
  double* dist2 = nullptr;
  std::int64_t *nearest = nullptr, *seen = nullptr;
  std::int32_t* state = nullptr;
  std::int64_t* centers = nullptr;
  bool wide = false;
  std::int64_t* control = nullptr;
  std::int64_t *pick_item = nullptr, *pick_row = nullptr, *pick_nearest = nullptr;
  double* pick_dist2 = nullptr;
};

}  // namespace oneglance::cuda
