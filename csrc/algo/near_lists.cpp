#include "near_lists.h"

#include <algorithm>
#include <limits>

#include "oneglance/panel_kernels.h"

namespace oneglance {
namespace {

constexpr std::int64_t kEntries = 8 << 20;  // 64 MB of entries,
constexpr std::int64_t kOwnEntries = 64;    // and so many more for every candidate
constexpr std::int64_t kTile = 1024;

}  // namespace

NearLists::NearLists(std::int64_t n_candidates, std::int64_t n_evaluated)
    : n_candidates_(n_candidates),
      n_evaluated_(n_evaluated),
      half_size_(std::min(n_evaluated, (kEntries / std::max<std::int64_t>(1, n_candidates) + kOwnEntries) / 2)),
      entries_(static_cast<std::size_t>(2 * n_candidates * half_size_)),
      counts_(static_cast<std::size_t>(2 * n_candidates), 0),
      floors_(static_cast<std::size_t>(2 * n_candidates), 0.0f),
      rest_(static_cast<std::size_t>(n_candidates), 0.0) {}

void NearLists::open(std::int64_t candidate, bool closed) {
  for (const int half : {0, 1}) {
    counts_[static_cast<std::size_t>(half * n_candidates_ + candidate)] = 0;
    floors_[static_cast<std::size_t>(half * n_candidates_ + candidate)] =
        closed ? std::numeric_limits<float>::infinity() : 0.0f;
  }
}

std::int64_t NearLists::keep_largest(Entry* entries, std::int64_t n, std::int64_t n_kept, const float* levels,
                                     float& largest_dropped) {
  if (n <= n_kept) return n;
  const auto gain = [levels](const Entry& entry) { return entry.value - levels[entry.place]; };
  std::nth_element(entries, entries + n_kept, entries + n,
                   [&](const Entry& a, const Entry& b) { return gain(a) > gain(b); });
  largest_dropped = std::max(largest_dropped, gain(entries[n_kept]));
  return n_kept;
}

void NearLists::add(std::int64_t candidate, int half, std::int64_t place, float value, const float* levels) {
  const auto at = static_cast<std::size_t>(half * n_candidates_ + candidate);
  if (!(value - levels[place] > floors_[at])) return;
  Entry* mine = half_of(candidate, half);
  if (counts_[at] == half_size_) {  // room for a quarter at a time, so that an entry costs little
    counts_[at] =
        static_cast<std::int32_t>(keep_largest(mine, half_size_, half_size_ - half_size_ / 4 - 1, levels, floors_[at]));
    if (!(value - levels[place] > floors_[at])) return;
  }
  mine[counts_[at]++] = {static_cast<std::int32_t>(place), value};
}

void NearLists::close(std::int64_t candidate, double gain, const float* levels) {
  const auto first = static_cast<std::size_t>(candidate), second = static_cast<std::size_t>(n_candidates_ + candidate);
  const Entry* from = half_of(candidate, 1);
  std::copy(from, from + counts_[second], half_of(candidate, 0) + counts_[first]);
  counts_[first] += counts_[second];
  counts_[second] = 0;
  rest_[first] = std::max(0.0, gain - listed(candidate, levels));
}

void NearLists::take_column(std::int64_t candidate, const float* column, double gain, const float* levels) {
  const auto at = static_cast<std::size_t>(candidate);
  open(candidate, false);
  Entry* mine = half_of(candidate, 0);
  const std::int64_t room = 2 * half_size_;
  std::int64_t count = 0;
  std::int32_t positions[kTile];
  for (std::int64_t tile = 0; tile < n_evaluated_; tile += kTile) {
    const std::int64_t size = std::min(kTile, n_evaluated_ - tile);
    const std::int64_t found = panel_kernels().above_f32(column + tile, levels + tile, floors_[at], size, positions);
    for (std::int64_t k = 0; k < found; ++k) {
      const std::int64_t place = tile + positions[k];
      if (count == room) count = keep_largest(mine, room, room - room / 4 - 1, levels, floors_[at]);
      if (!(column[place] - levels[place] > floors_[at])) continue;
      mine[count++] = {static_cast<std::int32_t>(place), column[place]};
    }
  }
  counts_[at] = static_cast<std::int32_t>(count);
  rest_[at] = std::max(0.0, gain - listed(candidate, levels));
}

double NearLists::listed(std::int64_t candidate, const float* levels) const {
  const Entry* mine = list_of(candidate);
  double sum = 0.0;
  for (std::int32_t k = 0; k < counts_[static_cast<std::size_t>(candidate)]; ++k) {
    const float more = mine[k].value - levels[mine[k].place];
    sum += more > 0.0f ? more : 0.0f;
  }
  return sum;
}

void NearLists::forget(std::int64_t candidate, double bound) {
  counts_[static_cast<std::size_t>(candidate)] = 0;
  rest_[static_cast<std::size_t>(candidate)] = bound;
}

void NearLists::raise(std::int64_t candidate, float* levels) const {
  const Entry* mine = list_of(candidate);
  for (std::int32_t k = 0; k < counts_[static_cast<std::size_t>(candidate)]; ++k) {
    levels[mine[k].place] = std::max(levels[mine[k].place], mine[k].value);
  }
}

}  // namespace oneglance
