// The C library must not check that a jump stays on one stack: these jumps change it.
#undef _FORTIFY_SOURCE
#include "simt_emulated.h"
#include "emulation.h"

#include <setjmp.h>
#include <ucontext.h>

#include <atomic>
#include <cmath>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace oneglance::simt::emulated {
namespace {

constexpr int kMostThreads = 1024;
constexpr std::size_t kStackBytes = 128 << 10;

std::atomic<bool> descending_order{false};

enum class State : std::uint8_t { ready, at_barrier, at_exchange, done };

/// A jump between stacks. The first entry goes through ucontext; later ones by setjmp, which asks no system call,
/// except under AddressSanitizer, which must be told of every change of stack.
struct Context {
  ucontext_t entry;
  jmp_buf resume;
  bool started = false;
  const void* stack = nullptr;
  std::size_t stack_bytes = 0;
};

#if defined(__SANITIZE_ADDRESS__)
void jump(Context& from, Context& to) {
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, to.stack, to.stack_bytes);
  swapcontext(&from.entry, &to.entry);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
}
void arrived(Context& scheduler) { __sanitizer_finish_switch_fiber(nullptr, &scheduler.stack, &scheduler.stack_bytes); }
#else
void jump(Context& from, Context& to) {
  from.started = true;
  if (_setjmp(from.resume) != 0) return;   // NOLINT(cert-err52-cpp)
  if (to.started) _longjmp(to.resume, 1);  // NOLINT(cert-err52-cpp)
  to.started = true;
  setcontext(&to.entry);
}
void arrived(Context&) {}
#endif

struct Fiber {
  Context context;
  std::unique_ptr<char[]> stack;
  State state = State::done;
};

struct Warp {
  std::uint64_t given[32], seen[32];
  const char* kind[32];
};

struct Allocation {
  const void* key;
  std::size_t bytes;
  std::unique_ptr<unsigned char[]> data;
};

std::unique_ptr<unsigned char[]> poisoned(std::size_t bytes) {
  auto data = std::make_unique<unsigned char[]>(bytes);
  std::memset(data.get(), 0xff, bytes);
  return data;
}

void enter_fiber();

/// The fibers of one host thread, used again from block to block.
class Machine {
 public:
  Place place;

  void run(const char* name, const Geometry& geometry, const std::function<void()>& kernel) {
    name_ = name;
    kernel_ = &kernel;
    n_threads_ = geometry.threads;
    place.block_size = geometry.threads;
    place.grid_size = geometry.blocks;
    make_fibers();
    const bool descending = descending_order.load();
    for (std::int64_t i = 0; i < geometry.blocks; ++i) {
      place.block = descending ? geometry.blocks - 1 - i : i;
      shared_.clear();
      dynamic_ = geometry.shared_bytes > 0 ? poisoned(geometry.shared_bytes) : nullptr;
      run_block(descending);
    }
  }

  void enter() {
    arrived(scheduler_);
    while (true) {
      try {
        (*kernel_)();
      } catch (...) {
        failure_ = std::current_exception();
      }
      leave(State::done);
    }
  }

  /// Suspends the running fiber.
  void leave(State state) {
    Fiber& mine = fibers_[place.thread];
    mine.state = state;
    const int thread = place.thread;
    jump(mine.context, scheduler_);
    place.thread = thread;
  }

  const std::uint64_t* exchange(std::uint64_t mine, const char* kind) {
    Warp& warp = warps_[place.thread / 32];
    warp.given[place.thread % 32] = mine;
    warp.kind[place.thread % 32] = kind;
    leave(State::at_exchange);
    return warps_[place.thread / 32].seen;
  }

  void* shared_memory(const void* key, std::size_t bytes) {
    for (const Allocation& allocation : shared_) {
      if (allocation.key == key && allocation.bytes == bytes) return allocation.data.get();
    }
    shared_.push_back({key, bytes, poisoned(bytes)});
    return shared_.back().data.get();
  }
  void* dynamic_shared_memory() { return dynamic_.get(); }

  std::string where() const {
    return std::string("emulated kernel ") + name_ + ", block " + std::to_string(place.block) + ": ";
  }

 private:
  void make_fibers() {
    warps_.resize(static_cast<std::size_t>(n_threads_ / 32));
    while (static_cast<int>(fibers_.size()) < n_threads_) {
      Fiber& fiber = fibers_.emplace_back();
      fiber.stack = std::unique_ptr<char[]>(new char[kStackBytes]);
      fiber.context.stack = fiber.stack.get();
      fiber.context.stack_bytes = kStackBytes;
      getcontext(&fiber.context.entry);
      fiber.context.entry.uc_stack.ss_sp = fiber.stack.get();
      fiber.context.entry.uc_stack.ss_size = kStackBytes;
      fiber.context.entry.uc_link = nullptr;
      makecontext(&fiber.context.entry, enter_fiber, 0);
    }
  }

