#include "train/study/domains.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "engine/check.h"
#include "train/task.h"

namespace minnow::study {
namespace {

/// What the domains of the training data are and how many examples they have.
Mixture mixture_of(const std::string& name, const Config& config) {
  const auto data = open_data(config, Split::train, true);
  const std::vector<std::string> names = data->domains();
  std::vector<int64_t> counts(names.size(), 0), order(names.size());
  for (int64_t i = 0; i < data->size(); ++i) ++counts[static_cast<size_t>(data->get(i, 0).domain)];
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return counts[a] > counts[b]; });
  Mixture mixture{name, {}, {}};
  for (const int64_t d : order) {
    mixture.domains.push_back(names[d]);
    mixture.examples.push_back(counts[d]);
  }
  return mixture;
}

std::vector<Variant> variants_of(const std::string& mixture, Config config, int64_t micro_batch) {
  std::vector<Variant> variants;
  const auto add = [&](const char* name) {
    variants.push_back({fmt::format("{}_{}", mixture, name), config});
  };
  config.clip.rule = "none";
  config.clip.group = "runs";
  config.clip.scope = "global";
  add(kPlain);
  config.clip.rule = "min";
  config.clip.micro_batch = micro_batch;
  add(kMixed);
  if (mixture == "alone") return variants;
  config.clip.group = "domain";
  add(kOneDomain);
  config.clip.scope = "domain";
  add(kScope);
  return variants;
}

Config with(Config config, double imbalance, std::vector<int64_t> per_domain,
            std::vector<std::string> domains) {
  auto& reviews = config.data.set.reviews;
  reviews.imbalance = imbalance;
  reviews.per_domain = std::move(per_domain);
  reviews.domains = std::move(domains);
  return config;
}

Config checked_config(const std::vector<std::string>& arguments, const DomainsOptions& options) {
  Config config = study_config(arguments);
  check(config.data.set.name == "reviews",
        "data.name: the study needs domains, which reviews has; got {}", config.data.set.name);
  check(
      config.data.set.reviews.imbalance == 1 && config.data.set.reviews.per_domain.size() <= 1,
      "data.per_domain, data.imbalance: the study mixes the domains itself; --imbalance says how");
  check(options.imbalance > 1, "--imbalance: must be above 1; got {}", options.imbalance);
  check(options.micro_batch >= 1 && options.micro_batch <= config.train.batch,
        "--micro-batch: must be from 1 to train.batch = {}; got {}", config.train.batch,
        options.micro_batch);
  return config;
}

}  // namespace

const Compared* Mixture::find(const std::string& variant) const {
  for (const Compared& compared : variants) {
    if (compared.variant.name == name + "_" + variant) return &compared;
  }
  return nullptr;
}

std::optional<std::vector<Mixture>> study_domains(const std::vector<std::string>& arguments,
                                                  const DomainsOptions& options,
                                                  const std::filesystem::path& folder) {
  const Config config = checked_config(arguments, options);
  const auto& reviews = config.data.set.reviews;
  const Config unbalanced = with(config, options.imbalance, reviews.per_domain, reviews.domains);
  std::vector<Mixture> mixtures{mixture_of("unbalanced", unbalanced)};
  const Mixture& first = mixtures.front();
  const auto count = std::ssize(first.domains);
  check(count > 1, "data.domains: the study needs two or more; got {}", count);
  const std::string alone = options.alone.empty() ? first.domains.front() : options.alone;
  check(std::find(first.domains.begin(), first.domains.end(), alone) != first.domains.end(),
        "--alone: there is no domain {}; there are {}", alone, fmt::join(first.domains, ", "));
  // As many examples in all as the unbalanced mixture has.
  const int64_t total = std::accumulate(first.examples.begin(), first.examples.end(), int64_t{0});
  const std::vector<Config> configs{
      unbalanced, with(config, 1, {std::max<int64_t>(1, total / count)}, reviews.domains),
      with(config, 1, reviews.per_domain, {alone})};
  mixtures.push_back(mixture_of("balanced", configs[1]));
  mixtures.push_back(mixture_of("alone", configs[2]));
  Runs runs(folder, options.runs);
  for (size_t i = 0; i < mixtures.size(); ++i) {
    auto compared = compare(runs, variants_of(mixtures[i].name, configs[i], options.micro_batch),
                            options.budget);
    if (!compared) return std::nullopt;
    mixtures[i].variants = std::move(*compared);
  }
  return mixtures;
}

std::vector<double> accuracies(const Compared& variant, const std::vector<std::string>& domains) {
  std::vector<double> values;
  for (const RunResult& result : variant.best.results) {
    const auto& evaluation = result.history.evaluation;
    double sum = 0;
    for (const std::string& domain : domains) {
      if (result.diverged) continue;
      // Of one domain alone there is nothing but the whole.
      sum += evaluation.contains("domains") ? evaluation.at("domains").at(domain).get<double>()
                                            : evaluation.at("top1").get<double>();
    }
    values.push_back(sum / static_cast<double>(domains.size()));
  }
  return values;
}

}  // namespace minnow::study
