#include "train/ctc_decode.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <unordered_map>

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

constexpr double impossible = -std::numeric_limits<double>::infinity();

/// ln(e^a + e^b)
double log_add(double a, double b) {
  const double larger = std::max(a, b);
  if (larger == impossible) return impossible;
  return larger + std::log1p(std::exp(std::min(a, b) - larger));
}

/// A token sequence as a path in a tree. Equal sequences are one node, also where one is left and
/// met again: else their probabilities would not add up.
struct Prefix {
  int64_t parent = -1;
  int64_t token = 0;
};

/// A prefix in the beam, with ln of the probabilities of its alignments with the frames so far.
struct Entry {
  int64_t prefix = 0;
  double blank = impossible;  ///< of those that end in a blank
  double token = impossible;  ///< of those that end in the prefix's last token

  double both() const { return log_add(blank, token); }
};

/// What the next frame makes of an entry: itself, or longer by one token.
struct Candidate {
  int64_t entry = 0;
  int64_t added = 0;  ///< the token; 0 where the prefix stays
  double blank = impossible;
  double token = impossible;
  double score = impossible;
};

class BeamSearch {
 public:
  BeamSearch(int64_t classes, const BeamOptions& options) : classes_(classes), options_(options) {}

  /// False where no prefix is possible any more.
  bool step(const float* log_probs);
  std::vector<Hypothesis> best() const;

 private:
  const Prefix& prefix(const Entry& entry) const {
    return prefixes_[static_cast<size_t>(entry.prefix)];
  }
  std::vector<int64_t> entries_of_children() const;
  std::vector<Candidate> candidates(const float* log_probs) const;
  int64_t child(int64_t parent, int64_t token);
  std::vector<int64_t> tokens_of(int64_t prefix) const;

  int64_t classes_;
  BeamOptions options_;
  std::vector<Prefix> prefixes_{Prefix{}};
  std::unordered_map<int64_t, int64_t> children_;  ///< of parent * classes + token
  std::vector<Entry> beam_{Entry{.blank = 0}};     ///< the empty prefix
};

/// [entries, classes]: which entry is another one with a token added; -1 where none is.
std::vector<int64_t> BeamSearch::entries_of_children() const {
  std::unordered_map<int64_t, int64_t> entries;
  for (const Entry& entry : beam_) entries.emplace(entry.prefix, std::ssize(entries));
  std::vector<int64_t> found(beam_.size() * static_cast<size_t>(classes_), -1);
  for (const Entry& entry : beam_) {
    const auto parent = entries.find(prefix(entry).parent);
    if (parent == entries.end()) continue;
    const int64_t at = parent->second * classes_ + prefix(entry).token;
    found[static_cast<size_t>(at)] = entries.at(entry.prefix);
  }
  return found;
}

std::vector<Candidate> BeamSearch::candidates(const float* log_probs) const {
  const std::vector<int64_t> child_entries = entries_of_children();
  std::vector<Candidate> all;
  for (const Entry& entry : beam_) {
    const int64_t last = prefix(entry).token;
    all.push_back({.entry = std::ssize(all),
                   .blank = entry.both() + log_probs[0],
                   .token = last == 0 ? impossible : entry.token + log_probs[last]});
  }
  for (int64_t e = 0; e < std::ssize(beam_); ++e) {
    const Entry& entry = beam_[static_cast<size_t>(e)];
    const double both = entry.both();
    for (int64_t c = 1; c < classes_; ++c) {
      // The last token once more is a new one only after a blank.
      const double added = (c == prefix(entry).token ? entry.blank : both) + log_probs[c];
      const int64_t child = child_entries[static_cast<size_t>(e * classes_ + c)];
      if (child >= 0) {
        double& sum = all[static_cast<size_t>(child)].token;
        sum = log_add(sum, added);
      } else if (added > impossible) {
        all.push_back({.entry = e, .added = c, .token = added});
      }
    }
  }
  for (Candidate& one : all) one.score = log_add(one.blank, one.token);
  std::erase_if(all, [](const Candidate& one) { return one.score == impossible; });
  return all;
}

int64_t BeamSearch::child(int64_t parent, int64_t token) {
  const auto [found, made] = children_.emplace(parent * classes_ + token, std::ssize(prefixes_));
  if (made) prefixes_.push_back({parent, token});
  return found->second;
}

bool BeamSearch::step(const float* log_probs) {
  std::vector<Candidate> all = candidates(log_probs);
  const auto kept = all.begin() + std::min(options_.width, std::ssize(all));
  std::partial_sort(all.begin(), kept, all.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(-a.score, a.entry, a.added) < std::tuple(-b.score, b.entry, b.added);
  });
  std::vector<Entry> next;
  for (auto one = all.begin(); one != kept; ++one) {
    const int64_t from = beam_[static_cast<size_t>(one->entry)].prefix;
    next.push_back({one->added == 0 ? from : child(from, one->added), one->blank, one->token});
  }
  beam_ = std::move(next);
  return !beam_.empty();
}

std::vector<int64_t> BeamSearch::tokens_of(int64_t prefix) const {
  std::vector<int64_t> tokens;
  for (; prefix != 0; prefix = prefixes_[static_cast<size_t>(prefix)].parent)
    tokens.push_back(prefixes_[static_cast<size_t>(prefix)].token);
  std::reverse(tokens.begin(), tokens.end());
  return tokens;
}

std::vector<Hypothesis> BeamSearch::best() const {
  std::vector<Hypothesis> all;
  for (const Entry& entry : beam_) all.push_back({tokens_of(entry.prefix), entry.both()});
  std::stable_sort(all.begin(), all.end(),
                   [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
  return all;
}

void check_log_probs(const char* where, const float* frame, int64_t classes, int64_t t) {
  for (int64_t c = 0; c < classes; ++c) {
    check(frame[c] < std::numeric_limits<float>::infinity(),
          "{}: log-probabilities must be finite or -inf; class {} of frame {} has {}", where, c, t,
          frame[c]);
  }
}

void check_sizes(const char* where, int64_t frames, int64_t classes) {
  check(frames >= 0 && classes >= 1,
        "{}: frames must be at least 0 and classes at least 1; got {} and {}", where, frames,
        classes);
}

}  // namespace

std::vector<int64_t> greedy_path(const float* log_probs, int64_t frames, int64_t classes) {
  check_sizes("greedy_path", frames, classes);
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

std::vector<Hypothesis> beam_search(const float* log_probs, int64_t frames, int64_t classes,
                                    const BeamOptions& options) {
  check_sizes("beam_search", frames, classes);
  check(options.width >= 1, "beam_search: width must be at least 1; got {}", options.width);
  BeamSearch search(classes, options);
  for (int64_t t = 0; t < frames; ++t) {
    const float* frame = log_probs + t * classes;
    check_log_probs("beam_search", frame, classes, t);
    check(search.step(frame), "beam_search: frame {} leaves no token sequence possible", t);
  }
  return search.best();
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
