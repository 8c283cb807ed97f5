#include "train/optimizer.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "kernels/random.h"
#include "tests/device.h"
#include "tests/expect_error.h"
#include "tests/golden.h"

namespace minnow {
namespace {

using test::Golden;
using test::on_cpu;
using test::on_device;

/// Parameters on the test device, with addresses that stay.
struct Model {
  std::vector<std::unique_ptr<Parameter>> owned;
  Parameters parameters;

  void add(const Tensor& value, bool decay = true, bool trainable = true) {
    const std::string name = fmt::format("p{}", owned.size());
    owned.push_back(
        std::make_unique<Parameter>(Parameter{name, on_device(value), trainable, decay}));
    parameters.push_back(owned.back().get());
  }
  std::vector<Tensor> values() const {
    std::vector<Tensor> copies;
    for (const auto& p : owned) copies.push_back(on_cpu(p->value).clone());
    return copies;
  }
};

bool same_bits(const Tensor& x, const Tensor& y) {
  const Tensor a = on_cpu(x), b = on_cpu(y);
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

Tensor random_tensor(Shape shape, uint64_t seed, DType dtype = DType::float32) {
  RandomSequence random(RandomKey{.seed = seed});
  Tensor t = Tensor::empty(std::move(shape));
  for (int64_t i = 0; i < t.numel(); ++i) {
    t.data<float>()[i] = static_cast<float>(random.uniform(-1, 1));
  }
  return on_device(t.to(dtype));
}

/// Bounds on what rounding does in the cases of optim.safetensors, where |update| lies in [0.5, 2],
/// |l2 p| < 0.25 and k <= 5 steps. Every operation and every constant is rounded once, by at most u
/// of its value; terms of u^2 are left out. An error of p comes back through the L2 term of later
/// steps: with sum lr = 0.25 by less than a fifth of itself.
struct Bounds {
  double u;
  double feedback = 1.2;

  // d = g + l2 p has 3 roundings, none of more than |d| <= 2.25.
  // m_k = momentum m + d: 3 more, of at most k |d|.
  double momentum(int k) const { return feedback * 3 * u * 2.25 * (k * (k + 1) / 2.0 + k); }
  // |d + momentum m| <= (1 + k) |d|, in 5 operations with lr; then p, shrunk and moved.
  double sgd(const std::vector<double>& lrs, double p) const {
    double sum = 0;
    for (int k = 1; const double lr : lrs) {
      sum += 3 * u * p + lr * (3 * u * 2.25 + momentum(k) + 5 * u * (1 + k) * 2.25);
      ++k;
    }
    return feedback * sum;
  }
  // In d the l2 term is at most as large as d itself: 3 u relative to d. One step of m = m + rest1
  // (d - m), rest1 <= 0.2, adds 3 roundings of at most 1.25 and one of 1 times M = sum of the
  // weights times |d|.
  double exp_avg(int k) const { return feedback * u * (3 + 5 * k) * 2.25; }
  double exp_avg_sq(int k) const { return feedback * u * (9 + 3 * k) * 2.25 * 2.25; }
  // m^ / sqrt(v^) <= sqrt(sum w1^2 / w2) < 1.1 by Cauchy and Schwarz, w1 and w2 the weights of the
  // steps in m^ and v^. A step's relative error is that of m, half that of v and one, and 6 for the
  // operations that are left.
  double adam(const std::vector<double>& lrs, double p) const {
    double sum = 0;
    for (int k = 1; const double lr : lrs) {
      sum += 3 * u * p + 1.1 * lr * u * ((3 + 5 * k) + (5.5 + 1.5 * k) + 6);
      ++k;
    }
    return feedback * sum;
  }
};

double largest_difference(const Tensor& a, const Tensor& b) {
  const Tensor x = on_cpu(a).to(DType::float64), y = on_cpu(b).to(DType::float64);
  double largest = x.shape() == y.shape() ? 0 : HUGE_VAL;
  for (int64_t i = 0; i < x.numel() && largest < HUGE_VAL; ++i) {
    const double difference = std::abs(x.data<double>()[i] - y.data<double>()[i]);
    largest = std::isnan(difference) ? HUGE_VAL : std::max(largest, difference);
  }
  return largest;
}

struct Case {
  std::string name;
  std::string optimizer;
};

class OptimizerGolden : public testing::TestWithParam<Case> {
 protected:
  static OptimizerConfig config(const Golden& golden, const Case& c) {
    const auto s = golden.at(c.name + ".settings").to_vector<double>();
    return {.name = c.optimizer,
            .weight_decay = s[0],
            .momentum = s[1],
            .beta1 = s[3],
            .beta2 = s[4],
            .eps = s[5],
            .nesterov = s[2] != 0};
  }

  static void compare(DType dtype) {
    const Golden golden("optim");
    const Case& c = GetParam();
    const auto lrs = golden.at("lrs").to_vector<double>();
    Model model;
    for (int i = 0; i < 4; ++i) {
      model.add(golden.at(fmt::format("p{}", i)).to(dtype).clone(), i % 2 == 1);
    }
    model.add(Tensor::full({2}, 3, dtype), true, false);
    Optimizer optimizer(model.parameters, config(golden, c));
    for (size_t k = 0; k < lrs.size(); ++k) {
      std::vector<Tensor> update;
      for (int i = 0; i < 4; ++i)
        update.push_back(on_device(golden.at(fmt::format("s{}.p{}", k, i)).to(dtype)));
      update.emplace_back();
      optimizer.step(update, lrs[k]);
    }

    // The golden numbers are float64: their own rounding counts where ours is float64 too.
    const Bounds bounds{dtype == DType::float32 ? 0x1p-24 + 0x1p-53 : 2 * 0x1p-53};
    for (int i = 0; i < 4; ++i) {
      const Tensor expected = golden.at(fmt::format("{}.p{}", c.name, i));
      const double p = std::max(1.0, largest_difference(expected, Tensor::zeros(expected.shape())));
      EXPECT_LE(largest_difference(model.owned[i]->value, expected),
                c.optimizer == "sgd" ? bounds.sgd(lrs, p) : bounds.adam(lrs, p))
          << c.name << " parameter " << i;
    }
    EXPECT_TRUE(same_bits(model.owned[4]->value, Tensor::full({2}, 3, dtype)));

    int compared = 0;
    for (const auto& [name, tensor] : optimizer.state()) {
      if (!golden.has(c.name + "." + name)) continue;
      ++compared;
      const double bound = name.ends_with(".momentum")  ? bounds.momentum(5)
                           : name.ends_with(".exp_avg") ? bounds.exp_avg(5)
                                                        : bounds.exp_avg_sq(5);
      EXPECT_LE(largest_difference(tensor, golden.at(c.name + "." + name)), bound) << name;
    }
    EXPECT_EQ(compared, c.optimizer != "sgd" ? 6 : (config(golden, c).momentum > 0 ? 3 : 0));
  }
};

TEST_P(OptimizerGolden, Float32) {
  compare(DType::float32);
}
TEST_P(OptimizerGolden, Float64) {
  compare(DType::float64);
}

INSTANTIATE_TEST_SUITE_P(, OptimizerGolden,
                         testing::Values(Case{"sgd", "sgd"}, Case{"sgd_decay", "sgd"},
                                         Case{"sgd_momentum", "sgd"}, Case{"sgd_nesterov", "sgd"},
                                         Case{"adam", "adam"}, Case{"adam_decay", "adam"},
                                         Case{"adam_eps", "adam"}, Case{"adamw", "adamw"},
                                         Case{"adamw_eps", "adamw"}),
                         [](const auto& info) { return info.param.name; });

const std::vector<OptimizerConfig>& configs() {
  static const std::vector<OptimizerConfig> all = {{.name = "sgd", .momentum = 0},
                                                   {.name = "sgd", .nesterov = true},
                                                   {.name = "adam"},
                                                   {.name = "adamw"}};
  return all;
}

Model model_of(const std::vector<Shape>& shapes) {
  Model model;
  for (size_t i = 0; i < shapes.size(); ++i)
    model.add(random_tensor(shapes[i], i), shapes[i].size() > 1);
  return model;
}

std::vector<Tensor> updates_of(const Model& model, uint64_t seed) {
  std::vector<Tensor> updates;
  for (size_t i = 0; i < model.owned.size(); ++i) {
    updates.push_back(random_tensor(model.owned[i]->value.shape(), 1000 * (seed + 1) + i));
  }
  return updates;
}

// A tensor of several blocks beside small ones and an empty one.
const std::vector<Shape> many_shapes = {{1}, {3 * 4096 + 5}, {0, 4}, {17, 3}, {200, 350}, {4096}};

std::vector<Tensor> train(const OptimizerConfig& config, int steps) {
  Model model = model_of(many_shapes);
  Optimizer optimizer(model.parameters, config);
  for (int k = 0; k < steps; ++k) optimizer.step(updates_of(model, k), 0.01);
  return model.values();
}

TEST(Optimizer, NoBitDependsOnTheNumberOfThreads) {
  const int before = omp_get_max_threads();
  for (const OptimizerConfig& config : configs()) {
    omp_set_num_threads(1);
    const auto one = train(config, 3);
    for (const int threads : {2, 3, 7}) {
      omp_set_num_threads(threads);
      const auto several = train(config, 3);
      for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(same_bits(one[i], several[i]));
    }
  }
  omp_set_num_threads(before);
}

// Every element has its turn once, wherever the blocks end: an element of a large tensor moves as
// it does in a tensor of its own. The two may differ in how the compiler fuses products and sums:
// by the roundings of one step.
TEST(Optimizer, AnElementMovesAsItDoesAlone) {
  for (const OptimizerConfig& config : configs()) {
    Model model = model_of(many_shapes);
    const auto start = model.values();
    const auto update = updates_of(model, 0);
    Optimizer(model.parameters, config).step(update, 0.01);
    for (size_t t = 0; t < start.size(); ++t) {
      // On a GPU every element costs a few waits.
      const int64_t far = test::test_device().is_cuda() ? 97 : 7;
      const auto stride = [=](int64_t i) { return i % 4096 > 4090 || i < 10 ? 1 : far; };
      for (int64_t i = 0; i < start[t].numel(); i += stride(i)) {
        const auto one = [i](const Tensor& x) {
          return x.reshape({x.numel()}).slice(i, i + 1).clone();
        };
        Model alone;
        alone.add(one(start[t]), start[t].rank() > 1);
        Optimizer(alone.parameters, config).step({one(update[t])}, 0.01);
        ASSERT_NEAR(alone.owned[0]->value.item(), one(model.owned[t]->value).item(), 12 * 0x1p-24)
            << config.name << " tensor " << t << " element " << i;
      }
    }
  }
}

TEST(Optimizer, AnOptimizerWithItsStateLoadedGoesOnToTheBit) {
  for (const OptimizerConfig& config : configs()) {
    Model model = model_of(many_shapes);
    Optimizer optimizer(model.parameters, config);
    for (int k = 0; k < 2; ++k) optimizer.step(updates_of(model, k), 0.01);

    Model copy = model_of(many_shapes);
    for (size_t i = 0; i < copy.owned.size(); ++i)
      copy.owned[i]->value.copy_from(model.owned[i]->value);
    Optimizer resumed(copy.parameters, config);
    auto state = optimizer.state();
    std::reverse(state.begin(), state.end());
    resumed.load_state(state);
    EXPECT_EQ(resumed.steps(), 2);

    for (int k = 2; k < 5; ++k) {
      optimizer.step(updates_of(model, k), 0.01);
      resumed.step(updates_of(model, k), 0.01);
    }
    for (size_t i = 0; i < copy.owned.size(); ++i) {
      EXPECT_TRUE(same_bits(copy.owned[i]->value, model.owned[i]->value)) << config.name;
    }
  }
}

TEST(Optimizer, AStateThatDoesNotFitChangesNothing) {
  Model model = model_of({{3}, {2, 2}});
  Optimizer adam(model.parameters, {.name = "adam"}), sgd(model.parameters, {.name = "sgd"});
  adam.step(updates_of(model, 0), 0.1);
  sgd.step(updates_of(model, 0), 0.1);
  const Tensor before = adam.state()[1].tensor.clone();
  expect_error([&] { adam.load_state(sgd.state(), "run/step-00000001.safetensors"); },
               {"run/step-00000001.safetensors", "4 missing: p0.exp_avg [3], p0.exp_avg_sq [3]",
                "2 unexpected: p0.momentum [3], p1.momentum [2, 2]"});
  auto state = adam.state();
  state[0].tensor = Tensor::from(std::vector<int64_t>{-1}, {});
  expect_error([&] { adam.load_state(state); }, {"step must not be negative; got -1"});
  EXPECT_EQ(adam.steps(), 1);
  EXPECT_TRUE(same_bits(adam.state()[1].tensor, before));
}

TEST(Optimizer, NothingToTrain) {
  Model model;
  model.add(Tensor::full({2}, 1), true, false);
  Optimizer optimizer(model.parameters, {});
  optimizer.step({Tensor()}, 0.1);
  EXPECT_EQ(optimizer.state().size(), 1u);
}

TEST(Optimizer, WrongSettingsAreNamed) {
  const auto rejects = [](OptimizerConfig config, std::initializer_list<std::string> parts) {
    expect_error([&] { Optimizer({}, config); }, parts);
  };
  rejects({.name = "lamb"}, {"optim.name", "sgd, adam or adamw", "lamb"});
  rejects({.lr = -1}, {"optim.lr", "-1"});
  rejects({.lr = std::nan("")}, {"optim.lr", "nan"});
  rejects({.weight_decay = -0.5}, {"optim.weight_decay", "-0.5"});
  rejects({.momentum = 1}, {"optim.momentum", "[0, 1)", "1"});
  rejects({.name = "sgd", .momentum = 0, .nesterov = true}, {"optim.nesterov", "momentum"});
  rejects({.beta2 = 1}, {"optim.betas", "0.9 and 1"});
  rejects({.eps = 0}, {"optim.eps", "0"});
}

TEST(Optimizer, WrongUpdatesAreNamed) {
  Model model = model_of({{3}, {2, 2}});
  model.add(Tensor::zeros({1}), true, false);
  Optimizer optimizer(model.parameters, {});
  const Tensor a = Tensor::zeros({3}), b = Tensor::zeros({2, 2});
  expect_error([&] { optimizer.step({a, b}, 0.1); }, {"3 parameters; got 2"});
  expect_error([&] { optimizer.step({a, Tensor(), Tensor()}, 0.1); }, {"p1 is trainable"});
  expect_error([&] { optimizer.step({a, b, a}, 0.1); }, {"p2 is frozen"});
  expect_error([&] { optimizer.step({b, b, Tensor()}, 0.1); }, {"p0", "float32 [3]", "[2, 2]"});
  expect_error(
      [&] {
        optimizer.step({a.to(DType::float64), b, Tensor()}, 0.1);
      },
      {"p0", "float64"});
  expect_error([&] { optimizer.step({a, b, Tensor()}, std::nan("")); }, {"learning rate", "nan"});
  EXPECT_EQ(optimizer.steps(), 0);
  model.owned[1]->value = b.to(DType::float64);
  expect_error([&] { Optimizer(model.parameters, {}); }, {"p1 is float64, others float32"});
}

}  // namespace
}  // namespace minnow
