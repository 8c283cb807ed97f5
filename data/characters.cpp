#include "data/characters.h"

#include <algorithm>
#include <set>

#include "engine/check.h"

namespace minnow {
namespace {

/// The code point at the start of `text`, whose bytes are then taken off. Error where it is not in
/// the form that Unicode 15, table 3-7 gives.
uint32_t take_code_point(std::string_view& text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  const size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  bool ok = (first < 0x80 || first >= 0xC2) && first <= 0xF4 && text.size() >= length;
  constexpr uint32_t kBits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  uint32_t code = first & kBits[length];
  for (size_t i = 1; ok && i < length; ++i) {
    ok = (byte(i) & 0xC0) == 0x80;
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  ok = ok && code >= kLeast[length] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  check(ok, "is no UTF-8 at the byte {:#04x}", first);
  text.remove_prefix(length);
  return code;
}

std::string utf8(uint32_t code) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xC0 | code >> 6), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xE0 | code >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | code >> 18), tail(12), tail(6), tail(0)};
}

uint32_t lower(uint32_t code) {
  const auto in = [&](uint32_t first, uint32_t last) { return code >= first && code <= last; };
  if (in('A', 'Z')) return code + 0x20;
  if (in(0xC0, 0xDE) && code != 0xD7) return code + 0x20;            // Latin-1
  if (in(0x100, 0x137) || in(0x14A, 0x177)) return code | 1;         // Latin Extended-A
  if (in(0x139, 0x148) || in(0x179, 0x17E)) return code + code % 2;  // likewise
  if (in(0x391, 0x3A9) || in(0x410, 0x42F)) return code + 0x20;      // Greek, Cyrillic
  if (in(0x400, 0x40F)) return code + 0x50;
  return code;
}

bool is_blank(uint32_t code) {
  return code <= ' ' || (code >= 0x7F && code <= 0xA0) || (code >= 0x2000 && code <= 0x200B) ||
         code == 0x3000 || code == 0xFEFF;
}

}  // namespace

std::vector<std::string> letters_of(std::string_view text) {
  std::vector<std::string> letters;
  bool blank = false;
  while (!text.empty()) {
    const uint32_t code = take_code_point(text);
    if (is_blank(code)) {
      blank = true;
      continue;
    }
    if (blank && !letters.empty()) letters.emplace_back(" ");
    blank = false;
    letters.push_back(utf8(lower(code)));
  }
  return letters;
}

std::string cleaned(std::string_view text) {
  std::string joined;
  for (const std::string& letter : letters_of(text)) joined += letter;
  return joined;
}

std::string lower_case(std::string_view text) {
  std::string lowered;
  while (!text.empty()) lowered += utf8(lower(take_code_point(text)));
  return lowered;
}

Characters::Characters(std::span<const std::string> texts) {
  std::set<std::string> found;  // the order of the bytes is that of the code points
  for (const std::string& text : texts) {
    try {
      for (std::string& letter : letters_of(text)) found.insert(std::move(letter));
    } catch (const Error&) {  // whoever asks for the text itself is told
    }
  }
  check(!found.empty(), "characters: the training transcripts hold no letter");
  tokens_.emplace_back("<blank>");
  tokens_.insert(tokens_.end(), found.begin(), found.end());
  for (size_t i = 1; i < tokens_.size(); ++i) indices_[tokens_[i]] = static_cast<int64_t>(i);
}

std::vector<int64_t> Characters::encode(std::string_view text, std::string& unknown) const {
  std::vector<int64_t> target;
  std::string last = " ";  // of what the target has so far: blanks stay single where letters go
  for (const std::string& letter : letters_of(text)) {
    if (letter == " " && last == " ") continue;
    const auto known = indices_.find(letter);
    if (known != indices_.end()) {
      target.push_back(known->second);
      last = letter;
    } else {
      unknown += letter;
    }
  }
  if (!target.empty() && last == " ") target.pop_back();
  return target;
}

int64_t frames_needed(std::span<const int64_t> target) {
  int64_t frames = static_cast<int64_t>(target.size());
  for (size_t i = 1; i < target.size(); ++i) frames += target[i] == target[i - 1];
  return frames;
}

int64_t subsampled_frames(int64_t frames) {
  return frames < 7 ? 0 : ((frames - 1) / 2 - 1) / 2;
}

}  // namespace minnow
