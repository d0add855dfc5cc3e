#include "byte_rans.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace oneglance {
namespace {

constexpr int kScaleBits = 14;  // probabilities in units of 2^-14; the table of slots is 16 kB
constexpr std::uint32_t kScale = 1u << kScaleBits;
constexpr std::uint32_t kLowest = 1u << 16;  // states lie in 2^16 .. 2^32 - 1 and move by 16 bits
constexpr int kClasses = 9;                  // a byte's class: its number of ones
constexpr std::array<std::int64_t, kClasses> kMembers{1, 8, 28, 56, 70, 56, 28, 8, 1};
constexpr int kMostStates = 4;  // states that take turns, so that one need not wait for the other
constexpr std::int64_t kFewSymbols = 8192;

using Frequencies = std::array<std::uint32_t, kClasses>;  // of each byte of a class

int class_of(int byte) {
  int ones = 0;
  for (; byte != 0; byte &= byte - 1) ++ones;
  return ones;
}

int states_for(std::int64_t count) { return count < kFewSymbols ? 1 : kMostStates; }

struct Symbol {
  std::uint32_t frequency = 0;
  std::uint32_t start = 0;
};
using Symbols = std::array<Symbol, 256>;

/// Bytes in the order of their classes, then of their values. Throws BadStream where they do not fit.
Symbols symbols_of(const Frequencies& frequencies) {
  Symbols symbols;
  std::uint64_t start = 0;
  for (int k = 0; k < kClasses; ++k) {
    for (int byte = 0; byte < 256; ++byte) {
      if (class_of(byte) != k) continue;
      symbols[static_cast<std::size_t>(byte)] = {frequencies[static_cast<std::size_t>(k)],
                                                 static_cast<std::uint32_t>(start)};
      start += frequencies[static_cast<std::size_t>(k)];
      if (start > kScale) throw BadStream("its frequencies are too large");
    }
  }
  return symbols;
}

/// As near to the counts as whole numbers allow, none 0 that occurs; what rounding leaves goes to the largest class.
Frequencies frequencies_of(const std::array<std::int64_t, kClasses>& counts) {
  std::array<bool, kClasses> least{};  // those that get the least there is, 1
  Frequencies frequencies{};
  for (bool changed = true; changed;) {
    changed = false;
    std::int64_t room = kScale, total = 0;
    for (std::size_t k = 0; k < kClasses; ++k) (least[k] ? room : total) += least[k] ? -kMembers[k] : counts[k];
    for (std::size_t k = 0; k < kClasses; ++k) {
      if (counts[k] == 0 || least[k]) continue;
      frequencies[k] = static_cast<std::uint32_t>(counts[k] * room / (total * kMembers[k]));
      if (frequencies[k] == 0) least[k] = changed = true;
    }
  }
  std::int64_t left = kScale;
  for (std::size_t k = 0; k < kClasses; ++k) {
    if (least[k]) frequencies[k] = 1;
    left -= frequencies[k] * kMembers[k];
  }
  const auto largest = static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
  frequencies[largest] += static_cast<std::uint32_t>(left / kMembers[largest]);
  return frequencies;
}

void encode_symbols(const std::uint8_t* bytes, std::int64_t count, std::vector<std::uint8_t>& out) {
  std::array<std::array<std::int64_t, 256>, 4> seen{};  // four, so that equal bytes do not wait for each other
  for (std::int64_t i = 0; i < count; ++i) ++seen[static_cast<std::size_t>(i & 3)][bytes[i]];
  std::array<std::int64_t, kClasses> counts{};
  for (int byte = 0; byte < 256; ++byte) {
    for (const auto& part : seen) {
      counts[static_cast<std::size_t>(class_of(byte))] += part[static_cast<std::size_t>(byte)];
    }
  }
  const Frequencies frequencies = frequencies_of(counts);
  std::size_t n_listed = kClasses;
  while (frequencies[n_listed - 1] == 0) --n_listed;
  put_number(n_listed, out);
  for (std::size_t k = 0; k < n_listed; ++k) put_number(frequencies[k], out);
  const Symbols symbols = symbols_of(frequencies);

  // Backwards, as the decoder takes the last number in first.
  const int n_states = states_for(count);
  std::array<std::uint32_t, kMostStates> states;
  states.fill(kLowest);
  std::vector<std::uint16_t> words(static_cast<std::size_t>(count) + 1);
  std::uint16_t* first = words.data() + words.size();
  const auto push = [&](std::uint32_t& state, std::uint8_t byte) {
    const Symbol symbol = symbols[byte];
    const bool full = state >= static_cast<std::uint64_t>(symbol.frequency) << (32 - kScaleBits);
    first[-1] = static_cast<std::uint16_t>(state);  // counts only where it is full: no branch to guess
    first -= full ? 1 : 0;
    const std::uint32_t x = full ? state >> 16 : state;
    state = ((x / symbol.frequency) << kScaleBits) + x % symbol.frequency + symbol.start;
  };
  std::int64_t i = count;
  for (; i % kMostStates != 0 || (n_states == 1 && i > 0); --i) {
    push(states[static_cast<std::size_t>((i - 1) & (n_states - 1))], bytes[i - 1]);
  }
  auto [a, b, c, d] = states;
  for (; i > 0; i -= kMostStates) {
    push(d, bytes[i - 1]);
    push(c, bytes[i - 2]);
    push(b, bytes[i - 3]);
    push(a, bytes[i - 4]);
  }
  states = {a, b, c, d};
  for (int k = 0; k < n_states; ++k) put_u32(states[static_cast<std::size_t>(k)], out);
  const auto n_words = static_cast<std::size_t>(words.data() + words.size() - first);
  const std::size_t before = out.size();
  out.resize(before + 2 * n_words);
  if (n_words != 0) std::memcpy(out.data() + before, first, 2 * n_words);
}

void decode_symbols(ByteReader& in, std::int64_t count, std::uint8_t* bytes) {
  Frequencies frequencies{};
  const std::int64_t n_listed = in.number();
  if (n_listed > kClasses) throw BadStream("it lists too many frequencies");
  for (std::int64_t k = 0; k < n_listed; ++k) {
    const std::int64_t number = in.number();
    if (number > kScale) throw BadStream("a frequency in it is too large");
    frequencies[static_cast<std::size_t>(k)] = static_cast<std::uint32_t>(number);
  }
  const Symbols symbols = symbols_of(frequencies);
  std::vector<std::uint8_t> owner(kScale);
  std::uint32_t used = 0;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::fill_n(owner.begin() + symbols[byte].start, symbols[byte].frequency, static_cast<std::uint8_t>(byte));
    used += symbols[byte].frequency;
  }
  const int n_states = states_for(count);
  std::array<std::uint32_t, kMostStates> states{};
  for (int k = 0; k < n_states; ++k) states[static_cast<std::size_t>(k)] = in.u32();

