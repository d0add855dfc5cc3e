#include "oneglance/mask_coder.h"

#include <array>
#include <cstring>

#include "bit_arithmetic.h"
#include "byte_rans.h"
#include "byte_stream.h"
#include "oneglance/mask_kernels.h"

namespace oneglance {
namespace {

/// Eight tables of the CRC-32 of zip files (polynomial 0xedb88320, reflected), for eight bytes at a time.
using CrcTables = std::array<std::array<std::uint32_t, 256>, 8>;

CrcTables crc_tables() {
  CrcTables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int k = 0; k < 8; ++k) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
    }
  }
  return tables;
}

/// Of bytes that follow those with the checksum `before`; 0 for none.
std::uint32_t crc32(const std::uint8_t* bytes, std::int64_t size, std::uint32_t before) {
  static const CrcTables tables = crc_tables();
  std::uint32_t crc = ~before;
  std::int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes + i, sizeof word);
    word ^= crc;
    crc = 0;
    for (std::size_t k = 0; k < 8; ++k) crc ^= tables[7 - k][(word >> (8 * k)) & 0xff];
  }
  for (; i < size; ++i) crc = (crc >> 8) ^ tables[0][(crc ^ bytes[i]) & 0xff];
  return ~crc;
}

std::uint32_t crc32(const std::vector<std::uint8_t>& bytes, std::uint32_t before) {
  return crc32(bytes.data(), static_cast<std::int64_t>(bytes.size()), before);
}

std::vector<std::uint8_t> payload_of(MaskCoder coder, const MaskBits& mask) {
  std::vector<std::uint8_t> out;
  switch (coder) {
    case MaskCoder::raw:
      out.assign(mask.bits, mask.bits + (mask.n + 7) / 8);
      break;
    case MaskCoder::bytes:
      encode_bytes(mask.bits, mask.n, mask.ones, out);
      break;
    case MaskCoder::adaptive:
      encode_adaptive(mask.bits, mask.n, mask.ones, nullptr, out);
      break;
    case MaskCoder::magnitude:
      encode_adaptive(mask.bits, mask.n, mask.ones, mask.weights, out);
      break;
  }
  return out;
}

/// The checksum covers the bits, then all of the stream but itself.
std::vector<std::uint8_t> stream_of(MaskCoder coder, const MaskBits& mask, const std::vector<std::uint8_t>& payload) {
  std::vector<std::uint8_t> out{static_cast<std::uint8_t>(coder)};
  put_number(static_cast<std::uint64_t>(mask.n), out);
  put_number(static_cast<std::uint64_t>(mask.ones), out);
  put_u32(crc32(payload, crc32(out, crc32(mask.bits, (mask.n + 7) / 8, 0))), out);
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

void decode_payload(MaskCoder coder, ByteReader& in, std::int64_t n, const float* weights, DecodedMask& decoded) {
  const auto n_bytes = static_cast<std::int64_t>(decoded.bits.size());
  switch (coder) {
    case MaskCoder::raw:
      std::memcpy(decoded.bits.data(), in.take(n_bytes), decoded.bits.size());
      break;
    case MaskCoder::bytes:
      decode_bytes(in, n, decoded.ones, decoded.bits.data());
      break;
    case MaskCoder::adaptive:
      decode_adaptive(in, n, decoded.ones, nullptr, decoded.bits.data());
      break;
    case MaskCoder::magnitude:
      if (weights == nullptr) throw BadStream("it was coded with the base's weights, which are needed to read it");
      decode_adaptive(in, n, decoded.ones, weights, decoded.bits.data());
      break;
  }
}

void decode_into(ByteReader& in, std::int64_t n, const float* weights, DecodedMask& decoded) {
  const std::uint8_t* const header = in.at();
  const std::uint8_t id = in.byte();
  if (id > static_cast<std::uint8_t>(MaskCoder::magnitude)) throw BadStream("its coder is not known here");
  const std::int64_t stated = in.number();
  decoded.ones = in.number();
  const std::int64_t header_size = in.at() - header;
  const std::uint32_t crc = in.u32();
  if (stated != n) {
    throw BadStream("it holds " + std::to_string(stated) + " weights where " + std::to_string(n) + " were needed");
  }
  if (decoded.ones > n) throw BadStream("it has more ones than weights");
  const std::uint8_t* const payload = in.at();
  const std::int64_t payload_size = in.left();
  const auto n_bytes = (n + 7) / 8;
  const auto unused = static_cast<std::uint8_t>(n % 8 == 0 ? 0 : 0xffu << (n % 8));
  decoded.bits.assign(static_cast<std::size_t>(n_bytes), decoded.ones == n ? 0xff : 0);
  if (decoded.ones != 0 && decoded.ones != n) {
    decode_payload(static_cast<MaskCoder>(id), in, n, weights, decoded);
  } else if (n != 0) {
    decoded.bits.back() &= static_cast<std::uint8_t>(~unused);
  }
  if (in.left() != 0) throw BadStream("bytes are left over");
  const std::uint8_t* const bits = decoded.bits.data();
  if (crc32(payload, payload_size, crc32(header, header_size, crc32(bits, n_bytes, 0))) != crc ||
      (n_bytes != 0 && (decoded.bits.back() & unused) != 0) || mask_kernels().popcount(bits, n_bytes) != decoded.ones) {
    throw BadStream("its checksum is another");
  }
}

}  // namespace

std::vector<std::uint8_t> encode_mask(const MaskBits& mask, const CoderChoice& choice) {
  if (mask.ones == 0 || mask.ones == mask.n) return stream_of(MaskCoder::raw, mask, {});  // ones and n say it all
  std::vector<MaskCoder> coders = choice.coders;
  if (mask.n <= choice.adaptive_up_to) coders.push_back(MaskCoder::adaptive);
  MaskCoder best = coders.front();
  std::vector<std::uint8_t> shortest;
  for (const MaskCoder coder : coders) {
    if (coder == MaskCoder::magnitude && mask.weights == nullptr) continue;
    std::vector<std::uint8_t> payload = payload_of(coder, mask);
    if (!shortest.empty() && payload.size() >= shortest.size()) continue;
    shortest = std::move(payload);
    best = coder;
  }
  return stream_of(best, mask, shortest);
}

DecodedMask decode_mask(const std::uint8_t* stream, std::int64_t size, std::int64_t n, const float* weights) {
  DecodedMask decoded;
  try {
    ByteReader in(stream, size);
    decode_into(in, n, weights, decoded);
  } catch (const BadStream& error) {
    decoded.error = error.what();
  }
  return decoded;
}

}  // namespace oneglance
