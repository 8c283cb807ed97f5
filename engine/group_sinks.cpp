#include "engine/group_sinks.h"

#include "kernels/binary.h"
#include "kernels/launch.h"
#include "kernels/reduce.h"

namespace minnow {

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

double tensor_sumsq(const Tensor& x) {
  return dispatch_float("norm", x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    return MINNOW_KERNEL(x.device(), sum_of_squares<T>)(x.numel(), x.data<T>());
  });
}

Shape with_groups(int64_t groups, const Shape& shape) {
  Shape all{groups};
  all.insert(all.end(), shape.begin(), shape.end());
  return all;
}

}  // namespace

OneGroup::OneGroup(const Parameters& parameters)
    : GroupSource(parameters), gradients_(parameters.size()) {}

void OneGroup::take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form, bool) {
  Tensor& sum = gradients_[index_.at(parameter)];
  const bool accumulate = sum.defined();
  if (!accumulate) sum = Tensor::empty(parameter.value.shape(), parameter.value.dtype());
  form->sum(sum, accumulate);
}

std::vector<double> OneGroup::sumsq() {
  std::vector<double> squares(gradients_.size(), 0.0);
  for (size_t l = 0; l < squares.size(); ++l) {
    if (gradients_[l].defined()) squares[l] = tensor_sumsq(gradients_[l]);
  }
  return squares;
}

void OneGroup::weighted_sum(int64_t l, const double* c, Tensor& out, bool accumulate) {
  const Tensor g = std::exchange(gradients_[l], Tensor());
  if (!g.defined() || c[0] == 0) {
    if (!accumulate)
      out = Tensor::zeros(parameters_[l]->value.shape(), parameters_[l]->value.dtype());
    return;
  }
  dispatch_float("rescaled sum", g.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (accumulate) {
      MINNOW_KERNEL(g.device(), add_scaled<T>)
      (g.numel(), static_cast<T>(c[0]), g.data<T>(), out.data<T>());
    } else {
      out = g;  // the only reader: scaled in place, and untouched where the coefficient is 1
      if (c[0] != 1) {
        MINNOW_KERNEL(g.device(), scale<T>)
        (g.numel(), static_cast<T>(c[0]), g.data<T>(), g.data<T>());
      }
    }
  });
}

ManyGroups::ManyGroups(const Parameters& parameters, Grouping groups, Strategy strategy, double tau,
                       int64_t memory_budget)
    : GroupSource(parameters),
      groups_(std::move(groups)),
      strategy_(strategy),
      tau_(tau),
      budget_left_(memory_budget),
      gradients_(parameters.size()),
      forms_(parameters.size()),
      norms_due_(parameters.size(), false),
      sumsq_(parameters.size() * static_cast<size_t>(groups_.groups()), 0.0) {}

bool ManyGroups::instantiates(const Parameter& parameter, const ParamGrad& form,
                              bool shared) const {
  // The norm of a sum of several forms is not to be had from the forms one by one.
  if (shared || strategy_ == Strategy::instantiate) return true;
  if (strategy_ == Strategy::norm_only) return false;
  return form.instantiate_pays(groups_, tau_) &&
         groups_.groups() * parameter.value.nbytes() <= budget_left_;
}

void ManyGroups::take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form,
                      bool shared) {
  const int64_t l = index_.at(parameter);
  double* sumsq = sumsq_.data() + l * groups_.groups();
  if (!instantiates(parameter, *form, shared)) {
    form->group_sumsq(groups_, sumsq);
    forms_[l] = std::move(form);
    return;
  }
  Tensor& sums = gradients_[l];
  const bool accumulate = sums.defined();
  if (!accumulate) {
    sums = Tensor::empty(with_groups(groups_.groups(), parameter.value.shape()),
                         parameter.value.dtype());
    budget_left_ -= sums.nbytes();
  }
  norms_due_[l] = shared;
  form->group_sums(groups_, sums, accumulate, shared ? nullptr : sumsq);
}

std::vector<double> ManyGroups::sumsq() {
  const int64_t k = groups_.groups();
  for (size_t l = 0; l < gradients_.size(); ++l) {
    if (!norms_due_[l]) continue;
    for (int64_t j = 0; j < k; ++j) {
      sumsq_[l * k + j] = tensor_sumsq(gradients_[l].slice(j, j + 1));
    }
  }
  return sumsq_;
}

void ManyGroups::weighted_sum(int64_t l, const double* c, Tensor& out, bool accumulate) {
  const Tensor& value = parameters_[l]->value;
  if (!accumulate) out = Tensor::empty(value.shape(), value.dtype());
  if (const auto form = std::exchange(forms_[l], nullptr)) {
    form->weighted_sum(groups_, c, out, accumulate);
    return;
  }
  const Tensor sums = std::exchange(gradients_[l], Tensor());
  if (!sums.defined()) {  // the loss does not depend on this parameter
    if (!accumulate) out.fill(0);
    return;
  }
  dispatch_float("rescaled sum", sums.dtype(), [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(sums.device(), rescaled_sum<T>)
    (groups_.groups(), out.numel(), sums.data<T>(), c, T(accumulate), out.data<T>());
  });
}

}  // namespace minnow
