#pragma once

#include <cstdint>

#include "engine/groups.h"
#include "engine/host_copy.h"

namespace minnow {

/// What was seen of the groups of one step, still on its device.
class GroupReport {
 public:
  GroupReport() = default;
  GroupReport(const ClipTable& table, Tensor numbers, Tensor skipped)
      : table_(table), numbers_(std::move(numbers)), skipped_(std::move(skipped)) {}

  /// Starts the copy to the host, without waiting for it; read() then waits for no more than what
  /// was asked of the device before this call.
  void start_reading();
  /// RunError under OnNonfinite::error where a group was not finite.
  GroupNorms read();
  /// One byte on the device: not 0 where the optimizer must not step.
  const uint8_t* skipped() const { return skipped_.data<uint8_t>(); }

 private:
  ClipTable table_;  // its pointers lie in `numbers`
  Tensor numbers_, skipped_;
  HostCopy copy_;
};

/// Turns norms into coefficients, wave by wave, on the device of the gradients (see ClipTable).
class Coefficients {
 public:
  /// For `layers` parameters. The state's thresholds are those of this step until finish().
  Coefficients(int64_t layers, const Grouping& grouping, const ClipRule& rule, ClipState& state,
               Device device);

  /// Common numbers to keep apart: the domains of Scope::domain under Rule::min, otherwise one.
  int64_t domains() const { return table_.domains; }
  int64_t domain(int64_t j) const { return domains() == 1 ? 0 : grouping_.domains()[j]; }
  /// Takes in the squared norms sumsq [L, last - first] of the groups [first, last), and from
  /// losses [B], of the arranged batch, those of their examples.
  void see(int64_t first, int64_t last, const Tensor& sumsq, const Tensor& losses);
  /// When every group has been seen.
  GroupReport finish();

  /// The numbers below live on the device. The parts that the norms of the groups from `first` on
  /// decide, for parameter l:
  const double* factors(int64_t l, int64_t first) const;
  /// factor x common, once finished.
  const double* weights(int64_t l, int64_t first) const;
  /// The number common to all groups of a domain, for parameter l, once finished.
  const double* common(int64_t l, int64_t domain) const;

 private:
  int64_t scope(int64_t l) const { return table_.scopes == 1 ? 0 : l; }

  Device device_;
  const Grouping& grouping_;
  ClipTable table_;
  Tensor numbers_, skipped_, domains_, thresholds_;
};

}  // namespace minnow
