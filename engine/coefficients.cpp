#include "engine/coefficients.h"

#include <algorithm>
#include <utility>

#include "kernels/launch.h"

namespace minnow {
namespace {

/// Lays the table's arrays out one after the other in `numbers`, first those that the host reads;
/// returns the number of elements. With null it only counts.
int64_t lay_out(ClipTable& t, double* numbers) {
  int64_t used = 0;
  const auto place = [&](double*& array, int64_t n) {
    array = numbers == nullptr ? nullptr : numbers + used;
    used += n;
  };
  double* summary = nullptr;
  place(t.sumsq, t.layers * t.groups);
  place(t.norms, t.groups);
  place(t.coefficients, t.scopes * t.groups);
  place(summary, sizeof(ClipSummary) / sizeof(double));
  place(t.deciding, t.scopes * t.groups);
  place(t.factors, t.scopes * t.groups);
  place(t.weights, t.scopes * t.groups);
  place(t.rho, t.scopes * t.domains);
  place(t.common, t.scopes * t.domains);
  place(t.examples, t.scopes);
  place(t.taking_part, t.scopes);
  t.summary = reinterpret_cast<ClipSummary*>(summary);
  return used;
}

}  // namespace

void GroupReport::start_reading() {
  const int64_t end =
      reinterpret_cast<double*>(table_.summary + 1) - numbers_.data<double>();  // of what is read
  copy_ = HostCopy(numbers_.slice(0, end));
}

GroupNorms GroupReport::read() {
  if (!copy_.started()) start_reading();
  const Tensor here = copy_.wait();
  ClipTable t = table_;
  lay_out(t, here.data<double>());
  const int64_t k = t.groups;
  GroupNorms seen;
  seen.sumsq.assign(t.sumsq, t.sumsq + t.layers * k);
  seen.norms.assign(t.norms, t.norms + k);
  seen.coefficients.assign(t.coefficients, t.coefficients + t.scopes * k);
  seen.rho = t.summary->rho;
  seen.argmin = static_cast<int64_t>(t.summary->argmin);
  seen.ineligible = static_cast<int64_t>(t.summary->ineligible);
  seen.nonfinite = static_cast<int64_t>(t.summary->nonfinite);
  seen.skipped = t.summary->skipped != 0;
  if (seen.nonfinite > 0 && t.rule.on_nonfinite == OnNonfinite::error) {
    throw RunError(
        fmt::format("the loss or gradient of {} of {} micro-batches is not finite "
                    "(clip.on_nonfinite = \"error\")",
                    seen.nonfinite, k));
  }
  return seen;
}

Coefficients::Coefficients(int64_t layers, const Grouping& grouping, const ClipRule& rule,
                           ClipState& state, Device device)
    : device_(device), grouping_(grouping) {
  check(rule.scope != Scope::domain || !grouping.domains().empty(),
        "clip.scope: \"domain\" needs data whose examples carry domains");
  table_.rule = rule;
  table_.layers = layers;
  table_.groups = grouping.groups();
  table_.scopes = rule.scope == Scope::layer ? layers : 1;
  table_.bounds = grouping.segments(grouping.examples(), device).device_bounds;
  if (rule.rule == Rule::min && rule.scope == Scope::domain) {
    table_.domains = grouping.domain_count();
    domains_ = Tensor::from(grouping.domains(), {grouping.groups()}).to(device);
    table_.domain = domains_.data<int64_t>();
  }
  thresholds_ = state.thresholds(rule, table_.scopes, device);
  if (thresholds_.defined()) table_.thresholds = thresholds_.data<double>();
  numbers_ = Tensor::empty({lay_out(table_, nullptr)}, DType::float64, device);
  lay_out(table_, numbers_.data<double>());
  skipped_ = Tensor::empty({1}, DType::uint8, device);
  table_.skipped = skipped_.data<uint8_t>();
  MINNOW_ON(device_, clip_begin)(table_);
}

void Coefficients::see(int64_t first, int64_t last, const Tensor& sumsq, const Tensor& losses) {
  dispatch_wide("clip", losses, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_ON(device_, clip_see<T>)
    (table_, first, last, sumsq.data<double>(), losses.data<T>());
  });
}

GroupReport Coefficients::finish() {
  MINNOW_ON(device_, clip_finish)(table_);
  return {table_, numbers_, skipped_};
}

const double* Coefficients::factors(int64_t l, int64_t first) const {
  return table_.factors + scope(l) * table_.groups + first;
}

const double* Coefficients::weights(int64_t l, int64_t first) const {
  return table_.weights + scope(l) * table_.groups + first;
}

const double* Coefficients::common(int64_t l, int64_t domain) const {
  return table_.common + scope(l) * table_.domains + domain;
}

}  // namespace minnow
