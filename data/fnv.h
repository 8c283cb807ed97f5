#pragma once

#include <cstdint>
#include <string_view>

namespace minnow {

/// A hash that finds accidents, FNV-1a of 64 bits; no protection against forgery. Source: Fowler,
/// Noll and Vo, RFC 9923.
inline uint64_t fnv1a(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace minnow
