#include "tests/op_case.h"

namespace minnow::test {
namespace {

using Combine = double (*)(double, double);

/// An op of two equal shapes.
Sample pair_sample(std::string label, Shape shape, Var (*op)(const Var&, const Var&), Combine f) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {shape, shape};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return op(v[0], v[1]);
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    Tensor y = Tensor::empty(v[0].shape(), DType::float64);
    for (int64_t i = 0; i < y.numel(); ++i) {
      y.data<double>()[i] = f(v[0].data<double>()[i], v[1].data<double>()[i]);
    }
    return y;
  };
  s.terms = 1;
  s.forward_work.bytes = 12.0 * static_cast<double>(numel(shape));
  return s;
}

/// Both operands are one value: its two gradients are added up.
Sample twice_sample(Var (*op)(const Var&, const Var&), Combine f) {
  Sample s;
  s.label = "twice";
  s.inputs = {{3, 4}};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return op(v[0], v[0]);
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    return map(v[0], [=](double x) { return f(x, x); });
  };
  s.terms = 1;
  return s;
}

OpCase pair_case(std::string name, Var (*op)(const Var&, const Var&), Combine f,
                 double backward_arrays) {
  Sample vit = pair_sample("vit", {64, 65, 192}, op, f);
  vit.backward_work.bytes = 4 * backward_arrays * 64 * 65 * 192;
  return {
      .name = name,
      .samples = {pair_sample("odd", {3, 5, 7}, op, f), pair_sample("one", {1, 1}, op, f),
                  pair_sample("empty", {2, 0}, op, f), twice_sample(op, f)},
      .errors = {{name + ": both inputs must have one shape and dtype; got float64 [2, 3] and "
                         "float64 [3, 2]",
                  [=](Tape& tape) {
                    op(tape.leaf(random_normal({2, 3}, 1)), tape.leaf(random_normal({3, 2}, 2)));
                  }},
                 {name + ": both inputs must have one shape and dtype; got float32 [2] and "
                         "float64 [2]",
                  [=](Tape& tape) {
                    op(tape.leaf(random_normal({2}, 1, DType::float32)),
                       tape.leaf(random_normal({2}, 2)));
                  }}},
      .bench = {vit}};
}

Sample scale_sample(std::string label, Shape shape, double factor) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {shape};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return scale(v[0], factor);
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    return map(v[0], [=](double x) { return factor * x; });
  };
  s.terms = 2;  // the factor itself is rounded
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(shape));
  s.backward_work.bytes = s.forward_work.bytes;
  return s;
}

double plus(double a, double b) {
  return a + b;
}
double times(double a, double b) {
  return a * b;
}

using RowsOp = Var (*)(const Var&, const Parameter&);

/// A parameter of the last elements of x, added to them, or times them, over and over.
Sample rows_sample(std::string label, Shape x, Shape p, RowsOp op, Combine f = plus) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.parameters = {p};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs& parameter, int64_t, int64_t) {
    return op(v[0], *parameter[0]);
  };
  s.reference = [f](const Tensors& v, const Tensors& parameter) {
    Tensor y = v[0].clone();
    for (int64_t i = 0; i < y.numel(); ++i) {
      double& to = y.data<double>()[i];
      to = f(to, parameter[0].data<double>()[i % parameter[0].numel()]);
    }
    return y;
  };
  // One addition; the parameter's gradient is a sum over the rows.
  s.terms = 1 + static_cast<double>(numel(x)) / static_cast<double>(std::max<int64_t>(numel(p), 1));
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = 4.0 * static_cast<double>(numel(x));  // the gradient of x is gy itself
  return s;
}

Sample scaled_rows(std::string label, Shape x, Shape p) {
  Sample s = rows_sample(std::move(label), x, std::move(p), layer_scale, times);
  s.terms += 1;
  s.backward_work.bytes = 20.0 * static_cast<double>(numel(x));  // gy twice, x, products, gx
  return s;
}

