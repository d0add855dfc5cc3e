#pragma once
#include <cstdint>
#include <string>

namespace oneglance::cuda {

/// Devices this process can use; 0 when there is no driver or no card.
int device_count();

struct Card {
  std::string name;
  int capability = 0;  // 90 for 9.0
  int n_processors = 0;
  std::int64_t memory_bytes = 0, l2_bytes = 0;
};

/// Throws LaunchError when there is no such device.
Card card(int device);

/// The device whose memory the address lies in; 0 where it lies in none (an array without elements).
int device_of(std::uintptr_t address);

/// Waits for the stream, and throws LaunchError when anything on it has failed.
void synchronize(std::uintptr_t stream);

}  // namespace oneglance::cuda
