#include "train/domain_score.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace minnow {

void DomainScore::add(int64_t domain, bool right) {
  examples.resize(names.size());
  correct.resize(names.size());
  ++examples[static_cast<size_t>(domain)];
  correct[static_cast<size_t>(domain)] += right ? 1 : 0;
}

nlohmann::json domain_record(const DomainScore& score) {
  nlohmann::json record = nlohmann::json::object();
  for (size_t d = 0; d < score.examples.size(); ++d) {
    const auto n = static_cast<double>(score.examples[d]);
    record[score.names[d]] =
        n == 0 ? nlohmann::json() : nlohmann::json(static_cast<double>(score.correct[d]) / n);
  }
  return record;
}

std::string domain_table(const DomainScore& score) {
  size_t widest = 6;
  for (const std::string& name : score.names) widest = std::max(widest, name.size());
  std::string text = fmt::format("{:<{}}  examples   correct  accuracy\n", "domain", widest);
  for (size_t d = 0; d < score.examples.size(); ++d) {
    const int64_t n = score.examples[d], right = score.correct[d];
    const std::string share =
        n == 0 ? "-"
               : fmt::format("{:.2f} %", 100 * static_cast<double>(right) / static_cast<double>(n));
    text += fmt::format("{:<{}}  {:>8}  {:>8}  {:>8}\n", score.names[d], widest, n, right, share);
  }
  return text;
}

}  // namespace minnow
