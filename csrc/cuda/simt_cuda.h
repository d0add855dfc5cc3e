#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <string>

#include "geometry.h"

// The words of simt.h for a card.
#define SIMT_KERNEL static __global__ void
#define SIMT_DEVICE __device__ __forceinline__
#define SIMT_SHARED(type, name, count) __shared__ type name[count]

namespace oneglance::simt {

SIMT_DEVICE int thread() { return static_cast<int>(threadIdx.x); }
SIMT_DEVICE std::int64_t block() { return blockIdx.x; }
SIMT_DEVICE int block_size() { return static_cast<int>(blockDim.x); }
SIMT_DEVICE std::int64_t grid_size() { return gridDim.x; }
SIMT_DEVICE int lane() { return static_cast<int>(threadIdx.x & 31u); }
SIMT_DEVICE int warp() { return static_cast<int>(threadIdx.x >> 5u); }

template <typename T>
SIMT_DEVICE T* dynamic_shared() {
  extern __shared__ uint4 oneglance_dynamic_shared[];
  return reinterpret_cast<T*>(oneglance_dynamic_shared);
}

constexpr unsigned kWholeWarp = 0xffffffffu;
SIMT_DEVICE void sync_block() { __syncthreads(); }
SIMT_DEVICE void sync_warp() { __syncwarp(kWholeWarp); }
template <typename T>
SIMT_DEVICE T shuffle(T value, int from) {
  return __shfl_sync(kWholeWarp, value, from);
}
template <typename T>
SIMT_DEVICE T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(kWholeWarp, value, mask);
}
template <typename T>
SIMT_DEVICE T shuffle_down(T value, int by) {
  return __shfl_down_sync(kWholeWarp, value, static_cast<unsigned>(by));
}
SIMT_DEVICE std::uint32_t ballot(bool mine) { return __ballot_sync(kWholeWarp, mine); }
SIMT_DEVICE int lowest_bit(std::uint32_t bits) { return __ffs(static_cast<int>(bits)) - 1; }

// CUDA names the 64-bit words `long long`.
template <typename T>
struct AtomicWord {
  using Type = T;
};
template <>
struct AtomicWord<std::int64_t> {
  using Type = long long;
};
template <>
struct AtomicWord<std::uint64_t> {
  using Type = unsigned long long;
};
template <typename T>
SIMT_DEVICE T atomic_add(T* target, T value) {
  if constexpr (sizeof(T) == 8 && !std::is_floating_point_v<T>) {
    return static_cast<T>(
        atomicAdd(reinterpret_cast<unsigned long long*>(target), static_cast<unsigned long long>(value)));
  } else {
    return atomicAdd(target, value);
  }
}
template <typename T>
SIMT_DEVICE T atomic_min(T* target, T value) {
  using Word = typename AtomicWord<T>::Type;
  return static_cast<T>(atomicMin(reinterpret_cast<Word*>(target), static_cast<Word>(value)));
}
template <typename T>
SIMT_DEVICE T atomic_max(T* target, T value) {
  using Word = typename AtomicWord<T>::Type;
  return static_cast<T>(atomicMax(reinterpret_cast<Word*>(target), static_cast<Word>(value)));
}
SIMT_DEVICE std::uint32_t atomic_cas(std::uint32_t* target, std::uint32_t expected, std::uint32_t value) {
  return atomicCAS(target, expected, value);
}
SIMT_DEVICE std::uint64_t atomic_cas(std::uint64_t* target, std::uint64_t expected, std::uint64_t value) {
  return atomicCAS(reinterpret_cast<unsigned long long*>(target), static_cast<unsigned long long>(expected),
                   static_cast<unsigned long long>(value));
}
SIMT_DEVICE void fence() { __threadfence(); }

SIMT_DEVICE double mul_rn(double a, double b) { return __dmul_rn(a, b); }
SIMT_DEVICE double add_rn(double a, double b) { return __dadd_rn(a, b); }
SIMT_DEVICE double sub_rn(double a, double b) { return __dsub_rn(a, b); }
SIMT_DEVICE float mul_rn(float a, float b) { return __fmul_rn(a, b); }
SIMT_DEVICE std::uint32_t bits_of(float x) { return __float_as_uint(x); }
SIMT_DEVICE float float_of(std::uint32_t bits) { return __uint_as_float(bits); }
SIMT_DEVICE double double_of(std::uint64_t bits) { return __longlong_as_double(static_cast<long long>(bits)); }
SIMT_DEVICE std::uint64_t bits_of(double x) { return static_cast<std::uint64_t>(__double_as_longlong(x)); }

struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};
SIMT_DEVICE float to_float(Half x) { return __half2float(__ushort_as_half(x.bits)); }
SIMT_DEVICE float to_float(BFloat16 x) { return float_of(static_cast<std::uint32_t>(x.bits) << 16); }
SIMT_DEVICE Half to_half(float x) { return {__half_as_ushort(__float2half_rn(x))}; }

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess)
    throw LaunchError(std::string("CUDA failed in ") + what + ": " + cudaGetErrorString(status));
}

/// Starts `kernel` on the current device and the caller's stream; returns before the work is done.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const Geometry& geometry, std::uintptr_t stream,
            Arguments... arguments) {
  if (geometry.blocks == 0) return;
  constexpr std::size_t kUnasked = 48 << 10;
  if (geometry.shared_bytes > kUnasked) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(geometry.shared_bytes)),
          name);
  }
  kernel<<<static_cast<unsigned>(geometry.blocks), static_cast<unsigned>(geometry.threads), geometry.shared_bytes,
           reinterpret_cast<cudaStream_t>(stream)>>>(static_cast<Parameters>(arguments)...);
  check(cudaGetLastError(), name);
}

}  // namespace oneglance::simt
