#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace minnow {

/// The share of right answers in each domain of a data set.
struct DomainScore {
  std::vector<std::string> names;  ///< Dataset::domains()
  std::vector<int64_t> examples, correct;

  void add(int64_t domain, bool right);
  /// Whether there is more than the data set as a whole.
  bool several() const { return names.size() > 1; }
};

/// {name: share}, null for a domain without examples.
nlohmann::json domain_record(const DomainScore& score);
/// One line for each domain: name, examples, correct ones, their share ("-" without examples).
std::string domain_table(const DomainScore& score);

}  // namespace minnow
