#include "tests/grouped/problem.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "tests/op_case.h"
#include "tests/op_run.h"

namespace minnow::test {

LossFn Problem::loss() const {
  return [this](Tape& tape, int64_t begin, int64_t end) {
    const Tensor ids = Tensor::empty({end - begin}, DType::int64);
    std::iota(ids.data<int64_t>(), ids.data<int64_t>() + ids.numel(), begin);
    tape.set_random({.seed = 11, .step = 2, .example_ids = ids, .training = true});
    const Tensor ends = lengths.defined() ? lengths.slice(begin, end) : Tensor();
    const Var logits = model->forward(tape.input(inputs.slice(begin, end)), ends);
    return cross_entropy(logits, labels.slice(begin, end), 0.1);
  };
}

void Problem::convert(DType dtype) {
  if (inputs.dtype() != DType::int64) inputs = inputs.to(dtype);  // ids stay ids
  inputs = on_device(inputs);
  for (Parameter* p : parameters()) p->value = on_device(p->value.to(dtype));
}

namespace {

/// Ids in [1, V = 9) instead of pictures, of lengths 1 to T = 6.
void give_texts(Problem& problem) {
  const int64_t examples = problem.examples(), tokens = 6;
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
    constexpr int64_t examples = 7;
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < examples; ++i) labels.push_back(i * 3 % 4);
    config.vocabulary = 9;
    Problem problem{name, nn::make_model(config, 3),
                    random_normal({examples, 3, 8, 8}, 21, DType::float32),
                    Tensor::from(labels, {examples})};
    if (name == "text") give_texts(problem);
    // Away from the special values of an initialisation: zero biases, unit scales, a tiny class
    // token.
    uint64_t seed = 100;
    for (Parameter* p : problem.parameters()) {
      const Tensor shift = random_normal(p->value.shape(), seed++, DType::float32);
      for (int64_t i = 0; i < shift.numel(); ++i) {
        p->value.data<float>()[i] += 0.1f * shift.data<float>()[i];
      }
    }
    problem.convert(dtype);
    all.push_back(std::move(problem));
  };
  add("mlp", {.hidden = {12, 9}});
  add("convnet", {.width = 6});
  add("vit",
      {.vit = {.patch = 4, .dim = 12, .depth = 2, .heads = 2, .dropout = 0.1, .drop_path = 0.2}});
  add("text", {.vit = {.dim = 12, .depth = 2, .heads = 2, .dropout = 0.1}, .max_tokens = 8});
  return all;
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
  const Tensor a = on_cpu(x), b = on_cpu(y);
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

}  // namespace minnow::test
