#include "oneglance/precision.h"

#include <atomic>

#include "oneglance/check.h"

namespace oneglance {
namespace {

std::atomic<std::int64_t> small_work{std::int64_t{1} << 31};

}  // namespace

bool is_small_work(std::int64_t n_rows, std::int64_t n_dims) {
  return static_cast<double>(n_rows) * static_cast<double>(n_dims) * static_cast<double>(n_dims) <
         static_cast<double>(small_work.load());
}

void set_small_work(std::int64_t n_multiply_adds) {
  require(n_multiply_adds >= 0, "n_multiply_adds must be >= 0, got " + std::to_string(n_multiply_adds) + ".");
  small_work.store(n_multiply_adds);
}

}  // namespace oneglance
