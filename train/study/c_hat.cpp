#include "train/study/c_hat.h"

#include <algorithm>
#include <cmath>

#include "data/permutation.h"
#include "train/study/statistics.h"

namespace minnow::study {
namespace {

/// One norm for each micro-batch.
std::vector<double> norms_of(const Subject& subject, Examples examples, int64_t size) {
  ClipState state;
  return clipped_gradient(subject.parameters(), Grouping::runs(std::ssize(examples), size),
                          subject.loss()(examples), ClipRule{.rule = Rule::none}, state,
                          subject.grouped_options())
      .groups.norms;
}

/// Micro-batches that begin with a dragger each.
std::vector<int64_t> with_one_dragger(const Chosen& chosen, int64_t size, int64_t count,
                                      uint64_t seed) {
  const auto first = micro_batches(chosen.draggers, 1, count, seed);
  if (size == 1) return first;
  const auto others = micro_batches(chosen.benign, size - 1, count, seed + 1);
  std::vector<int64_t> all;
  for (int64_t j = 0; j < count; ++j) {
    all.push_back(first[j]);
    all.insert(all.end(), others.begin() + j * (size - 1), others.begin() + (j + 1) * (size - 1));
  }
  return all;
}

CHat measure(const Subject& subject, const Chosen& chosen, int64_t b, const CHatOptions& options) {
  const uint64_t seed = subject.config().seed;
  const auto of = [&](const std::vector<int64_t>& examples) {
    return norms_of(subject, examples, b);
  };
  const auto benign = of(micro_batches(chosen.benign, b, options.count, seed));
  const auto draggers = of(micro_batches(chosen.draggers, b, options.count, seed));
  const auto one = b == 1 ? draggers : of(with_one_dragger(chosen, b, options.count, seed));
  const double benign_uses = uses(options.count, b, std::ssize(chosen.benign));
  const double dragger_uses = uses(options.count, b, std::ssize(chosen.draggers));
  return {
      .micro_batch = b,
      .benign = with_uses(mean_norm(benign, options.trimmed), benign_uses),
      .untrimmed = with_uses(mean_norm(benign, 0), benign_uses),
      .draggers = with_uses(mean_norm(draggers, 0), dragger_uses),
      .one = with_uses(mean_norm(one, 0), uses(options.count, b - 1, std::ssize(chosen.benign))),
      .benign_uses = benign_uses,
      .dragger_uses = dragger_uses};
}

}  // namespace

std::vector<int64_t> micro_batches(Examples pool, int64_t size, int64_t count, uint64_t seed) {
  const int64_t n = std::ssize(pool);
  check(size >= 1 && size <= n, "micro-batch: {} different examples, of {} that there are", size,
        n);
  std::vector<int64_t> all, order;
  int64_t next = n;
  for (uint64_t round = 0; std::ssize(all) < size * count;) {
    if (next + size > n) {  // the last ones of this order make no whole micro-batch
      order = permutation(n, {seed, stream::shuffle, round++, 3});
      next = 0;
    }
    for (int64_t i = 0; i < size; ++i) all.push_back(pool[order[next++]]);
  }
  return all;
}

NormMean mean_norm(std::span<const double> norms, double trimmed) {
  check(trimmed >= 0 && trimmed < 1, "trimmed share: in [0, 1); got {}", trimmed);
  std::vector<double> finite;
  for (double norm : norms) {
    if (std::isfinite(norm)) finite.push_back(norm);
  }
  const int64_t nonfinite = std::ssize(norms) - std::ssize(finite);
  check(!finite.empty(), "gradient norms: none of {} micro-batches has a finite one", norms.size());
  std::sort(finite.begin(), finite.end());
  const auto n = static_cast<double>(finite.size());
  const auto kept = finite.size() - static_cast<size_t>(trimmed * n);
  const double mean = summarise(std::span(finite).first(kept)).mean;
  std::fill(finite.begin() + static_cast<int64_t>(kept), finite.end(), finite[kept - 1]);
  const double error = summarise(finite).sd * std::sqrt(n) / static_cast<double>(kept);
  return {.mean = mean, .error = error, .nonfinite = nonfinite};
}

double uses(int64_t count, int64_t size, int64_t pool) {
  return std::max(1.0, static_cast<double>(count * size) / static_cast<double>(pool));
}

NormMean with_uses(NormMean mean, double uses) {
  mean.error *= std::sqrt(uses);
  return mean;
}

NormMean ratio(const NormMean& numerator, const NormMean& denominator) {
  const double value = numerator.mean / denominator.mean;
  return {.mean = value,
          .error = value * std::hypot(numerator.error / numerator.mean,
                                      denominator.error / denominator.mean),
          .nonfinite = numerator.nonfinite + denominator.nonfinite};
}

CHatStudy study_c_hat(const std::vector<std::string>& arguments, const CHatOptions& options) {
  check(options.count >= 2, "--count: at least 2 micro-batches; got {}", options.count);
  check(!options.micro_batches.empty(), "--micro-batches: name at least one size");
  for (int64_t b : options.micro_batches) {
    check(b >= 1, "--micro-batches: at least 1; got {}", b);
  }
  const int64_t largest =
      *std::max_element(options.micro_batches.begin(), options.micro_batches.end());
  const auto choose_from = [&](const Subject& subject) {
    const int64_t size = subject.data().size();
    check(largest <= size, "--micro-batches: {} is larger than the data, {} examples", largest,
          size);
    const int64_t least = std::max(largest, options.count), most = largest * options.count;
    return choose(subject.data(), {least, most}, {least, most}, subject.config().seed);
  };
  const Source source = find_source(arguments, options.points, choose_from);
  Subject subject(source.config);
  const Chosen chosen = choose_from(subject);
  CHatStudy study{.config = subject.config(),
                  .benign = std::ssize(chosen.benign),
                  .draggers = std::ssize(chosen.draggers)};
  for (const Moment& moment : source.moments) {
    subject.go_to(moment);
    CHatMoment& now = study.moments.emplace_back(CHatMoment{.step = moment.step});
    for (int64_t b : options.micro_batches) {
      now.sizes.push_back(measure(subject, chosen, b, options));
    }
  }
  return study;
}

}  // namespace minnow::study
