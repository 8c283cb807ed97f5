#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/parameter.h"
#include "engine/tensor.h"
#include "kernels/random.h"

namespace minnow {

class Grouping;
class ParamGrad;
class Tape;

/// Where the gradient of a value gathers during the backward pass; no slot: the value needs no
/// gradient.
struct Slot {
  int64_t index = -1;
  bool wanted() const { return index >= 0; }
};

/// A tensor as a computation sees it: its value, and its place on the tape. A backward closure
/// keeps the slots of its inputs, and of their values only those that it reads.
class Var {
 public:
  Var() = default;
  Var(Tape& tape, Tensor value, Slot slot) : tape_(&tape), value_(std::move(value)), slot_(slot) {}

  Tape& tape() const { return *tape_; }
  const Tensor& value() const { return value_; }
  Slot slot() const { return slot_; }
  const Shape& shape() const { return value_.shape(); }
  int64_t dim(int64_t axis) const { return value_.dim(axis); }
  DType dtype() const { return value_.dtype(); }
  Device device() const { return value_.device(); }

 private:
  Tape* tape_ = nullptr;
  Tensor value_;
  Slot slot_;
};

/// Receives what each op knows about the gradient of its parameters, before the examples are
/// summed.
class GradSink {
 public:
  virtual ~GradSink() = default;
  /// `shared` is true where the tape uses the parameter more than once: the gradient is then the
  /// sum of several forms.
  virtual void take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form,
                    bool shared) = 0;
};

/// Handed to every backward closure: takes the gradients that the closure computes.
class Backprop {
 public:
  Backprop(Tape& tape, GradSink& sink) : tape_(tape), sink_(sink) {}

  /// Adds d loss / d x.
  void give(Slot x, Tensor gradient);
  /// Adds one use's share of d loss / d parameter.
  void give(const Parameter& parameter, std::shared_ptr<const ParamGrad> form);

 private:
  Tape& tape_;
  GradSink& sink_;
};

/// What random operations need to know of the batch at hand.
struct RandomContext {
  uint64_t seed = 0;
  uint64_t step = 0;
  Tensor example_ids;     ///< [B] int64; undefined: 0 .. B-1
  bool training = false;  ///< dropout and drop-path act only then
};

/// What ops that couple examples (batchnorm) need to know of the micro-batches: each couples those
/// of one micro-batch only.
struct GroupContext {
  /// The micro-batches of the tape's examples; null: all of them are one.
  std::shared_ptr<const Grouping> groups;
  int64_t step_examples = 0;  ///< of the whole step, of which the tape may see a wave; 0: all
  bool complete = true;       ///< false: the tape sees only a piece of a micro-batch
};

/// The record of a forward pass: append-only, already in topological order, so that backward is one
/// reverse loop.
class Tape {
 public:
  enum class Mode { record, evaluate };
  /// Called with d loss / d output, which it may overwrite where `unique()`.
  using Backward = std::function<void(Tensor, Backprop&)>;

  explicit Tape(Mode mode = Mode::record) : mode_(mode) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// A value that needs no gradient: data.
  Var input(Tensor value) { return {*this, std::move(value), Slot{}}; }
  /// A value whose gradient `gradient()` returns after backward.
  Var leaf(Tensor value);

  /// Appends an op's output. In evaluation, and where neither an input nor a trainable parameter
  /// needs a gradient, the closure is dropped at once and with it everything that it saved.
  Var record(Tensor output, std::initializer_list<Slot> inputs,
             std::initializer_list<const Parameter*> parameters, Backward backward);

  /// Runs the tape backwards from `root` with d loss / d root = `seed`, handing parameter gradients
  /// to `sink`; each closure, and what it saved, is freed as soon as it has run. A tape runs
  /// backwards once.
  void backward(const Var& root, Tensor seed, GradSink& sink);

  /// d loss / d leaf after backward; undefined where the loss does not depend on it.
  Tensor gradient(const Var& leaf) const { return gradients_.at(leaf.slot().index); }

  bool recording() const { return mode_ == Mode::record; }
  const RandomContext& random() const { return random_; }
  void set_random(RandomContext random) { random_ = std::move(random); }
  const GroupContext& groups() const { return groups_; }
  void set_groups(GroupContext groups) { groups_ = std::move(groups); }
  /// A stream of its own for the next random op; counts in order of execution, the same on every
  /// tape of one model.
  uint32_t next_stream() { return stream::dropout + streams_++; }

 private:
  friend class Backprop;
  struct Node {
    Slot output;
    Backward backward;
  };

  Slot new_slot();
  void add_gradient(Slot slot, Tensor gradient);

  Mode mode_;
  RandomContext random_;
  GroupContext groups_;
  uint32_t streams_ = 0;
  std::vector<Node> nodes_;
  std::vector<Tensor> gradients_;  // by slot
  std::unordered_map<const Parameter*, int> uses_;
};

}  // namespace minnow
