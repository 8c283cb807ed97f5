#include <cmath>
#include <numeric>

#include "tests/op_case.h"
#include "tests/ops/ctc_targets.h"

namespace minnow::test {
namespace {

/// What an alignment says: runs of one class drawn together, then the blanks left out.
Labels collapse(const Labels& alignment) {
  Labels said;
  for (size_t t = 0; t < alignment.size(); ++t) {
    if (alignment[t] != 0 && (t == 0 || alignment[t] != alignment[t - 1])) {
      said.push_back(alignment[t]);
    }
  }
  return said;
}

/// The definition, over all classes^frames alignments of each example.
Tensor reference(const Tensor& x, const std::vector<int64_t>& lengths,
                 const std::vector<Labels>& labels) {
  const int64_t examples = x.dim(0), frames = x.dim(1), classes = x.dim(2);
  Tensor losses = Tensor::empty({examples}, DType::float64);
  for (int64_t b = 0; b < examples; ++b) {
    std::vector<double> p;  // [frames, classes] of this example
    for (int64_t t = 0; t < lengths[b]; ++t) {
      const double* row = x.data<double>() + (b * frames + t) * classes;
      const double sum = std::accumulate(row, row + classes, 0.0,
                                         [](double s, double v) { return s + std::exp(v); });
      for (int64_t k = 0; k < classes; ++k) p.push_back(std::exp(row[k]) / sum);
    }
    double total = 0;
    Labels alignment(static_cast<size_t>(lengths[b]), 0);
    for (bool more = true; more;) {
      if (collapse(alignment) == labels[b]) {
        double product = 1;
        for (int64_t t = 0; t < lengths[b]; ++t) product *= p[t * classes + alignment[t]];
        total += product;
      }
      more = false;  // the next one, as a number of `lengths[b]` digits
      for (int64_t t = 0; t < lengths[b] && !more; ++t) {
        alignment[t] = (alignment[t] + 1) % classes;
        more = alignment[t] != 0;
      }
    }
    losses.data<double>()[b] = -std::log(total);
  }
  return losses;
}

/// Logits of `frames` frames and `classes` classes.
Sample sample(std::string label, int64_t frames, int64_t classes,
              const std::vector<int64_t>& lengths, const std::vector<Labels>& labels) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {{std::ssize(labels), frames, classes}};
  s.bfloat16 = false;
  const CtcTargets targets = ctc_targets(lengths, labels);
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t begin, int64_t end) {
    return ctc_loss(v[0], targets.slice(begin, end));
  };
  s.reference = [=](const Tensors& v, const Tensors&) { return reference(v[0], lengths, labels); };
  // In each frame a sum over the classes, its exponentials and logarithm, and a sum of three
  // states.
  s.terms = static_cast<double>(frames * (classes + 16));
  const auto values = static_cast<double>(std::ssize(labels) * frames * classes);
  s.forward_work.bytes = 8 * values;
  s.backward_work.bytes = 8 * values;
  return s;
}

/// Equal examples of full length.
Sample bench(std::string label, int64_t examples, int64_t frames, int64_t classes, int64_t count) {
  Labels labels;
  for (int64_t i = 0; i < count; ++i) labels.push_back(1 + i * 7 % 11 % (classes - 1));
  return sample(std::move(label), frames, classes,
                std::vector<int64_t>(static_cast<size_t>(examples), frames),
                std::vector<Labels>(static_cast<size_t>(examples), labels));
}

/// Three examples of four frames and five classes.
void with(Tape& tape, const std::vector<int64_t>& lengths, const std::vector<Labels>& labels) {
  ctc_loss(tape.leaf(random_normal({3, 4, 5}, 1)), ctc_targets(lengths, labels));
}

const RegisterOp ctc_case{{
    .name = "ctc_loss",
    .samples = {sample("lengths", 6, 4, {6, 3, 4, 1}, {{1, 2, 3}, {3, 1}, {2}, {1}}),
                // As many frames as labels and blanks between equal ones need, and one more.
                sample("repeats", 5, 3, {3, 4, 5, 5}, {{1, 1}, {2, 2}, {1, 1, 1}, {1, 2, 2, 1}}),
                sample("empty_targets", 5, 3, {5, 0, 2, 4}, {{}, {}, {}, {2, 1}}),
                sample("no_labels_at_all", 4, 3, {4, 2}, {{}, {}}),
                sample("one_frame", 1, 6, {1, 1}, {{5}, {}}),
                sample("blank_only", 3, 1, {3, 2}, {{}, {}}),
                sample("one_example", 7, 3, {7}, {{2, 1, 2}}), sample("no_frames", 0, 3, {0}, {{}}),
                sample("no_examples", 3, 4, {}, {})},
    .errors =
        {{"ctc_loss: targets must lie in [1, V) with V = 5; got 5 at position 1 of example 2",
          [](Tape& tape) {
            with(tape, {4, 4, 4}, {{1}, {4}, {1, 5}});
          }},
         {"ctc_loss: targets must lie in [1, V) with V = 5; got 0 at position 0 of example 1",
          [](Tape& tape) {
            with(tape, {4, 4, 4}, {{1}, {0}, {1}});
          }},
         {"ctc_loss: lengths must lie in [0, T] with T = 4; got 5 for example 1",
          [](Tape& tape) {
            with(tape, {4, 5, 4}, {{1}, {1}, {1}});
          }},
         {"ctc_loss: lengths must lie in [0, T] with T = 4; got -1 for example 0",
          [](Tape& tape) {
            with(tape, {-1, 4, 4}, {{1}, {1}, {1}});
          }},
         {"ctc_loss: target_lengths must lie in [0, U] with U = 2; got 3 for example 1",
          [](Tape& tape) {
            CtcTargets t = ctc_targets({4, 4}, {{1, 1}, {1, 1}});
            t.label_counts = Tensor::from(std::vector<int64_t>{2, 3}, {2});
            ctc_loss(tape.leaf(random_normal({2, 4, 5}, 1)), t);
          }},
         {"ctc_loss: lengths must be int64 [B] with B = 3; got int64 [2]",
          [](Tape& tape) {
            with(tape, {4, 4}, {{1}, {1}, {1}});
          }},
         {"ctc_loss: targets must be [B, U] int64 with B = 3; got [2, 1] int64",
          [](Tape& tape) {
            with(tape, {4, 4}, {{1}, {1}});
          }},
         {"ctc_loss: logits must be [B, T, V] with V > 0; got [2, 3]",
          [](Tape& tape) {
            ctc_loss(tape.leaf(random_normal({2, 3}, 1)), ctc_targets({1, 1}, {{1}, {1}}));
          }},
         {"ctc_loss: computes in float32 or float64; got int64",
          [](Tape& tape) {
            ctc_loss(tape.leaf(Tensor::zeros({1, 2, 3}, DType::int64)), ctc_targets({1}, {{1}}));
          }}},
    .bench = {bench("letters", 16, 100, 30, 25), bench("utterances", 16, 400, 30, 200),
              bench("word_pieces", 16, 400, 1000, 60)},
}};

}  // namespace
}  // namespace minnow::test
