#include "train/ctc_decode.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <unordered_map>

#include "engine/check.h"
#include "train/arpa.h"
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
  const auto [smaller, larger] = std::minmax(a, b);
  if (smaller == impossible) return larger;
  return larger + std::log1p(std::exp(smaller - larger));
}

/// What the words of a prefix add to its score.
struct Words {
  std::vector<int64_t> history;  ///< those before the open one, as far as the model looks back
  std::string open;              ///< the last word, which may go on
  double score = 0;              ///< of the words before it
  double ended = 0;              ///< of all words, if the open one ends here
};

class WordScores {
 public:
  WordScores(const BeamOptions& options, int64_t classes);

  Words start() const;
  Words extended(const Words& words, int64_t token) const;
  /// The score of extended(words, token): that of the words that a further token cannot change.
  double score(const Words& words, int64_t token) const {
    return begins_word(token) ? words.ended : words.score;
  }
  /// The score at the end of the sentence.
  double finished(Words words) const;

 private:
  bool begins_word(int64_t token) const {
    return !spelled_.empty() && spelled_[static_cast<size_t>(token)].starts_with(' ');
  }
  double log_prob(const Words& words, int64_t next) const {
    return options_.weight * options_.model->score(words.history, next);
  }
  void end_word(Words& words) const;

  BeamOptions options_;
  std::vector<std::string> spelled_;  ///< the blank's is empty; none where words do not count
};

WordScores::WordScores(const BeamOptions& options, int64_t classes) : options_(options) {
  check(std::isfinite(options.weight) && std::isfinite(options.word_bonus),
        "beam_search: weight and word_bonus must be finite; got {} and {}", options.weight,
        options.word_bonus);
  if (options.model == nullptr && options.word_bonus == 0) return;
  const int64_t count = options.tokens == nullptr ? 0 : std::ssize(*options.tokens);
  check(
      count == classes,
      "beam_search: a model of words or a word bonus needs a token for each of {} classes; got {}",
      classes, count);
  spelled_.emplace_back();
  for (int64_t c = 1; c < classes; ++c) {
    spelled_.push_back(spelled((*options.tokens)[static_cast<size_t>(c)]));
    check(spelled_.back().find(' ', 1) == std::string::npos,
          "beam_search: a token may have a space only at its beginning; token {} is '{}'", c,
          (*options.tokens)[static_cast<size_t>(c)]);
  }
}

Words WordScores::start() const {
  Words words;
  if (options_.model != nullptr && options_.model->order() > 1)
    words.history.push_back(options_.model->id("<s>"));
  return words;
}

void WordScores::end_word(Words& words) const {
  if (options_.model != nullptr && !words.open.empty()) {
    words.history.push_back(options_.model->id(words.open));
    if (std::ssize(words.history) >= options_.model->order())
      words.history.erase(words.history.begin());
  }
  words.open.clear();
  words.score = words.ended;
}

Words WordScores::extended(const Words& words, int64_t token) const {
  Words longer = words;
  if (spelled_.empty()) return longer;
  if (begins_word(token)) end_word(longer);
  longer.open += spelled_[static_cast<size_t>(token)].substr(begins_word(token) ? 1 : 0);
  longer.ended = longer.score;
  if (longer.open.empty()) return longer;
  longer.ended += options_.word_bonus;
  if (options_.model != nullptr) longer.ended += log_prob(longer, options_.model->id(longer.open));
  return longer;
}

double WordScores::finished(Words words) const {
  end_word(words);
  if (options_.model != nullptr) words.score += log_prob(words, options_.model->id("</s>"));
  return words.score;
}

/// A token sequence as a path in a tree. Equal sequences are one node, also where one is left and
/// met again: else their probabilities would not add up.
struct Prefix {
  int64_t parent = -1;
  int64_t token = 0;
  Words words = {};
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
  BeamSearch(int64_t classes, const BeamOptions& options)
      : classes_(classes), width_(options.width), words_(options, classes) {
    prefixes_.push_back({.words = words_.start()});
  }

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
  int64_t width_;
  WordScores words_;
  std::vector<Prefix> prefixes_;                   ///< the first: the empty one
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
  all.reserve(child_entries.size());
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
  for (Candidate& one : all) {
    const Words& words = prefix(beam_[static_cast<size_t>(one.entry)]).words;
    one.score = log_add(one.blank, one.token) + words_.score(words, one.added);
  }
  std::erase_if(all, [](const Candidate& one) { return one.score == impossible; });
  return all;
}

int64_t BeamSearch::child(int64_t parent, int64_t token) {
  const auto [found, made] = children_.emplace(parent * classes_ + token, std::ssize(prefixes_));
  if (made) {
    const Words& words = prefixes_[static_cast<size_t>(parent)].words;
    prefixes_.push_back({parent, token, words_.extended(words, token)});
  }
  return found->second;
}

bool BeamSearch::step(const float* log_probs) {
  std::vector<Candidate> all = candidates(log_probs);
  const auto kept = all.begin() + std::min(width_, std::ssize(all));
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
  for (const Entry& entry : beam_) {
    const double words = words_.finished(prefix(entry).words);
    all.push_back({tokens_of(entry.prefix), entry.both() + words});
  }
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
