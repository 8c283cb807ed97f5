#pragma once

#include <cstdint>
#include <string_view>

namespace minnow {

inline constexpr uint32_t kCrc32 = 0xEDB88320;   ///< of gzip and PNG
inline constexpr uint32_t kCrc32c = 0x82F63B78;  ///< Castagnoli's, of TFRecord

/// The cyclic redundancy check of 32 bits, least significant bit first, begun with ones and
/// inverted at the end. A bit at a time: for kilobytes.
inline uint32_t crc32(std::string_view bytes, uint32_t polynomial) {
  uint32_t rest = ~uint32_t{0};
  for (const char byte : bytes) {
    rest ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ ((rest & 1) != 0 ? polynomial : 0);
  }
  return ~rest;
}

}  // namespace minnow
