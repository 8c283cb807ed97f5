#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/study/variants.h"

namespace minnow::study {

struct DomainsOptions {
  int64_t micro_batch = 8;
  double imbalance = 20;   ///< of the unbalanced mixture, as data.imbalance
  std::string alone = {};  ///< the domain to train on alone; empty: the largest of the unbalanced
  Budget budget = {};
  Runs::Options runs = {};
};

/// Training data of one composition, and the ways to train on them that were compared.
struct Mixture {
  std::string name;                  ///< "balanced", "unbalanced", "alone"
  std::vector<std::string> domains;  ///< the largest first; equal ones in the data's order
  std::vector<int64_t> examples;     ///< for training, of each of them
  std::vector<Compared> variants = {};

  /// nullptr where the mixture has no such variant.
  const Compared* find(const std::string& variant) const;
};

/// Names of the variants: plain training; the minimum over micro-batches as they come; over
/// micro-batches of one domain each; and the minimum within each domain.
inline constexpr const char* kPlain = "plain";
inline constexpr const char* kMixed = "min";
inline constexpr const char* kOneDomain = "one-domain";
inline constexpr const char* kScope = "domain-scope";

/// The three mixtures; the last, of one domain, has the first two variants alone, for the others
/// are the second. Nothing where the user interrupted it. Error for data without domains, and as
/// Runs and compare() throw.
std::optional<std::vector<Mixture>> study_domains(const std::vector<std::string>& arguments,
                                                  const DomainsOptions& options,
                                                  const std::filesystem::path& folder);

/// The mean of a variant's accuracies over `domains`, run by run, in their last evaluations; 0 of a
/// run that diverged.
std::vector<double> accuracies(const Compared& variant, const std::vector<std::string>& domains);

}  // namespace minnow::study
