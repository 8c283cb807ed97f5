#include "train/domain_score.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace minnow {

void DomainScore::add(int64_t domain, bool right) {
  examples.resize(names.size());
  correct.resize(names.size());
  ++examples[static_cast<size_t>(domain)];
  correct[static_cast<size_t>(domain)] += right ? 1 : 0;
}

void DomainScore::add(int64_t domain, const TextScore& text) {
  texts.resize(names.size());
  texts[static_cast<size_t>(domain)] += text;
}

nlohmann::json domain_record(const DomainScore& score) {
  nlohmann::json record = nlohmann::json::object();
  const auto put = [&](size_t domain, int64_t examples, double value) {
    record[score.names[domain]] = examples == 0 ? nlohmann::json() : nlohmann::json(value);
  };
  for (size_t d = 0; d < score.texts.size(); ++d) {
    put(d, score.texts[d].sentences, score.texts[d].words.rate());
  }
  for (size_t d = 0; d < score.examples.size(); ++d) {
    const int64_t n = score.examples[d];
    put(d, n, static_cast<double>(score.correct[d]) / static_cast<double>(n));
  }
  return record;
}

std::string domain_table(const DomainScore& score) {
  size_t widest = 6;
  for (const std::string& name : score.names) widest = std::max(widest, name.size());
  const auto percent = [](int64_t examples, double share) {
    return examples == 0 ? "-" : fmt::format("{:.2f} %", 100 * share);
  };
  std::string text = fmt::format("{:<{}}  ", "domain", widest);
  text += score.texts.empty() ? "examples   correct  accuracy\n"
                              : "examples     words       WER       CER\n";
  for (size_t d = 0; d < score.texts.size(); ++d) {
    const TextScore& one = score.texts[d];
    text +=
        fmt::format("{:<{}}  {:>8}  {:>8}  {:>8}  {:>8}\n", score.names[d], widest, one.sentences,
                    one.words.reference, percent(one.sentences, one.words.rate()),
                    percent(one.sentences, one.characters.rate()));
  }
  for (size_t d = 0; d < score.examples.size(); ++d) {
    const int64_t n = score.examples[d], right = score.correct[d];
    text += fmt::format("{:<{}}  {:>8}  {:>8}  {:>8}\n", score.names[d], widest, n, right,
                        percent(n, static_cast<double>(right) / static_cast<double>(n)));
  }
  return text;
}

}  // namespace minnow
