#pragma once
#include <cstdint>
#include <vector>

namespace oneglance {

/// Per candidate the evaluated rows that it serves better than what is chosen, the largest gains if not all fit.
/// As more is chosen, a row that is not worth listing never becomes so again, and a candidate whose list left
/// nothing out has its gain from the list alone.
///
/// Two halves per candidate, so that two threads may add to one candidate at once. Memory about 8 bytes per place.
class NearLists {
 public:
  NearLists(std::int64_t n_candidates, std::int64_t n_evaluated);

  /// Ready for add(); a closed candidate takes nothing.
  void open(std::int64_t candidate, bool closed);
  /// A gain must be larger than this to be worth adding.
  const float* floors(int half) const { return floors_.data() + half * n_candidates_; }
  /// Lists evaluated row `place`; where the half is full, its smallest gains over `levels` (of all rows) give way.
  void add(std::int64_t candidate, int half, std::int64_t place, float value, const float* levels);
  /// Both halves become the list of the candidate, whose whole gain over `levels` is `gain`.
  void close(std::int64_t candidate, double gain, const float* levels);
  /// The list from a whole column (n_evaluated,) of values.
  void take_column(std::int64_t candidate, const float* column, double gain, const float* levels);

  /// Sum of the gains that are listed, over `levels`; the rest comes on top.
  double listed(std::int64_t candidate, const float* levels) const;
  /// What was left out, at the time of listing: now it is at most this, and 0 means that the list is complete.
  double rest(std::int64_t candidate) const { return rest_[static_cast<std::size_t>(candidate)]; }
  /// Forgets the list: the bound is all that is known.
  void forget(std::int64_t candidate, double bound);
  /// levels[place] := max(levels[place], value) over the list
  void raise(std::int64_t candidate, float* levels) const;

 private:
  struct Entry {
    std::int32_t place;
    float value;
  };
  Entry* half_of(std::int64_t candidate, int half) {
    return entries_.data() + static_cast<std::size_t>((2 * candidate + half) * half_size_);
  }
  const Entry* list_of(std::int64_t candidate) const {
    return entries_.data() + static_cast<std::size_t>(2 * candidate * half_size_);
  }
  static std::int64_t keep_largest(Entry* entries, std::int64_t n, std::int64_t n_kept, const float* levels,
                                   float& largest_dropped);

  std::int64_t n_candidates_, n_evaluated_, half_size_;
  std::vector<Entry> entries_;
  std::vector<std::int32_t> counts_;  // (2, candidates); the first row counts the list once it is closed
  std::vector<float> floors_;         // (2, candidates)
  std::vector<double> rest_;
};

}  // namespace oneglance
