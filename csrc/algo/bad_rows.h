#pragma once
#include <algorithm>
#include <cstdint>
#include <mutex>
#include <vector>

namespace oneglance {

/// Rows that cannot be used, counted by any thread; the first few are kept.
class BadRows {
 public:
  void add(std::int64_t row) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++count_;
    first_.insert(std::upper_bound(first_.begin(), first_.end(), row), row);
    if (first_.size() > kShown) first_.pop_back();
  }
  /// Throws Error(count, first rows), e.g. NonFiniteRows.
  template <typename Error>
  void throw_if_any() const {
    if (count_ > 0) throw Error(count_, first_);
  }

 private:
  static constexpr std::size_t kShown = 8;
  std::mutex mutex_;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> first_;
};

}  // namespace oneglance
