#include <cmath>
#include <numeric>

#include "tests/op_case.h"

namespace minnow::test {
namespace {

Tensor labels_for(int64_t examples, int64_t classes) {
  Tensor labels = Tensor::empty({examples}, DType::int64);
  for (int64_t i = 0; i < examples; ++i) labels.data<int64_t>()[i] = (7 * i + 2) % classes;
  return labels;
}

Tensor one_hot(const Tensor& labels, int64_t classes) {
  Tensor t = Tensor::zeros({labels.numel(), classes}, DType::float64);
  for (int64_t i = 0; i < labels.numel(); ++i) {
    t.data<double>()[i * classes + labels.data<int64_t>()[i]] = 1;
  }
  return t;
}

/// Rows that add up to a number other than 1, with zeros among them: whole eighths, exact in
/// float32.
Tensor soft_targets(int64_t examples, int64_t classes) {
  Tensor t = Tensor::empty({examples, classes}, DType::float64);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] = static_cast<double>(i * i % 5) / 8;
  return t;
}

Tensor reference(const Tensor& x, const Tensor& targets, double smoothing) {
  const int64_t rows = x.dim(0), classes = x.dim(1);
  Tensor losses = Tensor::zeros({rows}, DType::float64);
  for (int64_t r = 0; r < rows; ++r) {
    const double* row = x.data<double>() + r * classes;
    const double sum = std::accumulate(row, row + classes, 0.0,
                                       [](double s, double v) { return s + std::exp(v); });
    for (int64_t i = 0; i < classes; ++i) {
      const double t = (1 - smoothing) * targets.data<double>()[r * classes + i] +
                       smoothing / static_cast<double>(classes);
      losses.data<double>()[r] -= t * (row[i] - std::log(sum));
    }
  }
  return losses;
}

Sample sample(std::string label, int64_t examples, int64_t classes, bool soft, double smoothing) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {{examples, classes}};
  s.bfloat16 = false;
  const Tensor labels = labels_for(examples, classes);
  const Tensor targets = soft ? soft_targets(examples, classes) : one_hot(labels, classes);
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t begin, int64_t end) {
    const Tensor mine =
        soft ? targets.slice(begin, end).to(v[0].dtype()) : labels.slice(begin, end);
    return cross_entropy(v[0], mine, smoothing);
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    return reference(v[0], targets, smoothing);
  };
  // Two sums over the classes; the exponential and the logarithm.
  s.terms = 2 * static_cast<double>(classes) + 8;
  const double values = static_cast<double>(examples * classes);
  s.forward_work.bytes = (soft ? 12 : 8) * values;
  s.backward_work.bytes = (soft ? 12 : 8) * values;
  return s;
}

void with_labels(Tape& tape, const std::vector<int64_t>& labels, double smoothing = 0) {
  cross_entropy(tape.leaf(random_normal({3, 10}, 1)), Tensor::from(labels, {std::ssize(labels)}),
                smoothing);
}

const RegisterOp cross_entropy_case{{
    .name = "cross_entropy",
    .samples = {sample("labels", 5, 7, false, 0), sample("smoothed", 4, 10, false, 0.1),
                sample("uniform", 3, 4, false, 1), sample("soft", 5, 6, true, 0),
                sample("soft_smoothed", 3, 9, true, 0.2), sample("one_class", 3, 1, false, 0.1),
                sample("one_example", 1, 33, false, 0), sample("no_examples", 0, 3, false, 0.1)},
    .errors =
        {{"cross_entropy: labels must lie in [0, C) with C = 10; got 10 at position 2",
          [](Tape& tape) {
            with_labels(tape, {0, 9, 10});
          }},
         {"cross_entropy: labels must lie in [0, C) with C = 10; got -1 at position 0",
          [](Tape& tape) {
            with_labels(tape, {-1, 0, 0});
          }},
         {"cross_entropy: labels must be [B] = [3]; got [2]",
          [](Tape& tape) {
            with_labels(tape, {0, 1});
          }},
         {"cross_entropy: smoothing must lie in [0, 1]; got 1.5",
          [](Tape& tape) {
            with_labels(tape, {0, 1, 2}, 1.5);
          }},
         {"cross_entropy: logits must be [B, C] with C > 0; got [3, 0]",
          [](Tape& tape) {
            cross_entropy(tape.leaf(random_normal({3, 0}, 1)), labels_for(3, 1));
          }},
         {"cross_entropy: targets must be [B] int64 or float64 [3, 4] like the logits; got float32 "
          "[3, 4]",
          [](Tape& tape) {
            cross_entropy(tape.leaf(random_normal({3, 4}, 1)), Tensor::zeros({3, 4}));
          }},
         {"cross_entropy: computes in float32 or float64; got int64",
          [](Tape& tape) {
            cross_entropy(tape.leaf(Tensor::zeros({3, 4}, DType::int64)), labels_for(3, 4));
          }}},
    .bench = {sample("cifar", 64, 10, false, 0.1), sample("imagenet", 256, 1000, false, 0.1),
              sample("mixed_up", 256, 1000, true, 0.1)},
}};

}  // namespace
}  // namespace minnow::test