  void run_block(bool descending) {
    for (int t = 0; t < n_threads_; ++t) fibers_[t].state = State::ready;
    while (true) {
      for (int i = 0; i < n_threads_; ++i) {
        const int t = descending ? n_threads_ - 1 - i : i;
        if (fibers_[t].state != State::ready) continue;
        place.thread = t;
        jump(scheduler_, fibers_[t].context);
        if (failure_) give_up();
      }
      bool any_ready = false;
      for (int w = 0; w < n_threads_ / 32; ++w) any_ready = exchange_warp(w) || any_ready;
      if (any_ready) continue;
      const int n_done = count(State::done), n_waiting = count(State::at_barrier);
      if (n_done == n_threads_) return;
      if (n_waiting == n_threads_) {
        for (int t = 0; t < n_threads_; ++t) fibers_[t].state = State::ready;
        continue;
      }
      fail(std::to_string(n_waiting) + " of " + std::to_string(n_threads_) + " threads wait at sync_block, " +
           std::to_string(n_done) + " have ended and " + std::to_string(count(State::at_exchange)) +
           " wait for their warp: every thread must come to every barrier.");
    }
  }

  /// Hands out what the lanes gave, once all of them have; true when it did.
  bool exchange_warp(int w) {
    Warp& warp = warps_[w];
    int n_there = 0;
    for (int i = 0; i < 32; ++i) n_there += fibers_[w * 32 + i].state == State::at_exchange ? 1 : 0;
    if (n_there < 32) return false;
    for (int i = 1; i < 32; ++i) {
      if (std::strcmp(warp.kind[i], warp.kind[0]) != 0) {
        fail("lanes of warp " + std::to_string(w) + " meet at different calls: " + warp.kind[0] + " and " +
             warp.kind[i] + ".");
      }
    }
    std::memcpy(warp.seen, warp.given, sizeof warp.seen);
    for (int i = 0; i < 32; ++i) fibers_[w * 32 + i].state = State::ready;
    return true;
  }

  int count(State state) const {
    int n = 0;
    for (int t = 0; t < n_threads_; ++t) n += fibers_[t].state == state ? 1 : 0;
    return n;
  }

  [[noreturn]] void fail(const std::string& what) {
    failure_ = std::make_exception_ptr(LaunchError(where() + what));
    give_up();
  }
  /// The other fibers stand where they were: they are dropped with their stacks.
  [[noreturn]] void give_up() {
    const std::exception_ptr failure = failure_;
    failure_ = nullptr;
    fibers_.clear();
    std::rethrow_exception(failure);
  }

  const char* name_ = "";
  const std::function<void()>* kernel_ = nullptr;
  int n_threads_ = 0;
  Context scheduler_;
  std::deque<Fiber> fibers_;
  std::vector<Warp> warps_;
  std::deque<Allocation> shared_;
  std::unique_ptr<unsigned char[]> dynamic_;
  std::exception_ptr failure_;
};

Machine& machine() {
  thread_local Machine mine;
  return mine;
}

void enter_fiber() { machine().enter(); }

}  // namespace

const Place& place() { return machine().place; }
void wait_for_block() { machine().leave(State::at_barrier); }
const std::uint64_t* exchange(std::uint64_t mine, const char* kind) { return machine().exchange(mine, kind); }
void* shared_memory(const void* key, std::size_t bytes) { return machine().shared_memory(key, bytes); }
void* dynamic_shared_memory() { return machine().dynamic_shared_memory(); }
void set_descending(bool descending) { descending_order.store(descending); }

void outside_shared(std::int64_t index, std::int64_t count) {
  throw LaunchError(machine().where() + "index " + std::to_string(index) + " of shared memory of " +
                    std::to_string(count) + " entries.");
}

void run(const char* name, const Geometry& geometry, const std::function<void()>& kernel) {
  if (geometry.threads < 32 || geometry.threads > kMostThreads || geometry.threads % 32 != 0 || geometry.blocks < 0 ||
      geometry.blocks > 0x7fffffff || geometry.shared_bytes > (227 << 10)) {
    throw LaunchError(std::string("emulated kernel ") + name + ": no card takes " + std::to_string(geometry.blocks) +
                      " blocks of " + std::to_string(geometry.threads) + " threads with " +
                      std::to_string(geometry.shared_bytes) + " bytes of shared memory (oneglance uses whole warps).");
  }
  machine().run(name, geometry, kernel);
}

}  // namespace oneglance::simt::emulated

namespace oneglance::simt {

float to_float(Half x) {
  const int exponent = (x.bits >> 10) & 31, fraction = x.bits & 1023;
  const float sign = (x.bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
}

Half to_half(float x) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(x) ? 0x8000 : 0);
  const float size = std::fabs(x);
  if (std::isnan(x)) return {static_cast<std::uint16_t>(sign | 0x7e00)};
  if (size >= 65520.0f) return {static_cast<std::uint16_t>(sign | 0x7c00)};
  if (size < 6.103515625e-05f) {  // subnormal: a multiple of 2^-24
    return {static_cast<std::uint16_t>(sign | static_cast<int>(std::nearbyint(std::ldexp(size, 24))))};
  }
  int exponent = 0;
  const float fraction = std::frexp(size, &exponent);  // in [0.5, 1)
  const auto digits = static_cast<int>(std::nearbyint(std::ldexp(fraction, 11)));
  return {static_cast<std::uint16_t>(sign | (((exponent + 14) << 10) + digits - 1024))};
}

}  // namespace oneglance::simt
