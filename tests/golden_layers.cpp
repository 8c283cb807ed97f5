#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "engine/ops.h"
#include "tests/device.h"
#include "tests/golden.h"
#include "tests/op_run.h"

/// The gradients of every single example of single layers against torch.func, over the shapes of
/// Opacus' own tests, by every strategy.
namespace minnow::test {
namespace {

const Golden& golden() {
  static const Golden file("layers");
  return file;
}

/// A layer of the file in one dtype, with its input and the weights of its output in the loss.
class Layer {
 public:
  using Forward = std::function<Var(Tape& tape, const Tensor& x, const Layer& layer)>;

  Layer(std::string name, DType dtype, Forward forward)
      : name_(std::move(name)), forward_(std::move(forward)) {
    const std::string prefix = name_ + ".param.";
    for (const auto& [key, value] : golden().file().tensors) {
      if (!key.starts_with(prefix)) continue;
      parameters_.push_back(
          {.name = key.substr(prefix.size()), .value = on_device(value.to(dtype))});
    }
    const Tensor x = load("x");
    x_ = on_device(x.dtype() == DType::int64 ? x : x.to(dtype));
    dy_ = on_device(load("dy").to(dtype));
  }

  Tensor load(const std::string& what) const { return golden().at(name_ + "." + what); }
  int64_t examples() const { return x_.dim(0); }
  int64_t attribute(int64_t index) const { return load("attributes").data<int64_t>()[index]; }
  Conv2dOptions convolution() const {
    return {attribute(0), attribute(1), attribute(2), attribute(3)};
  }

  /// Null where the layer has none of that name, as a bias.
  const Parameter* find(const std::string& name) const {
    const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                    [&](const Parameter& p) { return p.name == name; });
    return found == parameters_.end() ? nullptr : &*found;
  }

  Parameters parameters() {
    Parameters list;
    for (Parameter& p : parameters_) list.push_back(&p);
    return list;
  }

  LossFn loss() const {
    return [this](Tape& tape, int64_t begin, int64_t end) {
      return weighted_losses(forward_(tape, x_.slice(begin, end), *this), dy_.slice(begin, end));
    };
  }

 private:
  std::string name_;
  Forward forward_;
  std::vector<Parameter> parameters_;
  Tensor x_, dy_;
};

/// (1/B) sum_j (min_i n_i / n_j) g_j from each example's gradient [B, shape...], in float64.
Tensor clipped(const Tensor& each, const Tensor& norms) {
  const int64_t examples = each.dim(0), size = each.numel() / examples;
  const double* n = norms.data<double>();
  const double smallest = *std::min_element(n, n + examples);
  Tensor update = Tensor::zeros({size}, DType::float64);
  for (int64_t i = 0; i < each.numel(); ++i) {
    const double c = smallest / n[i / size] / static_cast<double>(examples);
    update.data<double>()[i % size] += c * each.data<double>()[i];
  }
  return update;
}

void compare(Layer& layer, double limit) {
  const Grouping one_each = Grouping::runs(layer.examples(), 1);
  const Parameters parameters = layer.parameters();
  const std::vector<Tensor> gradients = group_gradients(parameters, one_each, layer.loss());
  for (size_t l = 0; l < parameters.size(); ++l) {
    const Tensor expected = layer.load("grad." + parameters[l]->name);
    ASSERT_EQ(gradients[l].shape(), expected.shape());
    for (int64_t i = 0; i < layer.examples(); ++i) {
      EXPECT_LE(relative_error(gradients[l].slice(i, i + 1), expected.slice(i, i + 1)), limit)
          << parameters[l]->name << " of example " << i;
    }
  }
  const Tensor norms = layer.load("norms");
  for (const char* strategy : {"automatic", "instantiate", "norm_only", "loop"}) {
    SCOPED_TRACE(strategy);
    ClipState state;
    GroupedOptions options;
    options.strategy = strategy_from(strategy);
    const GroupedStep step = clipped_gradient(parameters, one_each, layer.loss(),
                                              ClipRule{.rule = Rule::min}, state, options);
    for (int64_t i = 0; i < layer.examples(); ++i) {
      const Tensor actual = Tensor::from(std::vector<double>{step.groups.norms[i]}, {1});
      EXPECT_LE(relative_error(actual, norms.slice(i, i + 1)), limit) << "norm of example " << i;
    }
    for (size_t l = 0; l < parameters.size(); ++l) {
      const Tensor expected = clipped(layer.load("grad." + parameters[l]->name), norms);
      EXPECT_LE(relative_error(step.update[l].reshape({-1}), expected), limit)
          << "update of " << parameters[l]->name;
    }
  }
}

/// `longest_sum` says how many terms the sums of a layer have, one after another. Each term is
/// rounded once, and the layer's own functions some 16 times, all relative to numbers of the
/// result's size: every gradient in the file is at least as large as one of its terms. Norms are
/// summed in float64, and so inherit the errors of what they sum. Twice, since the B gradients of
/// an update are added up, too. What PyTorch rounded in float64 is far less than the 16 functions.
void compare(const std::string& family, const Layer::Forward& forward,
             const std::function<int64_t(const Layer&)>& longest_sum) {
  for (const std::string& name : golden().cases_of(family)) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      SCOPED_TRACE(fmt::format("{} {}", name, to_string(dtype)));
      Layer layer(name, dtype, forward);
      const double epsilon = dtype == DType::float32 ? 0x1p-24 : 0x1p-53;
      compare(layer, 2 * static_cast<double>(longest_sum(layer) + 16) * epsilon);
    }
  }
}

