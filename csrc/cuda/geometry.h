#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace oneglance::simt {

/// One-dimensional launch. Zero blocks: nothing is launched.
struct Geometry {
  std::int64_t blocks = 0;
  int threads = 0;               // a multiple of 32, at most 1024
  std::size_t shared_bytes = 0;  // of dynamic_shared
};

/// CUDA (or its emulation) refused or failed; the message names the kernel.
struct LaunchError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace oneglance::simt
