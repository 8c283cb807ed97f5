#include "train/ctc_decode.h"

#include <algorithm>

#include "engine/check.h"
#include "train/text_errors.h"

namespace minnow {
namespace {

/// A token's text, with a space for every "▁".
std::string spelled(std::string token) {
  constexpr std::string_view mark = "\u2581";
  for (size_t at = 0; (at = token.find(mark, at)) != std::string::npos;)
    token.replace(at, mark.size(), 1, ' ');
  return token;
}

}  // namespace

std::vector<int64_t> greedy_path(const float* log_probs, int64_t frames, int64_t classes) {
  check(frames >= 0 && classes >= 1,
        "greedy_path: frames must be at least 0 and classes at least 1; got {} and {}", frames,
        classes);
  std::vector<int64_t> path;
  int64_t previous = 0;
  for (int64_t t = 0; t < frames; ++t) {
    const float* frame = log_probs + t * classes;
    const int64_t best = std::max_element(frame, frame + classes) - frame;
    if (best != 0 && best != previous) path.push_back(best);
    previous = best;
  }
  return path;
}

std::string text_of(const std::vector<int64_t>& ids, const std::vector<std::string>& tokens) {
  std::string text;
  for (const int64_t id : ids) {
    check(id >= 0 && id < std::ssize(tokens), "text_of: ids must lie in [0, {}); got {}",
          tokens.size(), id);
    if (id != 0) text += spelled(tokens[static_cast<size_t>(id)]);
  }
  return single_spaced(text);
}

}  // namespace minnow
