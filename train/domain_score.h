#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "train/text_errors.h"

namespace minnow {

/// The share of right answers, or the errors in transcripts, in each domain of a data set.
struct DomainScore {
  std::vector<std::string> names;  ///< Dataset::domains()
  std::vector<int64_t> examples = {}, correct = {};
  std::vector<TextScore> texts = {};  ///< in place of these two where there are transcripts

  void add(int64_t domain, bool right);
  void add(int64_t domain, const TextScore& text);
  /// Whether there is more than the data set as a whole.
  bool several() const { return names.size() > 1; }
};

/// {name: share}, of transcripts {name: word error rate}; null for a domain without examples.
nlohmann::json domain_record(const DomainScore& score);
/// One line for each domain: name, examples, correct ones, their share ("-" without examples); of
/// transcripts name, examples, words, and the error rates of words and characters.
std::string domain_table(const DomainScore& score);

}  // namespace minnow
