#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/parameter.h"
#include "engine/safetensors.h"

namespace minnow {

/// What a recipe says under `optim`. A field that the optimizer of this name does not know is
/// ignored.
struct OptimizerConfig {
  std::string name = "adamw";  ///< sgd, adam or adamw
  double lr = 1e-3;            ///< the base that a schedule scales
  double weight_decay =
      0.05;               ///< sgd, adam: added to the update as weight_decay p; adamw: decoupled
  double momentum = 0.9;  ///< of sgd; 0: none
  double beta1 = 0.9;     ///< of adam and adamw
  double beta2 = 0.999;
  double eps = 1e-8;
  bool nesterov = false;                 ///< of sgd
  std::vector<std::string> freeze = {};  ///< see freeze() in train/fine_tune.h
  double layer_decay = 1;                ///< see layer_rates() there
};

/// SGD, Adam and AdamW with the arithmetic of PyTorch's optimizers of these names (no dampening, no
/// AMSGrad). Weight decay holds only for parameters with `decay`. It comes after clipping, as do
/// the rates: the clipped update is what `step` is given.
class Optimizer {
 public:
  /// Keeps the addresses of the parameters, and state for those that are trainable now. Trainable
  /// parameters are all float32 or all float64. Error for an unknown name or a setting outside of
  /// its range. `rates`: for each parameter its learning rate / that of the step; empty: all 1.
  Optimizer(Parameters parameters, OptimizerConfig config, std::vector<double> rates = {});

  /// Changes the parameters in place. `update` has one tensor for each parameter, of its shape and
  /// dtype; undefined for the frozen ones, which stay as they are.
  /// Where `skip` is not null it points to one byte on the device of the parameters: where that is
  /// not 0, nothing changes. Nothing is waited for.
  void step(const std::vector<Tensor>& update, double lr, const uint8_t* skip = nullptr);

  /// Steps taken, those before a loaded state included; waits for the device.
  int64_t steps() const { return static_cast<int64_t>(taken_.item()); }
  const OptimizerConfig& config() const { return config_; }

  /// "step" (int64, of shape []), then for each trainable parameter NAME.momentum, or NAME.exp_avg
  /// and NAME.exp_avg_sq. All share their memory with the optimizer: clone what must outlive the
  /// next step.
  std::vector<NamedTensor> state() const;
  /// Copies a state that `state` gave, in any order. Error that lists what does not fit, and then
  /// nothing is changed.
  void load_state(std::span<const NamedTensor> state, const std::string& where = "optimizer state");

 private:
  enum class Kind { sgd, adam, adamw };
  struct Moments {
    Tensor first;   // momentum or exp_avg; undefined for a frozen parameter and where there is no
                    // momentum
    Tensor second;  // exp_avg_sq
  };

  void check_config() const;
  void check_update(const std::vector<Tensor>& update) const;
  template <class T>
  void step_all(const std::vector<Tensor>& update, double lr, const uint8_t* skip);

  Parameters parameters_;
  OptimizerConfig config_;
  Kind kind_;
  DType dtype_ = DType::float32;
  std::vector<double> rates_;     // by parameter
  std::vector<bool> trained_;     // by parameter
  std::vector<Moments> moments_;  // by parameter
  Tensor taken_;  // [1] int64, on the device: only there it is known what is skipped
};

}  // namespace minnow
