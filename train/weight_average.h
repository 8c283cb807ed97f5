#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/parameter.h"
#include "engine/safetensors.h"

namespace minnow {

/// The exponential moving average of a model's weights, in their dtype (float32 in training) and on
/// their device: average = d average + (1 - d) weight after every step that was taken, with the
/// warm-up d_t = min(decay, (1 + t) / (10 + t)) of ema_rest (kernels/optim.h), t the steps taken.
class WeightAverage {
 public:
  /// Keeps the addresses of the parameters, and an average for those that are trainable now and
  /// for statistics, which begins as a copy of them; `decay` in (0, 1). These are all float32 or
  /// all float64.
  WeightAverage(Parameters parameters, double decay);

  /// Takes in the weights after a step. `skip` as in Optimizer::step: where that byte is not 0,
  /// nothing changes. Nothing is waited for.
  void update(const uint8_t* skip = nullptr);

  /// Steps taken in, those before a loaded state included; waits for the device.
  int64_t steps() const { return static_cast<int64_t>(taken_.item()); }

  /// Every parameter's average under its name; any other parameter is its own. Shares memory.
  std::vector<NamedTensor> weights() const;

  /// For checkpoints: "step" (int64, of shape []), then each average under its parameter's
  /// name. All share their memory with this object.
  std::vector<NamedTensor> state() const;
  /// Copies a state that `state` gave, in any order. Error that lists what does not fit, and then
  /// nothing is changed.
  void load_state(std::span<const NamedTensor> state, const std::string& where = "weight average");

  /// While one lives, the parameters hold their averages; no step may be taken meanwhile.
  class InPlace {
   public:
    explicit InPlace(WeightAverage& average) : average_(average) { average_.exchange(); }
    ~InPlace() { average_.exchange(); }
    InPlace(const InPlace&) = delete;
    InPlace& operator=(const InPlace&) = delete;

   private:
    WeightAverage& average_;
  };

 private:
  void exchange();
  template <class T>
  void update_all(const uint8_t* skip);

  Parameters parameters_;
  double decay_;
  std::vector<Tensor> averages_;  // by parameter; undefined where there is none
  Tensor taken_;  // [1] int64, on the device: only there it is known what is skipped
};

}  // namespace minnow