/// Numbers in one example of the tensor.
int64_t each(const Layer& layer, const std::string& what) {
  return layer.load(what).numel() / layer.examples();
}

TEST(GoldenLayers, Linear) {
  compare(
      "linear",
      [](Tape& tape, const Tensor& x, const Layer& p) {
        return linear(tape.input(x), *p.find("weight"), p.find("bias"));
      },
      [](const Layer& p) { return each(p, "dy") / p.find("weight")->value.dim(0); });
}

TEST(GoldenLayers, Convolutions) {
  for (const char* family : {"conv1d", "conv2d"}) {
    compare(
        family,
        [](Tape& tape, const Tensor& x, const Layer& p) {
          return conv2d(tape.input(x), *p.find("weight"), p.find("bias"), p.convolution());
        },
        [](const Layer& p) { return each(p, "dy") / p.find("weight")->value.dim(0); });
  }
}

TEST(GoldenLayers, GroupAndInstanceNorms) {
  for (const char* family : {"groupnorm", "instancenorm"}) {
    compare(
        family,
        [](Tape& tape, const Tensor& x, const Layer& p) {
          return groupnorm(tape.input(x), p.attribute(0), p.find("weight"), p.find("bias"));
        },
        [](const Layer& p) { return each(p, "x") / p.attribute(0) + each(p, "x"); });
  }
}

TEST(GoldenLayers, LayerNorm) {
  compare(
      "layernorm",
      [](Tape& tape, const Tensor& x, const Layer& p) {
        return layernorm(tape.input(x), p.find("weight"), p.find("bias"));
      },
      [](const Layer& p) {
        const int64_t width = p.find("weight")->value.dim(0);
        return width + each(p, "x") / width;
      });
}

TEST(GoldenLayers, Embedding) {
  compare(
      "embedding",
      [](Tape& tape, const Tensor& x, const Layer& p) {
        return embedding(tape, x, *p.find("weight"));
      },
      [](const Layer& p) { return each(p, "x"); });
}

/// Seven products in a row, forwards and backwards, each over features or tokens.
TEST(GoldenLayers, MultiHeadAttention) {
  compare(
      "attention",
      [](Tape& tape, const Tensor& x, const Layer& p) {
        const Var qkv = linear(tape.input(x), *p.find("attention.in_proj_weight"),
                               p.find("attention.in_proj_bias"));
        return linear(attention(qkv, p.attribute(0)), *p.find("attention.out_proj.weight"),
                      p.find("attention.out_proj.bias"));
      },
      [](const Layer& p) {
        const Shape shape = p.load("x").shape();
        return 7 * std::max(shape[1], shape[2]);
      });
}

}  // namespace
}  // namespace minnow::test
