#include "tests/op_case.h"

namespace minnow::test {
namespace {

double at(const Tensor& x, int64_t b, int64_t t, int64_t d) {
  return x.data<double>()[(b * x.dim(1) + t) * x.dim(2) + d];
}

/// y[b, d] = f(x, b, d).
template <class F>
Tensor per_example(const Tensor& x, F f) {
  const int64_t examples = x.dim(0), width = x.dim(2);
  Tensor y = Tensor::empty({examples, width}, DType::float64);
  for (int64_t i = 0; i < y.numel(); ++i) y.data<double>()[i] = f(x, i / width, i % width);
  return y;
}

Sample mean_sample(std::string label, Shape x, int64_t first, std::vector<int64_t> lengths = {}) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t begin, int64_t end) {
    if (lengths.empty()) return mean_tokens(v[0], first);
    const Tensor all = on_device(Tensor::from(lengths, {std::ssize(lengths)}));
    return mean_tokens(v[0], first, all.slice(begin, end));
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    return per_example(v[0], [=](const Tensor& in, int64_t b, int64_t d) {
      const int64_t last = lengths.empty() ? in.dim(1) : lengths[b];
      double sum = 0;
      for (int64_t t = first; t < last; ++t) sum += at(in, b, t, d);
      return last > first ? sum / static_cast<double>(last - first) : 0;
    });
  };
  s.terms = static_cast<double>(x[1]) + 2;
  s.forward_work.bytes = 4.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = 4.0 * static_cast<double>(numel(x));
  return s;
}

Sample select_sample(std::string label, Shape x, int64_t index) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return select_token(v[0], index);
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    return per_example(v[0],
                       [=](const Tensor& in, int64_t b, int64_t d) { return at(in, b, index, d); });
  };
  s.terms = 0;  // a copy
  s.forward_work.bytes = 8.0 * static_cast<double>(x[0] * x[2]);
  s.backward_work.bytes = 4.0 * static_cast<double>(numel(x));
  return s;
}

Sample prepend_sample(std::string label, Shape x, Shape token) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.parameters = {token};
  s.forward = [](Tape&, const Vars& v, const ParameterRefs& p, int64_t, int64_t) {
    return prepend_token(v[0], *p[0]);
  };
  s.reference = [](const Tensors& v, const Tensors& p) {
    const int64_t examples = v[0].dim(0), tokens = v[0].dim(1) + 1, width = v[0].dim(2);
    Tensor y = Tensor::empty({examples, tokens, width}, DType::float64);
    for (int64_t i = 0; i < y.numel(); ++i) {
      const int64_t b = i / (tokens * width), t = i / width % tokens, d = i % width;
      y.data<double>()[i] = t == 0 ? p[0].data<double>()[d] : at(v[0], b, t - 1, d);
    }
    return y;
  };
  s.terms = 0;  // a copy; the token's gradient is a sum over the examples
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = 8.0 * static_cast<double>(numel(x));
  return s;
}

Sample reshape_sample(std::string label, Shape from, Shape to) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {from};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t begin, int64_t end) {
    Shape shape = to;
    shape[0] = end - begin;
    return reshape(v[0], shape);
  };
  s.reference = [=](const Tensors& v, const Tensors&) { return v[0].reshape(to); };
  s.terms = 0;  // the same elements
  return s;
}

void run_error(Tape& tape, Shape x, Var (*op)(const Var&, int64_t), int64_t argument) {
  op(tape.leaf(random_normal(x, 1)), argument);
}

Var mean(const Var& x, int64_t first) {
  return mean_tokens(x, first);
}

