#include "engine/groups.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

namespace minnow {

Grouping Grouping::runs(int64_t examples, int64_t micro_batch) {
  check(examples >= 1, "grouping: a batch needs an example; got {}", examples);
  check(micro_batch >= 1 && micro_batch <= examples,
        "grouping: the micro-batch must have between 1 and B = {} examples; got {}", examples,
        micro_batch);
  Grouping grouping;
  for (int64_t end = micro_batch; end < examples; end += micro_batch) {
    grouping.bounds_.push_back(end);
  }
  grouping.bounds_.push_back(examples);
  return grouping;
}

Grouping Grouping::sizes(std::span<const int64_t> sizes) {
  Grouping grouping;
  for (int64_t size : sizes) {
    check(size >= 0, "grouping: a group cannot have {} examples", size);
    grouping.bounds_.push_back(grouping.bounds_.back() + size);
  }
  check(grouping.examples() >= 1, "grouping: a batch needs an example; got none");
  return grouping;
}

Grouping Grouping::assign(std::span<const int64_t> group_of, int64_t groups) {
  check(groups >= 1, "grouping: there must be a group; got {}", groups);
  std::vector<int64_t> counts(static_cast<size_t>(groups), 0);
  for (int64_t j : group_of) {
    check(j >= 0 && j < groups, "grouping: group {} is not in [0, {})", j, groups);
    ++counts[j];
  }
  Grouping grouping = sizes(counts);
  grouping.order_.resize(group_of.size());
  std::iota(grouping.order_.begin(), grouping.order_.end(), 0);
  std::stable_sort(grouping.order_.begin(), grouping.order_.end(),
                   [&](int64_t a, int64_t b) { return group_of[a] < group_of[b]; });
  if (std::is_sorted(grouping.order_.begin(), grouping.order_.end())) grouping.order_.clear();
  return grouping;
}

Segments Grouping::segments(int64_t rows, Device device) const {
  check(examples() > 0 && rows % examples() == 0,
        "grouping: {} rows do not divide among {} examples", rows, examples());
  Scaled& scaled = scaled_[{rows / examples(), device.kind()}];
  if (!scaled.bounds.defined()) {
    scaled.bounds = Tensor::from(bounds_, {groups() + 1});
    for (int64_t j = 0; j <= groups(); ++j) scaled.bounds.data<int64_t>()[j] *= rows / examples();
    scaled.device_bounds = scaled.bounds.to(device);
  }
  return {.groups = groups(),
          .bounds = scaled.bounds.data<int64_t>(),
          .device_bounds = scaled.device_bounds.data<int64_t>()};
}

void Grouping::set_domains(std::vector<int64_t> domain_of_group) {
  check(static_cast<int64_t>(domain_of_group.size()) == groups(),
        "grouping: {} domains for {} groups", domain_of_group.size(), groups());
  for (int64_t d : domain_of_group) check(d >= 0, "grouping: domain {} is negative", d);
  domain_count_ = 1 + *std::max_element(domain_of_group.begin(), domain_of_group.end());
  domains_ = std::move(domain_of_group);
}

Grouping Grouping::subset(int64_t first, int64_t last) const {
  Grouping part;
  part.bounds_.assign(bounds_.begin() + first, bounds_.begin() + last + 1);
  const int64_t start = part.bounds_.front();
  for (int64_t& bound : part.bounds_) bound -= start;
  if (!domains_.empty()) part.domains_.assign(domains_.begin() + first, domains_.begin() + last);
  part.domain_count_ = domain_count_;
  return part;
}

namespace {

template <class E, size_t n>
E named(std::string_view key, std::string_view name,
        const std::array<std::pair<std::string_view, E>, n>& names) {
  std::string known;
  for (const auto& [text, value] : names) {
    if (text == name) return value;
    known += known.empty() ? "" : ", ";
    known += text;
  }
  throw Error(fmt::format("{}: one of {}; got \"{}\"", key, known, name));
}

}  // namespace

Rule rule_from(std::string_view name) {
  using enum Rule;
  return named<Rule, 6>("clip.rule", name,
                        {{{"none", none},
                          {"min", min},
                          {"fixed", fixed},
                          {"quantile", quantile},
                          {"automatic", automatic},
                          {"normalize", normalize}}});
}

Scope scope_from(std::string_view name) {
  using enum Scope;
  return named<Scope, 3>("clip.scope", name,
                         {{{"global", global}, {"layer", layer}, {"domain", domain}}});
}

Reduction reduction_from(std::string_view name) {
  using enum Reduction;
  return named<Reduction, 2>("clip.reduction", name, {{{"mean", mean}, {"sum", sum}}});
}

OnNonfinite on_nonfinite_from(std::string_view name) {
  using enum OnNonfinite;
  return named<OnNonfinite, 3>("clip.on_nonfinite", name,
                               {{{"skip", skip}, {"drop", drop}, {"error", error}}});
}

Tensor ClipState::thresholds(const ClipRule& rule, int64_t scopes, Device device) {
  if (rule.rule != Rule::quantile) return {};
  if (!thresholds_.defined()) {
    thresholds_ = Tensor::full({scopes}, rule.threshold, DType::float64, device);
  }
  check(thresholds_.shape() == Shape{scopes}, "clip: the state has {} thresholds; {} are needed",
        thresholds_.numel(), scopes);
  return thresholds_ = thresholds_.to(device);
}

std::vector<double> ClipState::values() const {
  return thresholds_.defined() ? thresholds_.to_vector<double>() : std::vector<double>();
}

void ClipState::set_values(const std::vector<double>& values) {
  thresholds_ = values.empty() ? Tensor() : Tensor::from(values, {std::ssize(values)});
}

}  // namespace minnow
