#include "oneglance/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>

#include "oneglance/check.h"

#if defined(ONEGLANCE_STD_THREADS)
#include <thread>
#include <vector>
#elif defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace oneglance {
namespace {

constexpr int kMaxThreads = 64;  // callers that OpenBLAS keeps a buffer for

std::atomic<int> requested_threads{0};
std::atomic<bool> pool_used{false};
std::atomic<bool> pool_lost_in_fork{false};

// An OpenMP pool does not survive fork(): the child would wait for threads that are not there.
void mark_child() {
  if (pool_used.load()) pool_lost_in_fork.store(true);
}

void watch_forks_once() {
#if defined(__unix__) || defined(__APPLE__)
  static const int registered = pthread_atfork(nullptr, nullptr, mark_child);
  static_cast<void>(registered);
#endif
}

/// Asks at most every tenth of a second, counted over all sections of a thread: many short ones are stopped as well.
bool asked_to_stop(const StopRequest& stop) {
  thread_local std::chrono::steady_clock::time_point last;
  const auto now = std::chrono::steady_clock::now();
  if (!stop || now - last < std::chrono::milliseconds(100)) return false;
  last = now;
  return stop();
}

}  // namespace

int active_threads() {
  if (pool_lost_in_fork.load()) return 1;
  int n_threads = requested_threads.load();
#if defined(ONEGLANCE_STD_THREADS)
  if (n_threads == 0) n_threads = static_cast<int>(std::thread::hardware_concurrency());
#elif defined(_OPENMP)
  if (n_threads == 0) n_threads = omp_get_max_threads();
#endif
  return std::min(std::max(n_threads, 1), kMaxThreads);
}

void set_threads(int n_threads) {
  require(n_threads >= 0 && n_threads <= kMaxThreads,
          "n_threads must lie in 0..64 (0 = default), got " + std::to_string(n_threads) + ".");
  requested_threads.store(n_threads);
}

int worthwhile_threads(double n_multiply_adds) {
  constexpr double kPerThread = 4e6;  // about 0.1 ms of float32 products
  return static_cast<int>(std::clamp(n_multiply_adds / kPerThread, 1.0, static_cast<double>(active_threads())));
}

void for_each_lane(std::int64_t n_lanes, int most_threads, const StopRequest& stop,
                   const std::function<void(const Lane&)>& work) {
  watch_forks_once();
  const int n_threads = static_cast<int>(std::min<std::int64_t>(std::min(most_threads, active_threads()), n_lanes));
  std::atomic<bool> going{true};
  std::atomic<bool> interrupted{false};
  std::exception_ptr failure;
  std::mutex failure_mutex;

  const std::function<bool()> keep_going_calling_thread = [&] {
    if (going.load() && asked_to_stop(stop)) {
      interrupted.store(true);
      going.store(false);
    }
    return going.load();
  };
  const std::function<bool()> keep_going_helper = [&] { return going.load(); };
  const auto run = [&](std::int64_t index, int slot) {
    const auto& keep_going = slot == 0 ? keep_going_calling_thread : keep_going_helper;
    if (!keep_going()) return;
    try {
      work(Lane{index, slot, keep_going});
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failure_mutex);
      if (!failure) failure = std::current_exception();
      going.store(false);
    }
  };

  if (n_threads <= 1) {
    for (std::int64_t lane = 0; lane < n_lanes; ++lane) run(lane, 0);
  } else {
#if defined(ONEGLANCE_STD_THREADS)
    // Thread sanitizer builds: it cannot see the barriers inside libgomp, so it gets plain threads.
    std::atomic<std::int64_t> next{0};
    const auto run_lanes = [&](int slot) {
      for (std::int64_t lane = next++; lane < n_lanes; lane = next++) run(lane, slot);
    };
    std::vector<std::thread> helpers;
    for (int slot = 1; slot < n_threads; ++slot) helpers.emplace_back(run_lanes, slot);
    run_lanes(0);
    for (std::thread& helper : helpers) helper.join();
#elif defined(_OPENMP)
    pool_used.store(true);
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_threads)
    for (std::int64_t lane = 0; lane < n_lanes; ++lane) run(lane, omp_get_thread_num());
#endif
  }
  if (failure) std::rethrow_exception(failure);
  if (interrupted.load()) throw Interrupted();
}

}  // namespace oneglance
