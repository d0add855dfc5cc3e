#pragma once
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#include "geometry.h"

// The words of simt.h for the CPU: each thread of a block is a fiber on the calling thread. For tests.
#define SIMT_KERNEL static void
#define SIMT_DEVICE inline
#define SIMT_SHARED(type, name, count)  \
  static const char name##_is_here = 0; \
  const ::oneglance::simt::Shared<type> name(&name##_is_here, count)

namespace oneglance::simt {

namespace emulated {

/// Position of the running fiber.
struct Place {
  int thread = 0, block_size = 0;
  std::int64_t block = 0, grid_size = 0;
};
const Place& place();

void wait_for_block();
/// Waits until all lanes of the warp have given a value at the same kind of call; returns the 32 of them.
const std::uint64_t* exchange(std::uint64_t mine, const char* kind);
/// Memory of this block under a key; all its bits are set when it is first asked for.
void* shared_memory(const void* key, std::size_t bytes);
void* dynamic_shared_memory();
[[noreturn]] void outside_shared(std::int64_t index, std::int64_t count);
void run(const char* name, const Geometry& geometry, const std::function<void()>& kernel);

}  // namespace emulated

template <typename T>
class Shared {
 public:
  Shared(const void* key, std::int64_t count)
      : data_(static_cast<T*>(emulated::shared_memory(key, static_cast<std::size_t>(count) * sizeof(T)))),
        count_(count) {}
  template <typename Index>
  T& operator[](Index index) const {
    const auto i = static_cast<std::int64_t>(index);
    if (i < 0 || i >= count_) emulated::outside_shared(i, count_);
    return data_[i];
  }
  operator T*() const { return data_; }  // as an array decays

 private:
  T* data_;
  std::int64_t count_;
};

inline int thread() { return emulated::place().thread; }
inline std::int64_t block() { return emulated::place().block; }
inline int block_size() { return emulated::place().block_size; }
inline std::int64_t grid_size() { return emulated::place().grid_size; }
inline int lane() { return thread() % 32; }
inline int warp() { return thread() / 32; }

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(emulated::dynamic_shared_memory());
}

inline void sync_block() { emulated::wait_for_block(); }
inline void sync_warp() { emulated::exchange(0, "sync_warp"); }

template <typename T>
T take_lane(T value, int from, const char* kind) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const std::uint64_t* all = emulated::exchange(bits, kind);
  std::memcpy(&value, all + from, sizeof(T));
  return value;
}
template <typename T>
T shuffle(T value, int from) {
  return take_lane(value, from & 31, "shuffle");
}
template <typename T>
T shuffle_xor(T value, int mask) {
  return take_lane(value, lane() ^ mask, "shuffle_xor");
}
template <typename T>
T shuffle_down(T value, int by) {
  return take_lane(value, lane() + by < 32 ? lane() + by : lane(), "shuffle_down");
}
inline std::uint32_t ballot(bool mine) {
  const std::uint64_t* all = emulated::exchange(mine ? 1 : 0, "ballot");
  std::uint32_t votes = 0;
  for (int i = 0; i < 32; ++i) votes |= static_cast<std::uint32_t>(all[i]) << i;
  return votes;
}

inline int lowest_bit(std::uint32_t bits) { return __builtin_ctz(bits); }

template <typename T>
T atomic_add(T* target, T value) {
  const T old = *target;
  *target = static_cast<T>(old + value);
  return old;
}
template <typename T>
T atomic_min(T* target, T value) {
  const T old = *target;
  if (value < old) *target = value;
  return old;
}
template <typename T>
T atomic_max(T* target, T value) {
  const T old = *target;
  if (value > old) *target = value;
  return old;
}
template <typename T>
T atomic_cas(T* target, T expected, T value) {
  const T old = *target;
  if (old == expected) *target = value;
  return old;
}
inline void fence() {}

// Compiled with -ffp-contract=off.
inline double mul_rn(double a, double b) { return a * b; }
inline double add_rn(double a, double b) { return a + b; }
inline double sub_rn(double a, double b) { return a - b; }
inline float mul_rn(float a, float b) { return a * b; }
inline std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline std::uint64_t bits_of(double x) {
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline double double_of(std::uint64_t bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline float float_of(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};
float to_float(Half x);
inline float to_float(BFloat16 x) { return float_of(static_cast<std::uint32_t>(x.bits) << 16); }
Half to_half(float x);

template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const Geometry& geometry, std::uintptr_t /*stream*/,
            Arguments... arguments) {
  emulated::run(name, geometry, [&] { kernel(static_cast<Parameters>(arguments)...); });
}

}  // namespace oneglance::simt
