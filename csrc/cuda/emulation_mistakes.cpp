#include "emulation.h"
#include "simt.h"

namespace oneglance::simt::emulated {
namespace {

SIMT_KERNEL wrong_kernel(int how) {
  SIMT_SHARED(int, values, 64);
  values[thread()] = thread();
  if (how == 0 && thread() >= 40) return;
  if (how == 1) {
    if (lane() < 16) {
      shuffle(1, 0);
    } else {
      ballot(true);
    }
  }
  if (how == 2) values[thread() + 1] = 0;
  sync_block();
}

}  // namespace

void miss_a_barrier(int how) { launch("wrong_kernel", wrong_kernel, Geometry{1, 64, 0}, 0, how); }

}  // namespace oneglance::simt::emulated
