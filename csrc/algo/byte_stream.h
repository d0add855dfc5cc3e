#pragma once
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace oneglance {

/// A stream that no encoder wrote.
struct BadStream : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Whole numbers, 7 bits per byte, the lowest first; the highest bit says that more follow.
inline void put_number(std::uint64_t number, std::vector<std::uint8_t>& out) {
  for (; number >= 0x80; number >>= 7) out.push_back(static_cast<std::uint8_t>(number | 0x80));
  out.push_back(static_cast<std::uint8_t>(number));
}

inline void put_u32(std::uint32_t number, std::vector<std::uint8_t>& out) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<std::uint8_t>(number >> shift));
}

/// Reads what the above wrote and never beyond the end.
class ByteReader {
 public:
  ByteReader(const std::uint8_t* from, std::int64_t size) : at_(from), end_(from + size) {}

  std::int64_t left() const { return end_ - at_; }
  const std::uint8_t* at() const { return at_; }

  const std::uint8_t* take(std::int64_t size) {
    if (size > left()) throw BadStream("it ends too early");
    at_ += size;
    return at_ - size;
  }
  std::uint8_t byte() { return *take(1); }
  std::uint32_t u32() {
    const std::uint8_t* from = take(4);
    return from[0] | static_cast<std::uint32_t>(from[1]) << 8 | static_cast<std::uint32_t>(from[2]) << 16 |
           static_cast<std::uint32_t>(from[3]) << 24;
  }
  std::int64_t number() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 56; shift += 7) {
      const std::uint8_t next = byte();
      value |= static_cast<std::uint64_t>(next & 0x7f) << shift;
      if (next < 0x80) {
        if (next == 0 && shift > 0) break;  // a shorter spelling exists
        return static_cast<std::int64_t>(value);
      }
    }
    throw BadStream("a number in it is badly spelled");
  }

 private:
  const std::uint8_t* at_;
  const std::uint8_t* end_;
};

}  // namespace oneglance