const RegisterOp add_case{pair_case("add", add, plus, 0)};
const RegisterOp mul_case{pair_case("mul", mul, times, 5)};
const RegisterOp scale_case{
    {.name = "scale",
     .samples = {scale_sample("odd", {3, 5, 7}, -0.3), scale_sample("zero", {2, 3}, 0),
                 scale_sample("empty", {2, 0}, 2)},
     .errors = {{"scale: computes in float32 or float64; got int64",
                 [](Tape& tape) {
                   scale(tape.leaf(Tensor::zeros({2, 3}, DType::int64)), 2);
                 }}},
     .bench = {scale_sample("vit", {64, 65, 192}, 0.5)}}};
const RegisterOp add_bias_case{
    {.name = "add_bias",
     .samples = {rows_sample("tokens", {5, 3, 4}, {4}, add_bias),
                 rows_sample("one_column", {4, 1}, {1}, add_bias),
                 rows_sample("one_example", {1, 6}, {6}, add_bias),
                 rows_sample("no_rows", {3, 0, 4}, {4}, add_bias)},
     .errors = {{"add_bias: bias must be [C] with C the last axis of x [2, 4]; got [5]",
                 [](Tape& tape) {
                   const Parameter p = random_parameter("b", {5}, 1);
                   add_bias(tape.leaf(random_normal({2, 4}, 2)), p);
                 }}},
     .bench = {rows_sample("vit", {64, 65, 768}, {768}, add_bias)}}};
Tensor positions() {
  return random_normal({3, 4}, 5, DType::float32);
}

Sample constant_sample() {
  Sample s;
  s.label = "positions";
  s.inputs = {{5, 3, 4}};
  s.forward = [](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return add_constant(v[0], on_device(positions().to(wide(v[0].dtype()))));
  };
  s.reference = [](const Tensors& v, const Tensors&) {
    Tensor y = v[0].clone();
    const Tensor c = positions();
    for (int64_t i = 0; i < y.numel(); ++i) {
      y.data<double>()[i] += c.data<float>()[i % c.numel()];
    }
    return y;
  };
  s.terms = 1;
  return s;
}

const RegisterOp add_constant_case{
    {.name = "add_constant",
     .samples = {constant_sample()},
     .errors = {{"add_constant: the constant must have the shape of one example of x [2, 4, 3]; "
                 "got [3, 4]",
                 [](Tape& tape) {
                   add_constant(tape.leaf(random_normal({2, 4, 3}, 2)), positions());
                 }}}}};
const RegisterOp add_parameter_case{
    {.name = "add_parameter",
     .samples = {rows_sample("position", {5, 3, 4}, {1, 3, 4}, add_parameter),
                 rows_sample("bare", {4, 2, 3}, {2, 3}, add_parameter),
                 rows_sample("one_example", {1, 6}, {6}, add_parameter)},
     .errors = {{"add_parameter: \"pos\" must have the shape of one example, [3, 4]; got [1, 4, 3]",
                 [](Tape& tape) {
                   const Parameter p = random_parameter("pos", {1, 4, 3}, 1);
                   add_parameter(tape.leaf(random_normal({2, 3, 4}, 2)), p);
                 }},
                {"add_parameter: x needs a leading example axis; got a scalar",
                 [](Tape& tape) {
                   const Parameter p = random_parameter("pos", {1}, 1);
                   add_parameter(tape.leaf(random_normal({}, 2)), p);
                 }}},
     .bench = {rows_sample("vit", {64, 65, 192}, {1, 65, 192}, add_parameter)}}};

const RegisterOp layer_scale_case{
    {.name = "layer_scale",
     .samples = {scaled_rows("tokens", {5, 3, 4}, {4}), scaled_rows("one_column", {4, 1}, {1}),
                 scaled_rows("one_example", {1, 6}, {6}), scaled_rows("no_rows", {3, 0, 4}, {4})},
     .errors = {{"layer_scale: gamma must be [C] with C the last axis of x [2, 4]; got [5]",
                 [](Tape& tape) {
                   const Parameter p = random_parameter("gamma", {5}, 1);
                   layer_scale(tape.leaf(random_normal({2, 4}, 2)), p);
                 }}},
     .bench = {scaled_rows("vit", {64, 65, 192}, {192})}}};

}  // namespace
}  // namespace minnow::test
