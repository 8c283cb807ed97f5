#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace minnow {

/// Whether the bytes are UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing above
/// U+10FFFF.
inline bool is_utf8(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const auto at = [&](size_t k) {
      return static_cast<uint8_t>(i + k < bytes.size() ? bytes[i + k] : 0);
    };
    const uint8_t lead = at(0);
    const size_t more = lead < 0x80 ? 0 : lead < 0xc2 ? 4 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (more == 4 || lead > 0xf4) return false;
    for (size_t k = 1; k <= more; ++k) {
      if ((at(k) & 0xc0) != 0x80) return false;
    }
    if ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) > 0x9f)) return false;
    if ((lead == 0xf0 && at(1) < 0x90) || (lead == 0xf4 && at(1) > 0x8f)) return false;
    i += more + 1;
  }
  return true;
}

/// The text as it is where it is UTF-8; otherwise what it says in Latin-1, as UTF-8.
inline std::string as_utf8(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xc0 | byte >> 6);
      text += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return text;
}

}  // namespace minnow
