#include "tests/grouped/problem.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "tests/op_case.h"
#include "tests/op_run.h"

namespace minnow::test {

namespace {

constexpr int64_t examples = 7;

/// Away from the special values of an initialisation: zero biases, unit scales, a tiny class token.
void disturb(const Parameters& parameters) {
  uint64_t seed = 100;
  for (Parameter* p : parameters) {
    const Tensor shift = random_normal(p->value.shape(), seed++, DType::float32);
    for (int64_t i = 0; i < shift.numel(); ++i) {
      p->value.data<float>()[i] += 0.1f * shift.data<float>()[i];
    }
  }
}

Tensor output_lengths(const nn::Model& model, const Tensor& lengths) {
  std::vector<int64_t> counts;
  for (int64_t length : lengths.to_vector<int64_t>()) {
    counts.push_back(model.output_length(length));
  }
  return Tensor::from(counts, lengths.shape());
}

}  // namespace

LossFn Problem::loss() const {
  return [this](Tape& tape, int64_t begin, int64_t end) {
    std::vector<int64_t> rows(static_cast<size_t>(end - begin));
    std::iota(rows.begin(), rows.end(), begin);
    return losses(tape, rows);
  };
}

Var Problem::losses(Tape& tape, std::span<const int64_t> rows) const {
  const int64_t n = std::ssize(rows);
  const auto part = [&](const Tensor& all) {
    if (!all.defined()) return all;
    Shape shape = all.shape();
    shape[0] = n;
    Tensor some = Tensor::empty(shape, all.dtype(), all.device());
    for (int64_t i = 0; i < n; ++i) some.slice(i, i + 1).copy_from(all.slice(rows[i], rows[i] + 1));
    return some;
  };
  const Tensor ids = Tensor::from(std::vector<int64_t>(rows.begin(), rows.end()), {n});
  tape.set_random({.seed = 11, .step = 2, .example_ids = ids, .training = true});
  const Var x = tape.input(part(inputs));
  const Tensor here = part(lengths);  // as in a run they are on the host, which waits for nothing
  const auto ctc = [&](const Var& logits) {
    return ctc_loss(logits, on_device(output_lengths(*model, here)), part(targets),
                    part(target_lengths));
  };
  const Tensor ends = here.defined() ? on_device(here) : here;
  if (intermediate > 0) {
    const auto [last, middle] = dynamic_cast<nn::Conformer&>(*model).forward_with_middle(x, ends);
    return add(scale(ctc(last), 1 - intermediate), scale(ctc(middle), intermediate));
  }
  const Var logits = model->forward(x, ends);
  return targets.defined() ? ctc(logits) : cross_entropy(logits, part(labels), 0.1);
}

void Problem::convert(DType dtype) {
  if (inputs.dtype() != DType::int64) inputs = inputs.to(dtype);  // ids stay ids
  inputs = on_device(inputs);
  for (Parameter* p : parameters()) p->value = on_device(p->value.to(dtype));
}

namespace {

/// Ids in [1, V = 9) instead of pictures, of lengths 1 to T = 6.
void give_texts(Problem& problem) {
  constexpr int64_t tokens = 6;
  problem.lengths = Tensor::from(std::vector<int64_t>{6, 1, 3, 6, 2, 5, 4}, {examples});
  problem.inputs = Tensor::zeros({examples, tokens}, DType::int64);
  for (int64_t i = 0; i < examples; ++i) {
    for (int64_t t = 0; t < problem.lengths.data<int64_t>()[i]; ++t)
      problem.inputs.data<int64_t>()[i * tokens + t] = 1 + (5 * i + 3 * t * t) % 8;
  }
}

}  // namespace

std::vector<Problem> problems(DType dtype) {
  std::vector<Problem> all;
  const auto add = [&](const std::string& name, nn::ModelConfig config) {
    config.name = name;
    config.vit.image = 8;
    config.vit.classes = 4;
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < examples; ++i) labels.push_back(i * 3 % 4);
    config.vocabulary = 9;
    Problem problem{name, nn::make_model(config, 3),
                    random_normal({examples, 3, 8, 8}, 21, DType::float32),
                    Tensor::from(labels, {examples})};
    if (name == "text") give_texts(problem);
    disturb(problem.parameters());
    problem.convert(dtype);
    all.push_back(std::move(problem));
  };
  add("mlp", {.hidden = {12, 9}});
  add("convnet", {.width = 6});
  add("vit",
      {.vit = {.patch = 4, .dim = 12, .depth = 2, .heads = 2, .dropout = 0.1, .drop_path = 0.2}});
  add("text", {.vit = {.dim = 12, .depth = 2, .heads = 2, .dropout = 0.1}, .max_tokens = 8});
  all.push_back(speech_problem(dtype));
  return all;
}

Problem speech_problem(DType dtype, const nn::ConformerConfig& conformer) {
  nn::ModelConfig config{.name = "conformer",
                         .vit = {.channels = 8,
                                 .classes = 4,
                                 .dim = 12,
                                 .depth = 2,
                                 .heads = 2,
                                 .mlp_ratio = 2,
                                 .dropout = 0.1},
                         .conformer = conformer};
  config.conformer.conv_kernel = 5;
  config.conformer.subsampling = 3;
  constexpr int64_t frames = 27;
  Problem problem{"conformer",
                  nn::make_model(config, 3),
                  random_normal({examples, frames, 8}, 21, DType::float32),
                  {},
                  Tensor::from<int64_t>({frames, 11, 3, 7, 23, 0, frames}, {examples}),
                  Tensor::zeros({examples, 3}, DType::int64),
                  Tensor::zeros({examples}, DType::int64)};
  for (int64_t b = 0; b < examples; ++b) {
    const int64_t room = problem.model->output_length(problem.lengths.data<int64_t>()[b]);
    const int64_t letters = std::min(room, b % 4);
    problem.target_lengths.data<int64_t>()[b] = letters;
    for (int64_t u = 0; u < letters; ++u) {
      problem.targets.data<int64_t>()[b * 3 + u] = 1 + (b + u) % 3;  // no letter twice in a row
    }
  }
  problem.intermediate = conformer.intermediate;
  disturb(problem.parameters());
  problem.targets = on_device(problem.targets);
  problem.target_lengths = on_device(problem.target_lengths);
  problem.convert(dtype);
  return problem;
}

std::vector<Tensor> plain_gradient(const Problem& problem) {
  Tape tape;
  const Var losses = problem.loss()(tape, 0, problem.examples());
  SumSink sink;
  tape.backward(losses,
                Tensor::full(losses.shape(), 1.0 / static_cast<double>(problem.examples()),
                             losses.dtype(), losses.device()),
                sink);
  std::vector<Tensor> gradients;
  for (const Parameter* p : problem.parameters()) gradients.push_back(sink.gradients[p]);
  return gradients;
}

double relative_difference(const Tensor& a, const Tensor& b) {
  const auto x = on_cpu(a).to(DType::float64).to_vector<double>();
  const auto y = on_cpu(b).to(DType::float64).to_vector<double>();
  double difference = 0, magnitude = 1e-300;
  for (size_t i = 0; i < y.size(); ++i) {
    if (!std::isfinite(x[i])) return HUGE_VAL;
    difference = std::max(difference, std::abs(x[i] - y[i]));
    magnitude = std::max(magnitude, std::abs(y[i]));
  }
  return difference / magnitude;
}

bool identical(const Tensor& x, const Tensor& y) {
  if (!x.defined() || !y.defined()) return x.defined() == y.defined();
  const Tensor a = on_cpu(x), b = on_cpu(y);
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

}  // namespace minnow::test
