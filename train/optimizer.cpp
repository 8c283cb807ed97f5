#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/launch.h"
#include "kernels/optim.h"
#include "train/weights.h"

namespace minnow {
namespace {

bool within(double value, double low, double high) {
  return low <= value && value < high;
}

}  // namespace

Optimizer::Optimizer(Parameters parameters, OptimizerConfig config, std::vector<double> rates)
    : parameters_(std::move(parameters)), config_(std::move(config)), rates_(std::move(rates)) {
  check_config();
  if (rates_.empty()) rates_.assign(parameters_.size(), 1);
  check(rates_.size() == parameters_.size(),
        "optimizer: one rate for each of {} parameters; got {}", parameters_.size(), rates_.size());
  kind_ = config_.name == "sgd" ? Kind::sgd : config_.name == "adam" ? Kind::adam : Kind::adamw;
  const bool moments = kind_ != Kind::sgd;
  bool any = false;
  for (const Parameter* p : parameters_) {
    trained_.push_back(p->trainable);
    moments_.emplace_back();
    if (!p->trainable) continue;
    const Tensor& value = p->value;
    check(value.dtype() == DType::float32 || value.dtype() == DType::float64,
          "optimizer: {} is {}; float32 and float64 can be trained", p->name,
          to_string(value.dtype()));
    if (!any) dtype_ = value.dtype();
    any = true;
    check(value.dtype() == dtype_, "optimizer: all parameters have one dtype; {} is {}, others {}",
          p->name, to_string(value.dtype()), to_string(dtype_));
    const auto zeros = [&] { return Tensor::zeros(value.shape(), dtype_, value.device()); };
    if (moments || config_.momentum > 0) moments_.back().first = zeros();
    if (moments) moments_.back().second = zeros();
  }
  const Device device = parameters_.empty() ? Device::cpu() : parameters_.front()->value.device();
  taken_ = Tensor::zeros({1}, DType::int64, device);
}

void Optimizer::check_config() const {
  const OptimizerConfig& c = config_;
  check(c.name == "sgd" || c.name == "adam" || c.name == "adamw",
        "optim.name: sgd, adam or adamw; got {}", c.name);
  constexpr double infinity = HUGE_VAL;
  check(within(c.lr, 0, infinity), "optim.lr: must not be negative; got {}", c.lr);
  check(within(c.weight_decay, 0, infinity), "optim.weight_decay: must not be negative; got {}",
        c.weight_decay);
  check(within(c.momentum, 0, 1), "optim.momentum: must lie in [0, 1); got {}", c.momentum);
  check(!c.nesterov || c.name != "sgd" || c.momentum > 0,
        "optim.nesterov: needs optim.momentum above 0; got {}", c.momentum);
  check(within(c.beta1, 0, 1) && within(c.beta2, 0, 1),
        "optim.betas: must lie in [0, 1); got {} and {}", c.beta1, c.beta2);
  check(c.eps > 0 && c.eps < infinity, "optim.eps: must be positive; got {}", c.eps);
}

void Optimizer::check_update(const std::vector<Tensor>& update) const {
  check(update.size() == parameters_.size(),
        "optimizer: one update for each of {} parameters; got {}", parameters_.size(),
        update.size());
  for (size_t i = 0; i < update.size(); ++i) {
    const Parameter& p = *parameters_[i];
    check(update[i].defined() == trained_[i], "optimizer: {} is {}; its update is {}", p.name,
          trained_[i] ? "trainable" : "frozen", trained_[i] ? "undefined" : "defined");
    if (!trained_[i]) continue;
    check(update[i].shape() == p.value.shape() && update[i].dtype() == dtype_,
          "optimizer: the update of {} must be {} {}; got {} {}", p.name, to_string(dtype_),
          to_string(p.value.shape()), to_string(update[i].dtype()), to_string(update[i].shape()));
  }
}

void Optimizer::step(const std::vector<Tensor>& update, double lr, const uint8_t* skip) {
  check(within(lr, 0, HUGE_VAL), "optimizer: the learning rate must not be negative; got {}", lr);
  check_update(update);
  if (dtype_ == DType::float64) {
    step_all<double>(update, lr, skip);
  } else {
    step_all<float>(update, lr, skip);
  }
}

template <class T>
void Optimizer::step_all(const std::vector<Tensor>& update, double lr, const uint8_t* skip) {
  const OptimizerConfig& c = config_;
  const bool decoupled = kind_ == Kind::adamw;
  std::vector<OptimTensor<T>> tensors;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!trained_[i]) continue;
    const Tensor& value = parameters_[i]->value;
    const auto& [first, second] = moments_[i];
    const double decay = parameters_[i]->decay ? c.weight_decay : 0;
    const double rate = rates_[i];
    tensors.push_back({.n = value.numel(),
                       .p = value.data<T>(),
                       .g = update[i].data<T>(),
                       .m = first.defined() ? first.data<T>() : nullptr,
                       .v = second.defined() ? second.data<T>() : nullptr,
                       .l2 = static_cast<T>(decoupled ? 0 : decay),
                       .shrink = static_cast<T>(decoupled ? 1 - lr * rate * decay : 1),
                       .rate = static_cast<T>(rate)});
  }
  const StepGate gate{.skip = skip, .taken = taken_.data<int64_t>()};
  if (kind_ == Kind::sgd) {
    const SgdStep<T> step = {static_cast<T>(lr), static_cast<T>(c.momentum), c.nesterov};
    MINNOW_ON(taken_.device(), sgd<T>)(tensors, step, gate);
  } else {
    const AdamStep<T> step = {.rest1 = static_cast<T>(1 - c.beta1),
                              .beta2 = static_cast<T>(c.beta2),
                              .rest2 = static_cast<T>(1 - c.beta2),
                              .eps = static_cast<T>(c.eps),
                              .lr = lr,
                              .log_beta1 = std::log(c.beta1),
                              .log_beta2 = std::log(c.beta2)};
    MINNOW_ON(taken_.device(), adam<T>)(tensors, step, gate);
  }
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> state = {{"step", taken_.reshape({})}};
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i]->name;
    const auto& [first, second] = moments_[i];
    if (first.defined()) {
      state.push_back({name + (second.defined() ? ".exp_avg" : ".momentum"), first});
    }
    if (second.defined()) state.push_back({name + ".exp_avg_sq", second});
  }
  return state;
}

void Optimizer::load_state(std::span<const NamedTensor> state, const std::string& where) {
  for (const auto& [name, tensor] : state) {
    if (name != "step" || tensor.numel() != 1) continue;
    check(tensor.item() >= 0, "{}: step must not be negative; got {}", where, tensor.item());
  }
  copy_by_name(this->state(), state, where);
}

}  // namespace minnow
