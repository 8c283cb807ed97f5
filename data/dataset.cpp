#include "data/dataset.h"

#include <algorithm>
#include <cstring>

namespace minnow {
namespace {

/// Room for the inputs of the examples, side by side. Those of a ragged data set differ in their
/// first axis and are padded with zeros to the longest.
Tensor room_for(const std::vector<Example>& examples, bool ragged) {
  const Example& first = examples.front();
  Shape shape = first.input.shape();
  check(!ragged || !shape.empty(), "batch: a sequence has at least one axis");
  for (const Example& example : examples) {
    Shape other = example.input.shape();
    if (ragged && other.size() == shape.size()) shape[0] = other[0] = std::max(shape[0], other[0]);
    check(other == shape && example.input.dtype() == first.input.dtype(),
          "batch: inputs must agree in shape and dtype; got {} {} of example {} and {} {} of "
          "example {}",
          to_string(first.input.dtype()), to_string(first.input.shape()), first.id,
          to_string(example.input.dtype()), to_string(example.input.shape()), example.id);
  }
  shape.insert(shape.begin(), std::ssize(examples));
  return ragged ? Tensor::zeros(shape, first.input.dtype())
                : Tensor::empty(shape, first.input.dtype());
}

/// Target sequences side by side: targets [B, U] padded with zeros, their lengths, and the texts.
void add_targets(const std::vector<Example>& examples, Batch& batch) {
  const int64_t B = std::ssize(examples);
  int64_t longest = 0;
  for (const Example& e : examples) longest = std::max<int64_t>(longest, std::ssize(e.target));
  batch.targets = Tensor::zeros({B, longest}, DType::int64);
  batch.target_lengths = Tensor::empty({B}, DType::int64);
  for (int64_t b = 0; b < B; ++b) {
    const std::vector<int64_t>& target = examples[b].target;
    std::copy(target.begin(), target.end(), batch.targets.data<int64_t>() + b * longest);
    batch.target_lengths.data<int64_t>()[b] = std::ssize(target);
    batch.texts.push_back(examples[b].text);
  }
}

}  // namespace

Batch make_batch(const Dataset& dataset, std::span<const int64_t> indices, int64_t epoch) {
  check(!indices.empty(), "batch: needs at least one example");
  std::vector<Example> examples;
  examples.reserve(indices.size());
  for (int64_t i : indices) examples.push_back(dataset.get(i, epoch));
  const int64_t B = std::ssize(examples);
  Batch batch;
  batch.inputs = room_for(examples, dataset.ragged());  // [B, ...]
  batch.labels = Tensor::empty({B}, DType::int64);
  batch.ids = Tensor::empty({B}, DType::int64);
  if (dataset.ragged()) batch.lengths = Tensor::empty({B}, DType::int64);
  const int64_t room = batch.inputs.nbytes() / B;
  for (int64_t b = 0; b < B; ++b) {
    const Example& example = examples[b];
    if (example.input.nbytes() > 0) {
      std::memcpy(batch.inputs.raw() + b * room, example.input.raw(),
                  static_cast<size_t>(example.input.nbytes()));
    }
    if (dataset.ragged()) batch.lengths.data<int64_t>()[b] = example.input.dim(0);
    batch.labels.data<int64_t>()[b] = example.label;
    batch.ids.data<int64_t>()[b] = example.id;
    batch.marked.push_back(example.marked);
    batch.domains.push_back(example.domain);
  }
  if (dataset.transcribed()) add_targets(examples, batch);
  return batch;
}

}  // namespace minnow
