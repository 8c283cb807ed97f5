#pragma once

#include <memory>
#include <span>

#include "engine/grouped_backward.h"
#include "nn/models.h"

namespace minnow::test {

/// A whole model on a random batch, as the grouped tests need it.
struct Problem {
  std::string name;
  std::unique_ptr<nn::Model> model;
  Tensor inputs;                             ///< [B, C, H, W]; or ids [B, T]; or frames [B, T, F]
  Tensor labels;                             ///< [B], or none where there are transcripts
  Tensor lengths = {};                       ///< [B], of ids and frames, on the host
  Tensor targets = {}, target_lengths = {};  ///< transcripts [B, U], [B]
  double intermediate = 0;                   ///< the middle layer's share of a Conformer's loss

  Parameters parameters() const { return model->parameters(); }
  int64_t examples() const { return inputs.dim(0); }
  /// Cross-entropy, or CTC, of the examples; dropout, where the model has any, keyed by their
  /// positions.
  LossFn loss() const;
  /// The same of these examples, in this order.
  Var losses(Tape& tape, std::span<const int64_t> rows) const;
  /// Everything in another dtype, and on the test device.
  void convert(DType dtype);
};

/// An MLP, a small conv net, a ViT with dropout and drop-path, a text encoder and a Conformer with
/// dropout on ragged inputs, with B = 7 examples each.
std::vector<Problem> problems(DType dtype);
/// The last of them.
Problem speech_problem(DType dtype, const nn::ConformerConfig& config = {});

/// Plain gradients of the average loss by one backward pass, with no grouping anywhere near.
std::vector<Tensor> plain_gradient(const Problem& problem);

/// Largest |a - b| over the largest |b|.
double relative_difference(const Tensor& a, const Tensor& b);
bool identical(const Tensor& a, const Tensor& b);

}  // namespace minnow::test