  std::uint32_t unused = 0;  // slots of no symbol are looked at once, at the end
  const auto next = [&](std::uint32_t& state, std::uint8_t& byte) {
    const std::uint32_t slot = state & (kScale - 1);
    unused |= static_cast<std::uint32_t>(slot >= used);
    byte = owner[slot];
    const Symbol symbol = symbols[byte];
    state = symbol.frequency * (state >> kScaleBits) + slot - symbol.start;
  };
  const auto refilled = [](std::uint32_t state, const std::uint8_t* from) {
    std::uint16_t word;
    std::memcpy(&word, from, sizeof word);
    return state << 16 | word;
  };
  std::int64_t i = 0;
  if (n_states == kMostStates) {
    auto [a, b, c, d] = states;
    while (i + kMostStates <= count && in.left() >= 2 * kMostStates) {
      next(a, bytes[i]);
      next(b, bytes[i + 1]);
      next(c, bytes[i + 2]);
      next(d, bytes[i + 3]);
      i += kMostStates;
      const std::uint8_t* from = in.at();
      for (std::uint32_t* state : {&a, &b, &c, &d}) {
        const bool low = *state < kLowest;
        const std::uint32_t more = refilled(*state, from);
        *state = low ? more : *state;
        from += low ? 2 : 0;
      }
      in.take(from - in.at());
    }
    states = {a, b, c, d};
  }
  for (; i < count; ++i) {
    std::uint32_t& state = states[static_cast<std::size_t>(i & (n_states - 1))];
    next(state, bytes[i]);
    if (state < kLowest) state = refilled(state, in.take(2));
  }
  if (unused != 0) throw BadStream("a symbol in it does not exist");
  for (int k = 0; k < n_states; ++k) {
    if (states[static_cast<std::size_t>(k)] != kLowest) throw BadStream("it does not end where it began");
  }
}

