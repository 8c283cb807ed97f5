
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/op_run.h"

namespace minnow::test {
namespace {

using Op = Var (*)(const Var&, const Pool2dOptions&);

/// Folds every window's values, padding left out, into one number.
Tensor reference(const Tensor& x, const Pool2dOptions& o, double start,
                 double (*fold)(double, double), double factor) {
  const int64_t height = x.dim(2), width = x.dim(3);
  const int64_t out_h = (height + 2 * o.padding - o.kernel) / o.stride + 1;
  const int64_t out_w = (width + 2 * o.padding - o.kernel) / o.stride + 1;
  Tensor y = Tensor::full({x.dim(0), x.dim(1), out_h, out_w}, start, DType::float64);
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t column = i % out_w, row = i / out_w % out_h, plane = i / out_w / out_h;
    double& value = y.data<double>()[i];
    for (int64_t k = 0; k < o.kernel * o.kernel; ++k) {
      const int64_t h = row * o.stride - o.padding + k / o.kernel;
      const int64_t w = column * o.stride - o.padding + k % o.kernel;
      if (h < 0 || h >= height || w < 0 || w >= width) continue;
      value = fold(value, x.data<double>()[(plane * height + h) * width + w]);
    }
    value *= factor;
  }
  return y;
}

/// Random numbers whose order no finite difference changes: multiples of 1/64, all different, in
/// the order they had.
void keep_apart(const Tensors& v) {
  std::vector<double> sorted = v[0].to_vector<double>();
  std::sort(sorted.begin(), sorted.end());
  for (int64_t i = 0; i < v[0].numel(); ++i) {
    double& x = v[0].data<double>()[i];
    const auto rank = std::lower_bound(sorted.begin(), sorted.end(), x) - sorted.begin();
    x = static_cast<double>(rank - v[0].numel() / 2) / 64;
  }
}

Sample sample(std::string label, Op op, Shape x, Pool2dOptions o) {
  const bool max = op == max_pool2d;
  const auto window = static_cast<double>(o.kernel * o.kernel);
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return op(v[0], o);
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    if (max) {
      return reference(
          v[0], o, -std::numeric_limits<double>::infinity(),
          [](double a, double b) { return std::max(a, b); }, 1);
    }
    return reference(
        v[0], o, 0, [](double a, double b) { return a + b; }, 1 / window);
  };
  if (max) s.adjust = keep_apart;
  s.terms = window + 2;  // a sum over the window; backward over the windows of an element
  s.forward_work.bytes = 4 * static_cast<double>(numel(x)) * (1 + (max ? 3.0 : 1.0) / 4);
  s.backward_work.bytes = s.forward_work.bytes;
  return s;
}

void refuse(Tape& tape, Op op, Shape x, Pool2dOptions o) {
  op(tape.leaf(random_normal(x, 1)), o);
}

OpCase pool_case(const std::string& name, Op op) {
  return {
      .name = name,
      .samples = {sample("halves", op, {3, 2, 4, 6}, {}),
                  sample("odd", op, {2, 3, 5, 7}, {.kernel = 3, .stride = 2, .padding = 1}),
                  sample("overlap", op, {2, 1, 5, 4}, {.kernel = 3, .stride = 1, .padding = 1}),
                  sample("gaps", op, {2, 2, 7, 8}, {.kernel = 2, .stride = 3, .padding = 1}),
                  sample("whole", op, {3, 2, 3, 3}, {.kernel = 3, .stride = 1}),
                  sample("one_pixel", op, {2, 2, 1, 1}, {.kernel = 3, .stride = 2, .padding = 1}),
                  sample("one_example", op, {1, 1, 2, 5}, {.kernel = 2, .stride = 1}),
                  sample("no_examples", op, {0, 2, 4, 4}, {})},
      .errors = {{name + ": x must be [B, C, H, W]; got [2, 3]",
                  [=](Tape& tape) {
                    refuse(tape, op, {2, 3}, {});
                  }},
                 {name + ": kernel and stride must be positive; got 0 and 2",
                  [=](Tape& tape) {
                    refuse(tape, op, {1, 1, 4, 4}, {.kernel = 0});
                  }},
                 {name + ": padding must lie in [0, kernel / 2], so that no window is all padding; "
                         "got 2 for kernel 3",
                  [=](Tape& tape) {
                    refuse(tape, op, {1, 1, 4, 4}, {.kernel = 3, .padding = 2});
                  }},
                 {name + ": the kernel must fit into the padded image, 4 x 2; got 3",
                  [=](Tape& tape) {
                    refuse(tape, op, {1, 1, 4, 2}, {.kernel = 3});
                  }},
                 {name + ": computes in float32 or float64; got uint8",
                  [=](Tape& tape) {
                    op(tape.leaf(Tensor::zeros({1, 1, 2, 2}, DType::uint8)), {});
                  }}},
      .bench = {sample("convnet", op, {64, 64, 32, 32}, {})}};
}

const RegisterOp max_case{pool_case("max_pool2d", max_pool2d)};
const RegisterOp avg_case{pool_case("avg_pool2d", avg_pool2d)};

Sample global_sample(std::string label, Shape x) {
  const auto area = static_cast<double>(x[2] * x[3]);
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.forward = [](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return global_avg_pool(v[0]);
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    Tensor y = Tensor::zeros({x[0], x[1]}, DType::float64);
    for (int64_t i = 0; i < v[0].numel(); ++i) {
      y.data<double>()[i / (x[2] * x[3])] += v[0].data<double>()[i] / area;
    }
    return y;
  };
  s.terms = area + 1;
  s.forward_work.bytes = 4 * static_cast<double>(numel(x));
  s.backward_work.bytes = s.forward_work.bytes;
  return s;
}

const RegisterOp global_case{
    {.name = "global_avg_pool",
     .samples = {global_sample("odd", {3, 2, 5, 3}), global_sample("one_pixel", {4, 3, 1, 1}),
                 global_sample("one_example", {1, 2, 2, 7}),
                 global_sample("no_examples", {0, 2, 3, 3})},
     .errors =
         {{"global_avg_pool: x must be [B, C, H, W] with at least one pixel; got [2, 3, 0, 4]",
           [](Tape& tape) {
             global_avg_pool(tape.leaf(random_normal({2, 3, 0, 4}, 1)));
           }},
          {"global_avg_pool: x must be [B, C, H, W] with at least one pixel; got [2, 3]",
           [](Tape& tape) {
             global_avg_pool(tape.leaf(random_normal({2, 3}, 1)));
           }}},
     .bench = {global_sample("convnet", {64, 512, 8, 8})}}};

}  // namespace
}  // namespace minnow::test