const RegisterOp mean_case{{
    .name = "mean_tokens",
    .samples = {mean_sample("all", {4, 5, 3}, 0), mean_sample("without_class", {3, 6, 7}, 1),
                mean_sample("last", {2, 4, 3}, 3), mean_sample("one_column", {3, 5, 1}, 2),
                mean_sample("one_example", {1, 3, 2}, 0), mean_sample("empty", {0, 3, 2}, 0),
                mean_sample("lengths", {5, 4, 3}, 0, {4, 1, 0, 3, 2}),
                mean_sample("lengths_without_class", {4, 5, 8}, 1, {5, 1, 0, 3})},
    .errors = {{"mean_tokens: x must be [B, T, D]; got [2, 3]",
                [](Tape& tape) {
                  run_error(tape, {2, 3}, mean, 0);
                }},
               {"mean_tokens: first must lie in [0, T) with T = 3; got 3",
                [](Tape& tape) {
                  run_error(tape, {2, 3, 4}, mean, 3);
                }},
               {"mean_tokens: lengths must lie in [0, T] with T = 3; got 4 for example 1",
                [](Tape& tape) {
                  mean_tokens(tape.leaf(random_normal({2, 3, 4}, 1)), 0,
                              Tensor::from(std::vector<int64_t>{3, 4}, {2}));
                }}},
    .bench = {mean_sample("vit", {64, 65, 192}, 1)},
}};
const RegisterOp select_case{{
    .name = "select_token",
    .samples = {select_sample("first", {4, 5, 3}, 0), select_sample("middle", {3, 6, 7}, 2),
                select_sample("last", {2, 4, 3}, 3), select_sample("one_column", {3, 5, 1}, 1),
                select_sample("one_example", {1, 1, 2}, 0), select_sample("empty", {0, 3, 2}, 0)},
    .errors = {{"select_token: x must be [B, T, D]; got [2, 3, 4, 5]",
                [](Tape& tape) {
                  run_error(tape, {2, 3, 4, 5}, select_token, 0);
                }},
               {"select_token: index must lie in [0, T) with T = 3; got -1",
                [](Tape& tape) {
                  run_error(tape, {2, 3, 4}, select_token, -1);
                }}},
    .bench = {select_sample("vit", {64, 65, 192}, 0)},
}};
const RegisterOp prepend_case{{
    .name = "prepend_token",
    .samples = {prepend_sample("tokens", {5, 3, 4}, {1, 1, 4}),
                prepend_sample("one_column", {4, 2, 1}, {1}),
                prepend_sample("one_example", {1, 3, 5}, {1, 5}),
                prepend_sample("no_tokens", {3, 0, 4}, {4})},
    .errors =
        {{"prepend_token: \"cls\" must have D = 4 elements, the last axis of x; got [1, 1, 5]",
          [](Tape& tape) {
            const Parameter p = random_parameter("cls", {1, 1, 5}, 1);
            prepend_token(tape.leaf(random_normal({2, 3, 4}, 2)), p);
          }},
         {"prepend_token: x must be [B, T, D]; got [2, 4]",
          [](Tape& tape) {
            const Parameter p = random_parameter("cls", {4}, 1);
            prepend_token(tape.leaf(random_normal({2, 4}, 2)), p);
          }}},
    .bench = {prepend_sample("vit", {64, 64, 192}, {1, 1, 192})},
}};
const RegisterOp reshape_case{{
    .name = "reshape",
    .samples = {reshape_sample("flatten", {4, 3, 2}, {4, 6}),
                reshape_sample("split", {3, 6}, {3, 2, 3}),
                reshape_sample("empty", {2, 0}, {2, 3, 0}),
                reshape_sample("inferred", {2, 6}, {2, -1, 2})},
    .errors =
        {{"reshape: the leading axis is the example and must stay as it is in [4, 3]; got [3, 4]",
          [](Tape& tape) {
            reshape(tape.leaf(random_normal({4, 3}, 1)), {3, 4});
          }},
         {"reshape: [4, 3] has 12 elements; [4, 5] has another number",
          [](Tape& tape) {
            reshape(tape.leaf(random_normal({4, 3}, 1)), {4, 5});
          }}},
    .bench = {},
}};

}  // namespace
}  // namespace minnow::test
