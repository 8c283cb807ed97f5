#include "engine/tape.h"

#include "engine/param_grad.h"
#include "kernels/binary.h"
#include "kernels/launch.h"

namespace minnow {

void Backprop::give(Slot x, Tensor gradient) {
  if (x.wanted()) tape_.add_gradient(x, std::move(gradient));
}

void Backprop::give(const Parameter& parameter, std::shared_ptr<const ParamGrad> form) {
  if (!parameter.trainable) return;
  sink_.take(parameter, std::move(form), tape_.uses_.at(&parameter) > 1);
}

Slot Tape::new_slot() {
  gradients_.emplace_back();
  return {static_cast<int64_t>(gradients_.size()) - 1};
}

Var Tape::leaf(Tensor value) {
  const Slot slot = recording() ? new_slot() : Slot{};
  return {*this, std::move(value), slot};
}

Var Tape::record(Tensor output, std::initializer_list<Slot> inputs,
                 std::initializer_list<const Parameter*> parameters, Backward backward) {
  bool needed = false;
  for (Slot slot : inputs) needed |= slot.wanted();
  for (const Parameter* p : parameters) needed |= p != nullptr && p->trainable;
  if (!recording() || !needed) return {*this, std::move(output), Slot{}};
  for (const Parameter* p : parameters) {
    if (p != nullptr && p->trainable) ++uses_[p];
  }
  const Slot slot = new_slot();
  nodes_.push_back({slot, std::move(backward)});
  return {*this, std::move(output), slot};
}

void Tape::add_gradient(Slot slot, Tensor gradient) {
  Tensor& sum = gradients_[slot.index];
  if (!sum.defined()) {
    sum = std::move(gradient);
    return;
  }
  // Whichever of the two nobody else sees takes the other one in.
  if (!sum.unique() && gradient.unique()) std::swap(sum, gradient);
  if (!sum.unique()) sum = sum.clone();
  dispatch_float("tape", sum, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(sum.device(), add<T>)
    (sum.numel(), sum.data<T>(), gradient.data<T>(), sum.data<T>());
  });
}

void Tape::backward(const Var& root, Tensor seed, GradSink& sink) {
  check(root.slot().wanted(), "backward: nothing that the loss was computed from needs a gradient");
  check(seed.shape() == root.shape() && seed.dtype() == root.dtype(),
        "backward: the seed must look like the loss, {} {}; got {} {}", to_string(root.dtype()),
        to_string(root.shape()), to_string(seed.dtype()), to_string(seed.shape()));
  Backprop backprop(*this, sink);
  add_gradient(root.slot(), std::move(seed));
  while (!nodes_.empty()) {
    Node node = std::move(nodes_.back());
    nodes_.pop_back();
    Tensor gradient = std::exchange(gradients_[node.output.index], Tensor());
    // An output that the loss does not depend on has none.
    if (gradient.defined()) node.backward(std::move(gradient), backprop);
  }
}

}  // namespace minnow
