#include "train/weight_average.h"

#include <utility>

#include "kernels/launch.h"
#include "kernels/optim.h"
#include "train/weights.h"

namespace minnow {

WeightAverage::WeightAverage(Parameters parameters, double decay)
    : parameters_(std::move(parameters)), decay_(decay) {
  check(decay > 0 && decay < 1, "train.ema: must lie in (0, 1); got {}", decay);
  for (const Parameter* p : parameters_) {
    check(p->name != "step", "weight average: no parameter may have the name step");  // see state()
    averages_.push_back(p->trainable || p->statistic ? p->value.clone() : Tensor());
  }
  const Device device = parameters_.empty() ? Device::cpu() : parameters_.front()->value.device();
  taken_ = Tensor::zeros({1}, DType::int64, device);
}

void WeightAverage::update(const uint8_t* skip) {
  for (const Tensor& average : averages_) {
    if (!average.defined()) continue;
    dispatch_wide("weight average", average, [&](auto zero) { update_all<decltype(zero)>(skip); });
    return;
  }
}

template <class T>
void WeightAverage::update_all(const uint8_t* skip) {
  std::vector<OptimTensor<T>> tensors;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& average = averages_[i];
    if (!average.defined()) continue;
    tensors.push_back(
        {.n = average.numel(), .p = average.data<T>(), .g = parameters_[i]->value.data<T>()});
  }
  const StepGate gate{.skip = skip, .taken = taken_.data<int64_t>()};
  MINNOW_ON(taken_.device(), ema<T>)(tensors, decay_, gate);
}

void WeightAverage::exchange() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (averages_[i].defined()) std::swap(parameters_[i]->value, averages_[i]);
  }
}

std::vector<NamedTensor> WeightAverage::weights() const {
  std::vector<NamedTensor> tensors = parameter_tensors(parameters_);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (averages_[i].defined()) tensors[i].tensor = averages_[i];
  }
  return tensors;
}

std::vector<NamedTensor> WeightAverage::state() const {
  std::vector<NamedTensor> state = {{"step", taken_.reshape({})}};
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (averages_[i].defined()) state.push_back({parameters_[i]->name, averages_[i]});
  }
  return state;
}

void WeightAverage::load_state(std::span<const NamedTensor> state, const std::string& where) {
  for (const auto& [name, tensor] : state) {
    if (name != "step" || tensor.numel() != 1) continue;
    check(tensor.item() >= 0, "{}: the steps must not be negative; got {}", where, tensor.item());
  }
  copy_by_name(this->state(), state, where);
}

}  // namespace minnow
