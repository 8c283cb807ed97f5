#include <gtest/gtest.h>

#include <functional>

#include "engine/ops.h"
#include "tests/golden.h"
#include "tests/op_run.h"

/// Single operations against PyTorch, forward and backward, in float32 and float64. What these add
/// to the formulas of the op cases is that the conventions (layouts, paddings, attributes) are
/// those of PyTorch.
namespace minnow::test {
namespace {

using Op = std::function<Var(const Var& x, const ParameterRefs&)>;

struct Case {
  std::string name;  ///< in ops.safetensors
  Op op;
  double longest_sum;  ///< of the forward or backward pass
  std::string input = "x";
  std::vector<std::string> parameters = {};
};

const Golden& golden() {
  static const Golden file("ops");
  return file;
}

int64_t attribute(const std::string& name, int64_t index) {
  return golden().at(name + ".attributes").data<int64_t>()[index];
}

/// Each of the n terms of a sum is rounded once, and the op's own functions some 16 times, all
/// relative to numbers of the result's size: the inputs are standard normal, so that no sum is much
/// smaller than its terms. Twice, since PyTorch rounds too.
double tolerance(const Case& c, DType dtype) {
  const double epsilon = dtype == DType::float32 ? 0x1p-24 : 0x1p-53;
  return 2 * (c.longest_sum + 16) * epsilon;
}

void compare(const Case& c, DType dtype) {
  SCOPED_TRACE(c.name + " " + std::string(to_string(dtype)));
  const auto load = [&](const std::string& what) { return golden().at(c.name + "." + what); };
  std::vector<Parameter> parameters;
  for (const std::string& name : c.parameters) {
    parameters.push_back({.name = name, .value = on_device(load(name).to(dtype))});
  }
  ParameterRefs refs;
  for (const Parameter& p : parameters) refs.push_back(&p);

  Tape tape;
  const Var x = tape.leaf(on_device(load(c.input).to(dtype)));
  const Var y = c.op(x, refs);
  const double limit = tolerance(c, dtype);
  EXPECT_LE(relative_error(y.value(), load("y").reshape(y.shape())), limit) << "output";
  SumSink sink;
  tape.backward(y, on_device(load("dy").to(dtype).reshape(y.shape()).clone()), sink);
  EXPECT_LE(relative_error(tape.gradient(x), load("d" + c.input)), limit) << "input's gradient";
  for (const Parameter& p : parameters) {
    EXPECT_LE(relative_error(sink.gradients[&p], load("d" + p.name)), limit) << p.name;
  }
}

void compare(const Case& c) {
  compare(c, DType::float32);
  compare(c, DType::float64);
}

TEST(GoldenOps, Gelu) {
  compare({"gelu_erf", [](const Var& x, const auto&) { return gelu(x); }, 1});
  compare({"gelu_tanh", [](const Var& x, const auto&) { return gelu_tanh(x); }, 1});
}

TEST(GoldenOps, Layernorm) {
  const auto op = [](const Var& x, const ParameterRefs& p) {
    return layernorm(x, p[0], p[1], 1e-6);
  };
  compare({"layernorm", op, 11, "x", {"weight", "bias"}});
}

TEST(GoldenOps, Groupnorm) {
  for (const std::string& name : golden().cases_of("groupnorm")) {
    const int64_t groups = attribute(name, 0);
    const auto op = [&](const Var& x, const ParameterRefs& p) {
      return groupnorm(x, groups, p[0], p[1], 1e-5);
    };
    compare({name, op, 6 * 5 * 4, "x", {"weight", "bias"}});
  }
}

TEST(GoldenOps, Attention) {
  for (const std::string& name : golden().cases_of("attention")) {
    const int64_t heads = attribute(name, 0);
    AttentionOptions options;
    options.causal = name.ends_with("causal");
    if (golden().has(name + ".lengths")) options.lengths = golden().at(name + ".lengths");
    // The file has the axes of [3, heads, width] apart.
    const auto op = [&](const Var& x, const ParameterRefs&) {
      return attention(reshape(x, {x.dim(0), x.dim(1), -1}), heads, options);
    };
    compare({name, op, 5 + 4, "qkv"});
  }
}

TEST(GoldenOps, CrossEntropy) {
  for (const std::string& name : golden().cases_of("cross_entropy")) {
    const double smoothing = static_cast<double>(attribute(name, 0)) / 100;
    const auto op = [&](const Var& x, const ParameterRefs&) {
      const bool labels = golden().has(name + ".labels");
      const Tensor targets =
          labels ? golden().at(name + ".labels") : golden().at(name + ".targets").to(x.dtype());
      return cross_entropy(x, targets, smoothing);
    };
    compare({name, op, 9});
  }
}

TEST(GoldenOps, Conv2d) {
  for (const std::string& name : golden().cases_of("conv2d")) {
    const Conv2dOptions options{attribute(name, 0), attribute(name, 1), attribute(name, 2),
                                attribute(name, 3)};
    const auto op = [&](const Var& x, const ParameterRefs& p) {
      return conv2d(x, *p[0], p[1], options);
    };
    const double terms = static_cast<double>(golden().at(name + ".y").numel());
    compare({name, op, terms, "x", {"weight", "bias"}});
  }
}

TEST(GoldenOps, Pooling) {
  for (const std::string& name : golden().cases_of("max_pool")) {
    const Pool2dOptions options{attribute(name, 0), attribute(name, 1), attribute(name, 2)};
    const auto op = [&](const Var& x, const ParameterRefs&) { return max_pool2d(x, options); };
    compare({name, op, 9});
  }
  for (const std::string& name : golden().cases_of("avg_pool")) {
    const Pool2dOptions options{attribute(name, 0), attribute(name, 1), attribute(name, 2)};
    const auto op = [&](const Var& x, const ParameterRefs&) { return avg_pool2d(x, options); };
    compare({name, op, 9});
  }
}

/// [B, D, n] -> [B, n, D]
Tensor channels_last(const Tensor& x) {
  const int64_t examples = x.dim(0), channels = x.dim(1);
  const int64_t n = x.numel() / (examples * channels);
  const Tensor y = Tensor::empty({examples, n, channels}, DType::float64);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const int64_t b = i / (channels * n), c = i / n % channels, t = i % n;
    y.data<double>()[(b * n + t) * channels + c] = x.data<double>()[i];
  }
  return y;
}

TEST(GoldenOps, PatchEmbedIsAConvolutionWithTokensLast) {
  const std::string name = "conv2d.patch";
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto load = [&](const char* what) {
      return on_device(golden().at(name + what).to(dtype));
    };
    Parameter weight{.name = "weight", .value = load(".weight")};
    Parameter bias{.name = "bias", .value = load(".bias")};
    Tape tape;
    const Var x = tape.leaf(load(".x"));
    const Var y = patch_embed(x, weight, &bias);
    SumSink sink;
    tape.backward(y, on_device(channels_last(golden().at(name + ".dy")).to(dtype)), sink);
    const double limit = tolerance({.name = name, .op = {}, .longest_sum = 3 * 4 * 4}, dtype);
    EXPECT_LE(relative_error(y.value(), channels_last(golden().at(name + ".y"))), limit);
    EXPECT_LE(relative_error(tape.gradient(x), golden().at(name + ".dx")), limit);
    EXPECT_LE(relative_error(sink.gradients[&weight], golden().at(name + ".dweight")), limit);
    EXPECT_LE(relative_error(sink.gradients[&bias], golden().at(name + ".dbias")), limit);
  }
}

}  // namespace
}  // namespace minnow::test