/// Where ones are so rare that most bytes are 0, a first mask says which are not.
bool rare(std::int64_t n, std::int64_t ones) { return n >= 256 && ones <= n / 32; }

/// `bits` with few ones.
void encode_minority(const std::uint8_t* bits, std::int64_t n, std::int64_t ones, std::vector<std::uint8_t>& out) {
  const std::int64_t n_bytes = (n + 7) / 8;
  if (!rare(n, ones)) return encode_symbols(bits, n_bytes, out);
  std::vector<std::uint8_t> occupied(static_cast<std::size_t>((n_bytes + 7) / 8), 0), others;
  others.reserve(static_cast<std::size_t>(ones));
  for (std::int64_t i = 0; i < n_bytes; ++i) {
    if (bits[i] == 0) continue;
    occupied[static_cast<std::size_t>(i / 8)] |= static_cast<std::uint8_t>(1u << (i % 8));
    others.push_back(bits[i]);
  }
  const auto n_others = static_cast<std::int64_t>(others.size());
  put_number(static_cast<std::uint64_t>(n_others), out);
  encode_minority(occupied.data(), n_bytes, n_others, out);
  encode_symbols(others.data(), n_others, out);
}

void decode_minority(ByteReader& in, std::int64_t n, std::int64_t ones, std::uint8_t* bits) {
  const std::int64_t n_bytes = (n + 7) / 8;
  if (!rare(n, ones)) return decode_symbols(in, n_bytes, bits);
  const std::int64_t n_others = in.number();
  if (n_others < 1 || n_others > ones) throw BadStream("a count in it is impossible");
  std::vector<std::uint8_t> occupied(static_cast<std::size_t>((n_bytes + 7) / 8));
  decode_minority(in, n_bytes, n_others, occupied.data());
  std::vector<std::uint8_t> others(static_cast<std::size_t>(n_others));
  decode_symbols(in, n_others, others.data());
  std::size_t at = 0;
  for (std::int64_t i = 0; i < n_bytes; ++i) {
    const bool here = ((occupied[static_cast<std::size_t>(i / 8)] >> (i % 8)) & 1) != 0;
    if (here && at == others.size()) throw BadStream("a count in it is wrong");
    bits[i] = here ? others[at++] : static_cast<std::uint8_t>(0);
    if (here && bits[i] == 0) throw BadStream("a byte in it is impossible");
  }
  if (at != others.size()) throw BadStream("a count in it is wrong");
}

/// Ones and zeros change places, but for the bits after the last weight.
void invert(const std::uint8_t* from, std::int64_t n, std::uint8_t* to) {
  const std::int64_t n_bytes = (n + 7) / 8;
  for (std::int64_t i = 0; i < n_bytes; ++i) to[i] = static_cast<std::uint8_t>(~from[i]);
  if (n % 8 != 0) to[n_bytes - 1] &= static_cast<std::uint8_t>((1u << (n % 8)) - 1);
}

}  // namespace

void encode_bytes(const std::uint8_t* bits, std::int64_t n, std::int64_t ones, std::vector<std::uint8_t>& out) {
  if (2 * ones <= n) return encode_minority(bits, n, ones, out);
  std::vector<std::uint8_t> inverted(static_cast<std::size_t>((n + 7) / 8));
  invert(bits, n, inverted.data());
  encode_minority(inverted.data(), n, n - ones, out);
}

void decode_bytes(ByteReader& in, std::int64_t n, std::int64_t ones, std::uint8_t* bits) {
  const bool few = 2 * ones <= n;
  decode_minority(in, n, few ? ones : n - ones, bits);
  if (!few) invert(bits, n, bits);
}

}  // namespace oneglance
