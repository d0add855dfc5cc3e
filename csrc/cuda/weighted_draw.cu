#include "weighted_draw.h"

#include <cmath>

#include "cover.h"
#include "cover_rows.h"
#include "oneglance/philox.h"

namespace oneglance::cuda {
namespace {

using simt::lane;

constexpr std::uint32_t kPurpose = 6;  // Purpose::COVER of python/oneglance/_rng.py
enum Draw : std::uint32_t { kPropose = 0, kAccept = 1 };
constexpr double kProposalCost = 100.0;  // as in algo/weighted_draw.cpp
constexpr int kChunkThreads = 256, kAcceptThreads = 512;

SIMT_DEVICE double weight_of(const CoverArrays& a, const DrawScratch& s, std::int64_t row) {
  const double squared = a.dist2[row] / *s.largest;
  if (s.gamma == 1.0) return squared;
  if (s.gamma == 2.0) return squared * squared;
  return squared == 0.0 ? 0.0 : pow(squared, s.gamma);
}
SIMT_DEVICE double open_weight(const CoverArrays& a, const DrawScratch& s, std::int64_t row) {
  return row < a.rows.n_rows && a.state[row] == kOpen ? weight_of(a, s, row) : 0.0;
}

SIMT_KERNEL cost_kernel(CoverArrays a, DrawScratch s) {
  if (a.control[kStopped] != 0 || *s.wasted == 0.0) return;
  const std::int64_t n_centers = a.control[kCenters], last_round = a.control[kRound] - 1;
  std::int64_t cost = 0;
  for (std::int64_t i = simt::first_of_thread(); i < a.rows.n_rows; i += simt::thread_step()) {
    if (a.state[i] == kOpen || a.state[i] == last_round) cost += n_centers - a.seen[i];
  }
  cost = simt::warp_sum(cost);
  if (lane() == 0 && cost > 0) simt::atomic_add(a.control + kCost, cost);
}

SIMT_KERNEL decide_kernel(CoverArrays a, DrawScratch s) {
  if (simt::thread() != 0) return;
  const bool refresh = a.control[kStopped] == 0 && *s.wasted > static_cast<double>(a.control[kCost]);
  a.control[kRefresh] = refresh ? 1 : 0;
  a.control[kCost] = 0;
  if (refresh) *s.wasted = 0.0;
}

/// cumulative[chunk] = the chunk's sum: a block each, threads' sums added as a tree.
SIMT_KERNEL chunk_kernel(CoverArrays a, DrawScratch s, std::int64_t n_chunks) {
  SIMT_SHARED(double, sums, kChunkThreads / 32);
  if (a.control[kStopped] != 0) return;
  for (std::int64_t chunk = simt::block(); chunk < n_chunks; chunk += simt::grid_size()) {
    double sum = 0.0;
    for (std::int64_t i = simt::thread(); i < kDrawChunk; i += kChunkThreads) {
      sum += open_weight(a, s, chunk * kDrawChunk + i);
    }
    sum = simt::warp_sum(sum);
    if (lane() == 0) sums[simt::warp()] = sum;
    simt::sync_block();
    if (simt::thread() == 0) {
      double total = 0.0;
      for (int i = 0; i < kChunkThreads / 32; ++i) total += sums[i];
      s.cumulative[chunk] = total;
    }
    simt::sync_block();
  }
}

/// Running sums of the chunks' sums, by one block; the number of proposals of this round.
SIMT_KERNEL scan_kernel(CoverArrays a, DrawScratch s, std::int64_t n_chunks) {
  SIMT_SHARED(double, sums, kChunkThreads);
  if (a.control[kStopped] != 0) return;
  const int mine = simt::thread();
  const std::int64_t size = (n_chunks + kChunkThreads - 1) / kChunkThreads;
  const std::int64_t first = mine * size, last = first + size < n_chunks ? first + size : n_chunks;
  double sum = 0.0;
  for (std::int64_t i = first; i < last; ++i) sum += s.cumulative[i];
  sums[mine] = sum;
  simt::sync_block();
  if (mine == 0) {
    double before = 0.0;
    for (int i = 0; i < kChunkThreads; ++i) {
      const double own = sums[i];
      sums[i] = before;
      before += own;
    }
  }
  simt::sync_block();
  sum = sums[mine];
  for (std::int64_t i = first; i < last; ++i) {
    sum += s.cumulative[i];
    s.cumulative[i] = sum;
  }
  simt::sync_block();
  if (mine != 0) return;
  if (!(s.cumulative[n_chunks - 1] > 0.0)) {
    a.control[kStopped] = 1;
    a.control[kPoolCount] = 0;
    return;
  }
  const std::int64_t picked = a.control[kPicked];
  a.control[kPoolCount] = picked < 16 ? 16 : (picked < kMostProposals ? picked : kMostProposals);
}

/// The last row before `end` that has a weight.
SIMT_DEVICE std::int64_t last_with_weight(const CoverArrays& a, const DrawScratch& s, std::int64_t end) {
  std::int64_t row = end - 1;
  while (row > 0 && open_weight(a, s, row) == 0.0) --row;
  return row;
}

/// A warp per proposal: the first row at which the running sum of weights exceeds the target.
SIMT_KERNEL propose_kernel(CoverArrays a, DrawScratch s, std::int64_t n_chunks) {
  if (a.control[kStopped] != 0) return;
  const std::int64_t n = a.control[kPoolCount], begun = a.control[kProposed];
  for (std::int64_t p = simt::first_of_warp(); p < n; p += simt::warp_step()) {
    const auto number = static_cast<std::uint64_t>(begun + p);
    const double target = s.cumulative[n_chunks - 1] * philox_uniform(s.seed, kPurpose, kPropose, number);
    std::int64_t low = 0, high = n_chunks - 1;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      if (s.cumulative[middle] > target) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    double before = low == 0 ? 0.0 : s.cumulative[low - 1];
    std::int64_t row = -1;
    for (std::int64_t i = 0; i < kDrawChunk && row < 0; i += 32) {
      double sum = open_weight(a, s, low * kDrawChunk + i + lane());
      const bool any = sum > 0.0;
      for (int step = 1; step < 32; step *= 2) {
        const double below = simt::shuffle(sum, lane() - step < 0 ? lane() : lane() - step);
        if (lane() >= step) sum += below;
      }
      const std::uint32_t over = simt::ballot(any && before + sum > target);
      before += simt::shuffle(sum, 31);
      for (int at = 31; at >= 0; --at) row = ((over >> at) & 1u) != 0 ? low * kDrawChunk + i + at : row;
    }
    if (lane() != 0) continue;
    // Rounding at the very end of the chunk, whose sum was taken in another order.
    const std::int64_t end = (low + 1) * kDrawChunk;
    if (row < 0) row = last_with_weight(a, s, end < a.rows.n_rows ? end : a.rows.n_rows);
    s.proposal_row[p] = row;
    s.proposal_seen[p] = a.seen[row];
    s.proposal_weight[p] = weight_of(a, s, row);
    s.proposal_uniform[p] = philox_uniform(s.seed, kPurpose, kAccept, number);
  }
}

/// The row against the centres first .. last - 1, by the whole block; the same answer for every thread.
template <typename T, typename Acc>
SIMT_DEVICE Nearer nearest_of(const CoverArrays& a, std::int64_t row, std::int64_t first, std::int64_t last) {
  SIMT_SHARED(double, dist2, kAcceptThreads / kHalf);
  SIMT_SHARED(std::int64_t, nearest, kAcceptThreads / kHalf);
  constexpr std::int64_t kStep = kTileCenters * (kAcceptThreads / kHalf);
  const int half = simt::thread() / kHalf;
  Nearer best{a.dist2[row], a.nearest[row]};
  const std::int64_t rows[1] = {row};
  for (std::int64_t from = first; from < last; from += kStep) {
    std::int64_t centers[kTileCenters];
    for (int i = 0; i < kTileCenters; ++i) {
      const std::int64_t c = from + half * kTileCenters + i;
      centers[i] = a.centers[c < last ? c : last - 1];
    }
    Acc found[1][kTileCenters];
    half_warp_dist2<T, Acc, 1, kTileCenters>(a, rows, centers, found);
    for (int i = 0; i < kTileCenters; ++i) take_nearer(best, found[0][i], centers[i]);
  }
  simt::sync_block();  // nobody reads the last call's answer any more
  if (simt::thread() % kHalf == 0) {
    dist2[half] = best.dist2;
    nearest[half] = best.row;
  }
  simt::sync_block();
  for (int i = 0; i < kAcceptThreads / kHalf; ++i) take_nearer(best, dist2[i], nearest[i]);
  return best;
}

/// One block: the proposals in their order.
template <typename T, typename Acc>
SIMT_KERNEL accept_kernel(CoverArrays a, DrawScratch s) {
  if (a.control[kStopped] != 0) return;
  const std::int64_t n = a.control[kPoolCount], begun = a.control[kCenters];
  std::int64_t picked = a.control[kPicked], n_centers = begun;
  const auto round = static_cast<std::int32_t>(a.control[kRound]);
  double wasted = *s.wasted;
  for (std::int64_t p = 0; p < n && picked < a.n_picks; ++p) {
    const std::int64_t row = s.proposal_row[p];
    const bool open = a.state[row] == kOpen;
    bool accepted = false;
    if (open) {
      const Nearer now = nearest_of<T, Acc>(a, row, a.seen[row], n_centers);
      simt::sync_block();  // all have read what is written now
      if (simt::thread() == 0) {
        a.dist2[row] = now.dist2;
        a.nearest[row] = now.row;
        a.seen[row] = n_centers;
      }
      simt::sync_block();
      accepted = s.proposal_uniform[p] * s.proposal_weight[p] < weight_of(a, s, row);
    }
    if (accepted) {
      const std::int64_t item = item_of(a, row);
      if (simt::thread() == 0) record_pick(a, picked, item, row, a.dist2[row]);
      simt::sync_block();  // the weight has been read and recorded before it becomes 0
      choose_item(a, item, n_centers, round, simt::thread(), kAcceptThreads);
      n_centers += last_row(a, item) - first_row(a, item);
      ++picked;
    } else {
      wasted += static_cast<double>(begun - s.proposal_seen[p]) + kProposalCost;
    }
    simt::sync_block();
  }
  if (simt::thread() != 0) return;
  *s.wasted = wasted;
  a.control[kPicked] = picked;
  a.control[kCenters] = n_centers;
  a.control[kProposed] += n;
  a.control[kRound] += 1;
  if (picked == a.n_picks) {
    a.control[kStopped] = 1;
    a.control[kPoolCount] = 0;
  }
}

}  // namespace

void draw_rounds(const CoverArrays& arrays, const DrawScratch& scratch, std::int64_t n_rounds, std::uintptr_t stream) {
  const std::int64_t n_rows = arrays.rows.n_rows, n_chunks = (n_rows + kDrawChunk - 1) / kDrawChunk;
  std::int64_t* control = arrays.control;
  for (std::int64_t round = 0; round < n_rounds; ++round) {
    simt::launch("draw_cost", cost_kernel, simt::thread_per_item(n_rows), stream, arrays, scratch);
    simt::launch("draw_decide", decide_kernel, simt::Geometry{1, 32, 0}, stream, arrays, scratch);
    cover_refresh(arrays, nullptr, nullptr, n_rows, control + kRefresh, 1, nullptr, nullptr, stream);
    simt::launch("draw_chunks", chunk_kernel, simt::block_per_item(n_chunks, kChunkThreads), stream, arrays, scratch,
                 n_chunks);
    simt::launch("draw_scan", scan_kernel, simt::Geometry{1, kChunkThreads, 0}, stream, arrays, scratch, n_chunks);
    simt::launch("draw_propose", propose_kernel, simt::warp_per_item(scratch.most), stream, arrays, scratch, n_chunks);
    cover_refresh(arrays, scratch.proposal_row, control + kPoolCount, scratch.most, nullptr, scratch.n_splits,
                  scratch.part_dist2, scratch.part_nearest, stream);
    with_arithmetic(arrays, [&](auto tag, auto arithmetic) {
      using T = typename decltype(tag)::Type;
      using Acc = typename decltype(arithmetic)::Type;
      simt::launch("draw_accept", accept_kernel<T, Acc>, simt::Geometry{1, kAcceptThreads, 0}, stream, arrays, scratch);
    });
  }
}

}  // namespace oneglance::cuda
