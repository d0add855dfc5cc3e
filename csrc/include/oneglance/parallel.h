#pragma once
#include <cstdint>
#include <functional>

namespace oneglance {

/// Threads that the next parallel section will use: 1 in a forked child of a process that had
/// used threads (a copied OpenMP pool would wait for ever), else set_threads() or the default.
int active_threads();

/// Threads for this process, 1..64. 0 goes back to the default: OMP_NUM_THREADS, or the cores
/// this process may run on.
void set_threads(int n_threads);

/// True when asked from time to time means "stop now". Called on the calling thread only, at
/// most every 0.1 s, so that it may take the GIL.
using StopRequest = std::function<bool()>;

/// Threads worth waking for so many multiply-adds: 1 for work of a fraction of a millisecond, where
/// waiting for a sleeping or preempted thread would cost more than the work.
int worthwhile_threads(double n_multiply_adds);

/// What a lane is told: its number, the slot of the thread that runs it (0..most_threads-1, so that
/// scratch memory can be kept per slot), and whether to go on (cheap to ask).
struct Lane {
  std::int64_t index;
  int slot;
  const std::function<bool()>& keep_going;
};

/// Runs work(lane) for lanes 0..n_lanes-1, each once, started in that order, on at most
/// `most_threads` threads. A lane returns early when keep_going() is false.
/// Throws the first exception of a lane, or Interrupted when `stop` said so.
/// Which thread runs a lane must not change its result: that is what makes answers independent
/// of the number of threads.
void for_each_lane(std::int64_t n_lanes, int most_threads, const StopRequest& stop,
                   const std::function<void(const Lane&)>& work);

}  // namespace oneglance
