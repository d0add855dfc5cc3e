#include "farthest.h"

#include "cover.h"
#include "cover_rows.h"
#include "oneglance/philox.h"

namespace oneglance::cuda {
namespace {

using simt::lane;

constexpr int kSamples = 512;

/// The bound that about `share` of the open rows reach, from a sample of them; 0 where it holds none.
SIMT_KERNEL lowest_kernel(CoverArrays a, FarthestScratch s, double share, std::int64_t number) {
  SIMT_SHARED(double, bounds, kSamples);
  SIMT_SHARED(std::int64_t, n_open, 1);
  const int mine = simt::thread();
  const double u = philox_uniform(static_cast<std::uint64_t>(number), 0, 0, static_cast<std::uint64_t>(mine));
  const auto row = static_cast<std::int64_t>(u * static_cast<double>(a.rows.n_rows));
  bounds[mine] = a.state[row] == kOpen ? a.dist2[row] : -1.0;
  if (mine == 0) {
    n_open[0] = 0;
    s.lowest[0] = 0.0;
    a.control[kPoolCount] = 0;
    a.control[kStopped] = 0;
  }
  simt::sync_block();
  const bool open = bounds[mine] >= 0.0;
  if (open) simt::atomic_add(&n_open[0], std::int64_t{1});
  std::int64_t rank = 0;
  for (int i = 0; i < kSamples; ++i) {
    rank += bounds[i] > bounds[mine] || (bounds[i] == bounds[mine] && i < mine) ? 1 : 0;
  }
  simt::sync_block();
  const auto wanted = static_cast<std::int64_t>(share * static_cast<double>(n_open[0]));
  if (share < 1.0 && open && rank == wanted) s.lowest[0] = bounds[mine];
}

SIMT_KERNEL gather_kernel(CoverArrays a, FarthestScratch s) {
  const double lowest = s.lowest[0];
  const std::int64_t n = a.rows.n_rows, step = simt::thread_step();
  for (std::int64_t from = simt::first_of_thread() - lane(); from < n; from += step) {  // the same for the whole warp
    const std::int64_t row = from + lane();
    const bool in_pool = row < n && a.state[row] == kOpen && a.dist2[row] >= lowest;
    const std::uint32_t votes = simt::ballot(in_pool);
    std::int64_t place = 0;
    std::uint32_t before = 0;
    for (int i = 0; i < lane(); ++i) before += (votes >> i) & 1u;
    std::uint32_t all = 0;
    for (int i = 0; i < 32; ++i) all += (votes >> i) & 1u;
    if (lane() == 0 && all > 0) place = simt::atomic_add(a.control + kPoolCount, static_cast<std::int64_t>(all));
    place = simt::shuffle(place, 0);
    if (in_pool) s.pool[place + before] = row;
  }
}

/// The block's farthest row to best_*[copy]; every thread comes here with what it has found.
SIMT_DEVICE void keep_best(const FarthestScratch& s, std::int64_t copy, Nearer mine) {
  SIMT_SHARED(double, dist2, simt::kThreads / 32);
  SIMT_SHARED(std::int64_t, row, simt::kThreads / 32);
  for (int step = 16; step > 0; step /= 2) {
    const double other = simt::shuffle_xor(mine.dist2, step);
    const std::int64_t other_row = simt::shuffle_xor(mine.row, step);
    take_farther(mine, other, other_row);
  }
  if (lane() == 0) {
    dist2[simt::warp()] = mine.dist2;
    row[simt::warp()] = mine.row;
  }
  simt::sync_block();
  if (simt::thread() != 0) return;
  for (int i = 1; i < simt::kThreads / 32; ++i) take_farther(mine, dist2[i], row[i]);
  s.best_dist2[copy * s.n_blocks + simt::block()] = mine.dist2;
  s.best_row[copy * s.n_blocks + simt::block()] = mine.row;
}

SIMT_KERNEL first_best_kernel(CoverArrays a, FarthestScratch s) {
  const std::int64_t n = a.control[kPoolCount];
  Nearer best{-1.0, -1};
  for (std::int64_t i = simt::first_of_thread(); i < n; i += simt::thread_step()) {
    take_farther(best, a.dist2[s.pool[i]], s.pool[i]);
  }
  keep_best(s, 0, best);
}

/// The farthest row that the last step left, the same in every block.
SIMT_DEVICE Nearer farthest_of_last(const FarthestScratch& s, std::int64_t copy) {
  SIMT_SHARED(double, dist2, simt::kThreads);
  SIMT_SHARED(std::int64_t, row, simt::kThreads);
  Nearer mine{-1.0, -1};
  for (std::int64_t i = simt::thread(); i < simt::grid_size(); i += simt::kThreads) {
    take_farther(mine, s.best_dist2[copy * s.n_blocks + i], s.best_row[copy * s.n_blocks + i]);
  }
  dist2[simt::thread()] = mine.dist2;
  row[simt::thread()] = mine.row;
  simt::sync_block();
  for (int half = simt::kThreads / 2; half > 0; half /= 2) {
    if (simt::thread() < half) {
      Nearer best{dist2[simt::thread()], row[simt::thread()]};
      take_farther(best, dist2[simt::thread() + half], row[simt::thread() + half]);
      dist2[simt::thread()] = best.dist2;
      row[simt::thread()] = best.row;
    }
    simt::sync_block();
  }
  return {dist2[0], row[0]};
}

/// The rows of the pool against the rows first .. last - 1; returns the farthest of this thread's rows.
template <typename T, typename Acc>
SIMT_DEVICE Nearer update_pool(const CoverArrays& a, const FarthestScratch& s, std::int64_t first, std::int64_t last) {
  constexpr std::int64_t kWarpRows = 2 * kTileRows;
  const std::int64_t n = a.control[kPoolCount];
  Nearer farthest{-1.0, -1};
  for (std::int64_t tile = simt::first_of_warp() * kWarpRows; tile < n; tile += simt::warp_step() * kWarpRows) {
    const std::int64_t place = tile + lane() / kHalf * kTileRows;
    std::int64_t rows[kTileRows];
    Nearer best[kTileRows];
    for (int r = 0; r < kTileRows; ++r) {
      const std::int64_t row = place + r < n ? s.pool[place + r] : -1;
      const bool closed = row < 0 || (row >= first && row < last);
      rows[r] = closed ? first : row;
      best[r] = closed ? Nearer{-1.0, -1} : Nearer{a.dist2[row], a.nearest[row]};
    }
    for (std::int64_t c = first; c < last; ++c) {
      const std::int64_t centers[1] = {c};
      Acc dist2[kTileRows][1];
      half_warp_dist2<T, Acc, kTileRows, 1>(a, rows, centers, dist2);
      for (int r = 0; r < kTileRows; ++r) take_nearer(best[r], dist2[r][0], c);
    }
    simt::sync_warp();  // all lanes have read the pool before one of them closes a row
    const Nearer mine = own_of(best);
    const std::int64_t row = own_of(rows), own = place + lane() % kHalf;
    if (lane() % kHalf >= kTileRows || own >= n) continue;
    if (mine.dist2 < 0.0) {
      s.pool[own] = -1;
      continue;
    }
    a.dist2[row] = mine.dist2;
    a.nearest[row] = mine.row;
    take_farther(farthest, mine.dist2, row);
  }
  return farthest;
}

template <typename T, typename Acc>
SIMT_KERNEL step_kernel(CoverArrays a, FarthestScratch s, std::int64_t copy) {
  const std::int64_t* now = a.control + copy * kControlCount;
  std::int64_t* next = a.control + (1 - copy) * kControlCount;
  const bool recorder = simt::block() == 0 && simt::thread() == 0;
  if (recorder) {
    for (std::int64_t i = 0; i < kControlCount; ++i) next[i] = now[i];
  }
  if (now[kStopped] != 0) return;
  const Nearer best = farthest_of_last(s, copy);
  const bool done = now[kPicked] == a.n_picks;
  if (best.row < 0 || best.dist2 < s.lowest[0] || done) {
    if (!recorder) return;
    next[kStopped] = 1;
    if (done && best.row >= 0 && best.dist2 >= s.lowest[0]) {
      next[kPeeked] = 1;
      s.radius[0] = best.dist2;
    }
    return;
  }
  const std::int64_t item = item_of(a, best.row), first = first_row(a, item), last = last_row(a, item);
  if (recorder) {
    record_pick(a, now[kPicked], item, best.row, best.dist2);
    next[kPicked] = now[kPicked] + 1;
    next[kCenters] = now[kCenters] + last - first;
  }
  if (simt::block() == 0) choose_item(a, item, now[kCenters], kChosen, simt::thread(), simt::block_size());
  keep_best(s, 1 - copy, update_pool<T, Acc>(a, s, first, last));
}

SIMT_KERNEL close_kernel(CoverArrays a, FarthestScratch s) {
  const std::int64_t n = a.control[kPoolCount];
  for (std::int64_t i = simt::first_of_thread(); i < n; i += simt::thread_step()) {
    if (s.pool[i] >= 0) a.seen[s.pool[i]] = a.control[kCenters];
  }
}

}  // namespace

void farthest_pool(const CoverArrays& arrays, const FarthestScratch& scratch, double share, std::int64_t number,
                   std::uintptr_t stream) {
  const simt::Geometry rows = simt::thread_per_item(arrays.rows.n_rows);
  simt::launch("farthest_lowest", lowest_kernel, simt::Geometry{1, kSamples, 0}, stream, arrays, scratch, share,
               number);
  simt::launch("farthest_gather", gather_kernel, rows, stream, arrays, scratch);
  cover_refresh(arrays, scratch.pool, arrays.control + kPoolCount, arrays.rows.n_rows, nullptr, 1, nullptr, nullptr,
                stream);
  simt::launch("farthest_first_best", first_best_kernel, simt::Geometry{scratch.n_blocks, simt::kThreads, 0}, stream,
               arrays, scratch);
}

void farthest_steps(const CoverArrays& arrays, const FarthestScratch& scratch, std::int64_t n_steps,
                    std::uintptr_t stream) {
  with_arithmetic(arrays, [&](auto tag, auto arithmetic) {
    using T = typename decltype(tag)::Type;
    using Acc = typename decltype(arithmetic)::Type;
    for (std::int64_t step = 0; step < n_steps; ++step) {
      simt::launch("farthest_step", step_kernel<T, Acc>, simt::Geometry{scratch.n_blocks, simt::kThreads, 0}, stream,
                   arrays, scratch, step % 2);
    }
  });
}

void farthest_close(const CoverArrays& arrays, const FarthestScratch& scratch, std::uintptr_t stream) {
  simt::launch("farthest_close", close_kernel, simt::thread_per_item(arrays.rows.n_rows), stream, arrays, scratch);
}

}  // namespace oneglance::cuda
