#include "engine/group_sinks.h"

#include "kernels/binary.h"
#include "kernels/launch.h"
#include "kernels/reduce.h"
#include "kernels/rescaled_sum.h"

namespace minnow {

Device device_of(const Parameters& parameters) {
  return parameters.empty() ? Device::cpu() : parameters.front()->value.device();
}

ParameterIndex::ParameterIndex(const Parameters& parameters) {
  for (size_t l = 0; l < parameters.size(); ++l) places_[parameters[l]] = static_cast<int64_t>(l);
}

int64_t ParameterIndex::at(const Parameter& parameter) const {
  const auto found = places_.find(&parameter);
  check(found != places_.end(),
        "backward: the model uses \"{}\", which is not among the parameters", parameter.name);
  return found->second;
}

namespace {

/// sumsq[j] = the squared norm of row j of x [rows, ...].
void row_norms(const Tensor& x, int64_t rows, double* sumsq) {
  dispatch_wide("norm", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_ON(x.device(), row_sumsq<T>)(rows, x.numel() / rows, x.data<T>(), sumsq);
  });
}

/// A gradient of `parameter`, not initialised.
Tensor empty_like(const Parameter& parameter) {
  const Tensor& value = parameter.value;
  return Tensor::empty(value.shape(), value.dtype(), value.device());
}

Shape with_groups(int64_t groups, const Shape& shape) {
  Shape all{groups};
  all.insert(all.end(), shape.begin(), shape.end());
  return all;
}

}  // namespace

Tensor squared_norms(const std::vector<Tensor>& tensors, Device device) {
  Tensor squares = Tensor::zeros({std::ssize(tensors)}, DType::float64, device);
  for (size_t l = 0; l < tensors.size(); ++l) {
    if (tensors[l].defined()) row_norms(tensors[l], 1, squares.data<double>() + l);
  }
  return squares;
}

OneGroup::OneGroup(const Parameters& parameters)
    : GroupSource(parameters), gradients_(parameters.size()) {}

void OneGroup::take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form, bool) {
  Tensor& sum = gradients_[index_.at(parameter)];
  const bool accumulate = sum.defined();
  if (!accumulate) sum = empty_like(parameter);
  form->sum(sum, accumulate);
}

Tensor OneGroup::sumsq() {
  return squared_norms(gradients_, device_of(parameters_)).reshape({std::ssize(gradients_), 1});
}

void OneGroup::weighted_sum(int64_t l, const double* c, Tensor& out, bool accumulate) {
  const Tensor g = std::exchange(gradients_[l], Tensor());
  if (!accumulate) out = g.defined() ? g : empty_like(*parameters_[l]);
  if (!g.defined()) {  // the loss does not depend on this parameter
    if (!accumulate) out.fill(0);
    return;
  }
  dispatch_wide("rescaled sum", g, [&](auto zero) {
    using T = decltype(zero);
    if (accumulate) {
      MINNOW_ON(g.device(), add_scaled_by<T>)(g.numel(), c, g.data<T>(), out.data<T>());
    } else {  // the only reader: scaled in place, and untouched where the coefficient is 1
      MINNOW_ON(g.device(), scale_by<T>)(g.numel(), c, g.data<T>(), g.data<T>());
    }
  });
}

ManyGroups::ManyGroups(const Parameters& parameters, Grouping groups, const GroupedOptions& options)
    : GroupSource(parameters),
      groups_(std::move(groups)),
      options_(options),
      budget_left_(options.memory_budget),
      gradients_(parameters.size()),
      forms_(parameters.size()),
      norms_due_(parameters.size(), false),
      sumsq_(Tensor::zeros({std::ssize(parameters), groups_.groups()}, DType::float64,
                           device_of(parameters))) {}

bool ManyGroups::instantiates(const Parameter& parameter, const ParamGrad& form,
                              bool shared) const {
  // The norm of a sum of several forms is not to be had from the forms one by one.
  if (shared || options_.strategy == Strategy::instantiate) return true;
  if (options_.strategy == Strategy::norm_only) return false;
  return form.rows(groups_) >= options_.tau &&
         groups_.groups() * parameter.value.nbytes() <= budget_left_;
}

void ManyGroups::take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form,
                      bool shared) {
  const int64_t l = index_.at(parameter);
  double* sumsq = sumsq_.data<double>() + l * groups_.groups();
  const bool instantiated = instantiates(parameter, *form, shared);
  if (options_.observe) options_.observe({parameter, form->rows(groups_), instantiated});
  if (!instantiated) {
    form->group_sumsq(groups_, sumsq);
    forms_[l] = std::move(form);
    return;
  }
  Tensor& sums = gradients_[l];
  const bool accumulate = sums.defined();
  if (!accumulate) {
    sums = Tensor::empty(with_groups(groups_.groups(), parameter.value.shape()),
                         parameter.value.dtype(), parameter.value.device());
    budget_left_ -= sums.nbytes();
  }
  norms_due_[l] = shared;
  form->group_sums(groups_, sums, accumulate, shared ? nullptr : sumsq);
}

Tensor ManyGroups::sumsq() {
  const int64_t k = groups_.groups();
  for (size_t l = 0; l < gradients_.size(); ++l) {
    if (norms_due_[l]) row_norms(gradients_[l], k, sumsq_.data<double>() + l * k);
  }
  return sumsq_;
}

void ManyGroups::weighted_sum(int64_t l, const double* c, Tensor& out, bool accumulate) {
  if (!accumulate) out = empty_like(*parameters_[l]);
  if (const auto form = std::exchange(forms_[l], nullptr)) {
    form->weighted_sum(groups_, c, out, accumulate);
    return;
  }
  const Tensor sums = std::exchange(gradients_[l], Tensor());
  if (!sums.defined()) {  // the loss does not depend on this parameter
    if (!accumulate) out.fill(0);
    return;
  }
  dispatch_wide("rescaled sum", sums, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_ON(sums.device(), rescaled_sum<T>)
    (groups_.groups(), out.numel(), sums.data<T>(), c, T(accumulate), out.data<T>());
  });
}

}  // namespace minnow
