#include "tests/op_run.h"

#include <chrono>
#include <numeric>

#include "engine/memory.h"
#include "engine/param_grad.h"

namespace minnow::test {

void SumSink::take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form, bool) {
  Tensor& sum = gradients[&parameter];
  const bool accumulate = sum.defined();
  const Tensor& value = parameter.value;
  if (!accumulate) sum = Tensor::empty(value.shape(), value.dtype(), value.device());
  form->sum(sum, accumulate);
}

Var weighted_losses(const Var& y, const Tensor& weights) {
  const int64_t examples = y.dim(0), each = y.value().numel() / std::max<int64_t>(examples, 1);
  const Tensor values = on_cpu(y.value()).to(DType::float64);
  const Tensor w = on_cpu(weights).to(DType::float64);
  const Tensor exact = Tensor::empty({examples}, DType::float64);
  for (int64_t e = 0; e < examples; ++e) {
    const double* v = values.data<double>() + e * each;
    exact.data<double>()[e] = std::inner_product(v, v + each, w.data<double>() + e * each, 0.0);
  }
  return y.tape().record(exact.to(wide(y.dtype())).to(y.device()), {y.slot()}, {},
                         [slot = y.slot(), w, each, shape = y.shape(), dtype = y.dtype()](
                             Tensor seed, Backprop& back) {
                           const Tensor s = on_cpu(seed).to(DType::float64);
                           Tensor gy = Tensor::empty(shape, DType::float64);
                           for (int64_t i = 0; i < gy.numel(); ++i) {
                             gy.data<double>()[i] =
                                 s.data<double>()[i / each] * w.data<double>()[i];
                           }
                           back.give(slot, gy.to(dtype).to(seed.device()));
                         });
}

OpRun::OpRun(const Sample& sample, DType dtype, DType exact_in)
    : sample_(sample), dtype_(dtype), exact_in_(exact_in) {
  uint64_t seed = 1;
  for (const Shape& shape : sample.inputs) {
    inputs.push_back(random_normal(shape, seed++, DType::float32).to(DType::float64));
  }
  if (sample.adjust) sample.adjust(inputs);
  for (Tensor& x : inputs) x = on_device(rounded(x));
  for (const Shape& shape : sample.parameters) {
    Parameter p = random_parameter(fmt::format("p{}", seed), shape, seed, DType::float32);
    p.value = on_device(p.value.to(exact_in_).to(wide(dtype)));
    parameters.push_back(std::move(p));
    ++seed;
  }
}

/// In float64, or as it computes, but exact in the narrower dtype.
Tensor OpRun::rounded(const Tensor& x) const {
  return x.to(exact_in_).to(dtype_);
}

int64_t OpRun::examples() const {
  return inputs.empty() ? sample_.examples : inputs[0].dim(0);
}

Tensors OpRun::parameter_values() const {
  Tensors values;
  for (const Parameter& p : parameters) values.push_back(on_cpu(p.value));
  return values;
}

Tensors OpRun::input_values() const {
  Tensors values;
  for (const Tensor& x : inputs) values.push_back(on_cpu(x));
  return values;
}

Parameters OpRun::parameter_list() {
  Parameters list;
  for (Parameter& p : parameters) list.push_back(&p);
  return list;
}

Var OpRun::run(Tape& tape, int64_t begin, int64_t end, Vars& leaves) {
  const Tensor ids = Tensor::empty({end - begin}, DType::int64);
  std::iota(ids.data<int64_t>(), ids.data<int64_t>() + ids.numel(), begin);
  tape.set_random({.seed = 5, .step = 3, .example_ids = ids, .training = true});
  for (const Tensor& x : inputs) leaves.push_back(tape.leaf(x.slice(begin, end)));
  ParameterRefs refs;
  for (const Parameter& p : parameters) refs.push_back(&p);
  return sample_.forward(tape, leaves, refs, begin, end);
}

Tensor OpRun::weights(const Tensor& output, int64_t begin, int64_t end) {
  if (!weights_.defined()) {
    Shape whole = output.shape();
    whole[0] = examples();
    weights_ = rounded(random_normal(whole, 99, DType::float32));
  }
  return weights_.slice(begin, end);
}

Tensor OpRun::forward() {
  Tape tape(Tape::Mode::evaluate);
  Vars leaves;
  return on_cpu(run(tape, 0, examples(), leaves).value());
}

double OpRun::loss() {
  Tape tape(Tape::Mode::evaluate);
  Vars leaves;
  const Var y = run(tape, 0, examples(), leaves);
  const Var losses = weighted_losses(y, weights(y.value(), 0, examples()));
  const auto values = on_cpu(losses.value()).to(DType::float64).to_vector<double>();
  return std::accumulate(values.begin(), values.end(), 0.0);
}

Gradients OpRun::gradients() {
  Tape tape;
  Vars leaves;
  const Var y = run(tape, 0, examples(), leaves);
  const Var losses = weighted_losses(y, weights(y.value(), 0, examples()));
  SumSink sink;
  tape.backward(losses, Tensor::full(losses.shape(), 1, losses.dtype(), losses.device()), sink);
  const auto or_zero = [](const Tensor& g, const Tensor& x) {
    return on_cpu(g.defined() ? g : Tensor::zeros(x.shape(), x.dtype()));
  };
  Gradients result;
  for (size_t i = 0; i < leaves.size(); ++i) {
    result.inputs.push_back(or_zero(tape.gradient(leaves[i]), inputs[i]));
  }
  for (const Parameter& p : parameters) {
    result.parameters.push_back(or_zero(sink.gradients[&p], p.value));
  }
  return result;
}

namespace {

/// Seconds until the test device has done what `run` asks of it.
template <class F>
double seconds(F run) {
  synchronize(test_device());
  const auto start = std::chrono::steady_clock::now();
  run();
  synchronize(test_device());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

double OpRun::time_forward() {
  Tape tape(Tape::Mode::evaluate);
  Vars leaves;
  return seconds([&] { run(tape, 0, examples(), leaves); });
}

double OpRun::time_backward() {
  Tape tape;
  Vars leaves;
  const Var y = run(tape, 0, examples(), leaves);
  Tensor seed = on_device(weights(y.value(), 0, examples()).clone());
  SumSink sink;
  return seconds([&] { tape.backward(y, std::move(seed), sink); });
}

LossFn OpRun::loss_fn() {
  return [this](Tape& tape, int64_t begin, int64_t end) {
    Vars leaves;
    const Var y = run(tape, begin, end, leaves);
    return weighted_losses(y, weights(y.value(), begin, end));
  };
}

}  // namespace minnow::test
