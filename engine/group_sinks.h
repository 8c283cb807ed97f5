#pragma once

#include <unordered_map>
#include <vector>

#include "engine/grouped_backward.h"
#include "engine/param_grad.h"

namespace minnow {

/// The squared norm of each tensor, [L] float64 on their device; 0 for one that is undefined.
Tensor squared_norms(const std::vector<Tensor>& tensors, Device device);

/// Where a model is: the device of its parameters, which all share one.
Device device_of(const Parameters& parameters);

/// Finds a parameter's place in the list; throws Error for one that the caller did not list.
class ParameterIndex {
 public:
  explicit ParameterIndex(const Parameters& parameters);
  int64_t at(const Parameter& parameter) const;

 private:
  std::unordered_map<const Parameter*, int64_t> places_;
};

/// The gradients of a wave of groups, until their coefficients are known and they can be added up.
class GroupSource : public GradSink {
 public:
  explicit GroupSource(const Parameters& parameters)
      : parameters_(parameters), index_(parameters) {}

  /// sumsq [L, K] float64 of the wave's groups, complete once every tape has run backwards.
  virtual Tensor sumsq() = 0;
  /// out[l] (+)= sum_j c[j] g_j for parameter l, c on the device; called once for each l.
  virtual void weighted_sum(int64_t l, const double* c, Tensor& out, bool accumulate) = 0;

 protected:
  const Parameters& parameters_;
  ParameterIndex index_;
};

/// One group, perhaps in several pieces: the plain backward pass, adding up.
class OneGroup final : public GroupSource {
 public:
  explicit OneGroup(const Parameters& parameters);
  void take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form,
            bool shared) override;
  Tensor sumsq() override;
  void weighted_sum(int64_t l, const double* c, Tensor& out, bool accumulate) override;

 private:
  std::vector<Tensor> gradients_;
};

/// Several whole groups at once.
class ManyGroups final : public GroupSource {
 public:
  /// options.tau is known, not 0.
  ManyGroups(const Parameters& parameters, Grouping groups, const GroupedOptions& options);
  void take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form,
            bool shared) override;
  Tensor sumsq() override;
  void weighted_sum(int64_t l, const double* c, Tensor& out, bool accumulate) override;

 private:
  bool instantiates(const Parameter& parameter, const ParamGrad& form, bool shared) const;

  Grouping groups_;
  GroupedOptions options_;
  int64_t budget_left_;
  std::vector<Tensor> gradients_;                        // [K, shape...] where instantiated
  std::vector<std::shared_ptr<const ParamGrad>> forms_;  // kept where norm-only
  std::vector<bool> norms_due_;  // instantiated from several uses: norms only once all have come
  Tensor sumsq_;                 // [L, K]
};

}  // namespace minnow
