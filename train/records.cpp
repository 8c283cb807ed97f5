#include "train/records.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "train/confusion.h"

namespace minnow {

double finite_loss(const Tensor& losses, const std::vector<double>& norms, const Grouping& groups) {
  double sum = 0;
  int64_t count = 0;
  for (int64_t j = 0; j < groups.groups(); ++j) {
    if (!std::isfinite(norms[j])) continue;
    for (int64_t i = groups.bounds()[j]; i < groups.bounds()[j + 1]; ++i) {
      sum += losses.data<float>()[i];
      ++count;
    }
  }
  return count == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(count);
}

nlohmann::json step_record(const RunPlace& place, double loss, double lr, const GroupNorms& groups,
                           double examples_per_s) {
  double sum = 0, largest = 0;
  int64_t finite = 0;
  for (double norm : groups.norms) {
    if (!std::isfinite(norm)) continue;
    sum += norm;
    largest = std::max(largest, norm);
    ++finite;
  }
  return {{"kind", "step"},
          {"step", place.step},
          {"epoch", place.epoch},
          {"loss", loss},
          {"lr", lr},
          {"rho", groups.rho},
          {"argmin", groups.argmin},
          {"norm_mean", finite == 0 ? 0 : sum / static_cast<double>(finite)},
          {"norm_max", largest},
          {"ineligible", groups.ineligible},
          {"examples_per_s", examples_per_s}};
}

void add_groups(nlohmann::json& record, const GroupNorms& seen, const Grouping& groups,
                const std::vector<bool>& marked, const Tensor& ids) {
  const auto k = static_cast<size_t>(groups.groups());
  const size_t layers = seen.coefficients.size() / k;
  std::vector<double> coefficients(k, 0.0);
  std::vector<int> holds(k, 0);
  std::vector<int64_t> first(k);
  for (size_t j = 0; j < k; ++j) {
    for (size_t l = 0; l < layers; ++l) coefficients[j] += seen.coefficients[l * k + j];
    coefficients[j] /= static_cast<double>(layers);
    const auto begin = marked.begin() + groups.bounds()[j],
               end = marked.begin() + groups.bounds()[j + 1];
    first[j] = ids.data<int64_t>()[groups.bounds()[j]];
    holds[j] = std::find(begin, end, true) != end ? 1 : 0;
  }
  record["norms"] = seen.norms;
  record["coefficients"] = coefficients;
  record["marked"] = holds;
  if (!groups.domains().empty()) record["domains"] = groups.domains();
  record["ids"] = first;
}

void add_grad_norm(nlohmann::json& record, const Tensor& squared_norms) {
  const std::vector<double> squares = squared_norms.to_vector<double>();
  record["grad_norm"] = std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
}

nlohmann::json score_record(const Score& score) {
  if (!score.text) {
    nlohmann::json record{{"loss", score.loss}, {"top1", score.top1}, {"top5", score.top5}};
    if (score.domains.several()) record["domains"] = domain_record(score.domains);
    return record;
  }
  const auto counts = [](const ErrorCounts& errors) {
    return nlohmann::json{{"substitutions", errors.substitutions},
                          {"deletions", errors.deletions},
                          {"insertions", errors.insertions},
                          {"reference", errors.reference}};
  };
  const TextScore& text = *score.text;
  nlohmann::json record{{"loss", score.loss},
                        {"wer", text.words.rate()},
                        {"cer", text.characters.rate()},
                        {"words", counts(text.words)},
                        {"characters", counts(text.characters)},
                        {"sentences", text.sentences},
                        {"wrong_sentences", text.wrong_sentences},
                        {"impossible", score.impossible}};
  if (score.domains.several()) record["domains"] = domain_record(score.domains);
  return record;
}

nlohmann::json eval_record(const RunPlace& place, const Score& score, bool averaged,
                           const std::vector<std::string>& classes) {
  nlohmann::json record = score_record(score);
  record["kind"] = "eval";
  record["step"] = place.step;
  record["epoch"] = place.epoch;
  if (averaged) record["averaged"] = true;
  if (score.text) return record;
  constexpr size_t most = 100;  // classes: a matrix of a thousand would outweigh all other records
  if (classes.size() > most) return record;
  record["classes"] = classes;
  record["confusion"] = confusion_rows(score);
  return record;
}

nlohmann::json divergence_record(int64_t step, const std::string& why) {
  return {{"kind", "diverged"}, {"step", step}, {"why", why}};
}

}  // namespace minnow
