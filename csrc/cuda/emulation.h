#pragma once

namespace oneglance::simt::emulated {

/// Threads and blocks in ascending order (the default), or in descending order: an answer that depends on it has a
/// race.
void set_descending(bool descending);

/// Runs a kernel with a mistake that the emulation must find: 0 some threads leave before a barrier, 1 lanes of a warp
/// meet at different calls, 2 an index outside shared memory. Throws LaunchError. For the tests of the emulation.
void miss_a_barrier(int how);

}  // namespace oneglance::simt::emulated
