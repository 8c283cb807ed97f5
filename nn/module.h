#pragma once

#include <memory>
#include <string>

#include "engine/ops.h"
#include "engine/parameter.h"

namespace minnow::nn {

/// Draws initial values. Every parameter has a random sequence of its own, so that a layer's values
/// do not depend on the sizes of the layers before it.
class Init {
 public:
  explicit Init(uint64_t seed) : seed_(seed) {}

  Tensor constant(const Shape& shape, double value);
  Tensor normal(const Shape& shape, double sd);
  /// Normal with standard deviation `sd`, redrawn outside [-2, 2]: absolute bounds, as in timm.
  Tensor truncated_normal(const Shape& shape, double sd);
  /// Uniform in [-bound, bound].
  Tensor uniform(const Shape& shape, double bound);

 private:
  RandomSequence next();

  uint64_t seed_;
  uint64_t count_ = 0;
};

/// Something with parameters. Neither copied nor moved: tapes and optimizers hold the parameters'
/// addresses.
class Module {
 public:
  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  virtual ~Module() = default;

  /// Names the parameters `prefix`name and appends them in the order of the state dict.
  virtual void collect(const std::string& prefix, Parameters& into) = 0;
  Parameters parameters();
  /// Moves the parameters to a device.
  void to(Device device);

 protected:
  static void append(Parameter& parameter, const std::string& name, Parameters& into);
};

/// From a batch of examples to logits.
class Model : public Module {
 public:
  /// Pictures x [B, C, H, W] -> logits [B, classes]. Sequences x [B, T, ...], of which example b
  /// ends at lengths[b] (int64 [B] on x's device; undefined: at T) -> logits [B, classes], or, of a
  /// model that transcribes, [B, output_length(T), classes].
  virtual Var forward(const Var& x, const Tensor& lengths) const = 0;
  Var forward(const Var& x) const { return forward(x, Tensor()); }
  /// How many output frames come of so many input frames, in a model that transcribes.
  virtual int64_t output_length(int64_t input_length) const { return input_length; }
};

/// Number of trainable elements P.
int64_t count_elements(const Parameters& parameters);

}  // namespace minnow::nn
