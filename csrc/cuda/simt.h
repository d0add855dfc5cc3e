#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

/// Kernels are written once, in the words below, and compiled for two machines: for a card by nvcc (simt_cuda.h), and
/// for the CPU with ONEGLANCE_CUDA_EMULATED (simt_emulated.h), where every thread of a block is a fiber. There a
/// barrier that some threads miss, a shuffle that some lanes of a warp miss and an index outside shared memory are
/// errors with the kernel's name, shared memory starts as NaN, and threads can be run in another order: what passes
/// the tests on a machine without a card is the source that runs on one.
///
/// How an operation is laid out: x.h declares host functions (no CUDA type in it: pointers, sizes, strides in elements,
/// the stream as an integer); x.cu holds the kernels and those functions; bind/bind_cuda_<family>.cpp exports them;
/// python/oneglance/cuda/ checks the arrays and calls them. CMakeLists.txt lists both files.
///
/// Words (namespace oneglance::simt, inside kernels):
///   SIMT_KERNEL name(...)              a kernel; launched with simt::launch
///   SIMT_DEVICE type name(...)         a function that kernels call
///   SIMT_SHARED(type, name, count);    shared memory of the block, count a constant
///   dynamic_shared<T>()                the block's Geometry::shared_bytes, aligned to 16 bytes
///   thread() block() block_size() grid_size() lane() warp()     one-dimensional, int or int64
///   sync_block() sync_warp() shuffle(v, lane) shuffle_xor(v, mask) shuffle_down(v, n) ballot(bool)
///     all threads of the block, all 32 lanes of the warp: never inside a branch that only some of them take
///   lowest_bit(bits)                   place of the lowest 1 of a ballot that is not 0
///   atomic_add atomic_min atomic_max atomic_cas, fence()
///   mul_rn add_rn sub_rn (double; mul_rn float too)  never contracted into one fused operation: the bits of the CPU
///   Half, BFloat16, to_float(x), to_double(x), round_to_tf32(x), Vec<T, N>
/// Blocks are multiples of 32 threads and cannot wait for each other: split the work into several launches, or let
/// the last block finish (fence, then a counter). No index is an int where it counts rows or elements.
#if defined(ONEGLANCE_CUDA_EMULATED)
#include "simt_emulated.h"
#else
#include "simt_cuda.h"
#endif

namespace oneglance::simt {

/// N elements that are read or written by one instruction; the address must be a multiple of its size.
template <typename T, int N>
struct alignas(sizeof(T) * N) Vec {
  T at[N];
};

SIMT_DEVICE float to_float(float x) { return x; }
SIMT_DEVICE float to_float(double x) { return static_cast<float>(x); }
template <typename T>
SIMT_DEVICE double to_double(T x) {
  return static_cast<double>(to_float(x));
}
template <>
SIMT_DEVICE double to_double<double>(double x) {
  return x;
}

/// The nearest number with 11 significant bits, ties to even: what tensor cores read exactly. Infinite and NaN stay.
SIMT_DEVICE float round_to_tf32(float x) {
  std::uint32_t bits = bits_of(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return x;
  bits += 0x0fffu + ((bits >> 13) & 1u);
  return float_of(bits & 0xffffe000u);
}

template <typename T>
SIMT_DEVICE T warp_sum(T value) {
  for (int step = 16; step > 0; step /= 2) value += shuffle_xor(value, step);
  return value;
}
template <typename T>
SIMT_DEVICE T warp_max(T value) {
  for (int step = 16; step > 0; step /= 2) {
    const T other = shuffle_xor(value, step);
    value = other > value ? other : value;
  }
  return value;
}
template <typename T>
SIMT_DEVICE T warp_min(T value) {
  for (int step = 16; step > 0; step /= 2) {
    const T other = shuffle_xor(value, step);
    value = other < value ? other : value;
  }
  return value;
}

/// The first item of this thread, or of this warp, and the step to its next: loops `for (i = first; i < n; i += step)`.
SIMT_DEVICE std::int64_t first_of_thread() { return block() * block_size() + thread(); }
SIMT_DEVICE std::int64_t thread_step() { return grid_size() * block_size(); }
SIMT_DEVICE std::int64_t first_of_warp() { return block() * (block_size() / 32) + warp(); }
SIMT_DEVICE std::int64_t warp_step() { return grid_size() * (block_size() / 32); }

// Enough for every card to be full; what is left is taken by the kernels' own loops, so any 64-bit count works.
constexpr std::int64_t kMostBlocks = 1 << 16;
constexpr int kThreads = 256;

/// Blocks so that each item has a thread, or a warp, or a block of its own, up to kMostBlocks.
inline Geometry thread_per_item(std::int64_t n_items, int threads = kThreads) {
  return {std::min((n_items + threads - 1) / threads, kMostBlocks), threads, 0};
}
inline Geometry warp_per_item(std::int64_t n_items, int threads = kThreads) {
  const int warps = threads / 32;
  return {std::min((n_items + warps - 1) / warps, kMostBlocks), threads, 0};
}
inline Geometry block_per_item(std::int64_t n_items, int threads = kThreads, std::size_t shared_bytes = 0) {
  return {std::min(n_items, kMostBlocks), threads, shared_bytes};
}

}  // namespace oneglance::simt
