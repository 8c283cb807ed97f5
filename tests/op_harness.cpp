#include "tests/op_harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/grouped_backward.h"
#include "engine/param_grad.h"
#include "tests/op_case.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

double largest(const Tensor& x) {
  double most = 0;
  for (double v : on_cpu(x).to(DType::float64).to_vector<double>())
    most = std::max(most, std::abs(v));
  return most;
}

/// Every element within `bound` of the expected one.
void expect_close(const Tensor& got, const Tensor& expected, double bound,
                  const std::string& what) {
  ASSERT_EQ(got.shape(), expected.shape()) << what;
  const auto a = on_cpu(got).to(DType::float64).to_vector<double>();
  const auto b = on_cpu(expected).to(DType::float64).to_vector<double>();
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_FALSE(std::isnan(a[i])) << what << ": element " << i << " is NaN";
    ASSERT_NEAR(a[i], b[i], bound) << what << ": element " << i;
  }
}

/// The rounding that `terms` operations in a row may make on values of this magnitude.
double rounding(double terms, double magnitude, double eps) {
  return terms * eps * std::max(magnitude, 1.0);
}
constexpr double eps32 = std::numeric_limits<float>::epsilon();
constexpr double eps64 = std::numeric_limits<double>::epsilon();

void forward_matches_reference(const Sample& sample) {
  OpRun exact(sample, DType::float64), single(sample, DType::float32);
  const Tensor expected = sample.reference(exact.input_values(), exact.parameter_values());
  const double magnitude = largest(expected);
  expect_close(exact.forward(), expected, rounding(sample.terms, magnitude, eps64), "float64");
  // The inputs of both runs are equal: random float32 values, exact in float64.
  expect_close(single.forward(), expected, rounding(sample.terms, magnitude, eps32), "float32");
}

/// Central differences in float64: for step h the error is h^2 f''' / 6 from the series and eps f /
/// h from rounding, both below 1e-8 of the magnitudes at hand for h = 1e-5 unless f''' is in the
/// hundreds.
void gradients_match_differences(const Sample& sample) {
  OpRun run(sample, DType::float64);
  const Gradients got = run.gradients();
  constexpr double h = 1e-5;
  const auto compare = [&](const Tensor& x, const Tensor& gradient, const std::string& what) {
    ASSERT_EQ(gradient.shape(), x.shape()) << what;
    const double bound = 1e-6 * std::max(1.0, largest(gradient));
    const Tensor before = on_cpu(x).clone();
    for (int64_t i = 0; i < x.numel(); ++i) {
      const double kept = before.data<double>()[i];
      set_element(x, i, kept + h);
      const double above = run.loss();
      set_element(x, i, kept - h);
      const double below = run.loss();
      set_element(x, i, kept);
      ASSERT_NEAR(gradient.data<double>()[i], (above - below) / (2 * h), bound)
          << what << ", element " << i;
    }
  };
  for (size_t i = 0; i < run.inputs.size(); ++i) {
    compare(run.inputs[i], got.inputs[i], fmt::format("input {}", i));
  }
  for (size_t i = 0; i < run.parameters.size(); ++i) {
    compare(run.parameters[i].value, got.parameters[i], fmt::format("parameter {}", i));
  }
}

void float32_gradients_match_float64(const Sample& sample) {
  OpRun exact(sample, DType::float64), single(sample, DType::float32);
  const Gradients expected = exact.gradients(), got = single.gradients();
  // A gradient passes through the op's roundings twice; a parameter's is a sum over the examples
  // besides.
  const double terms = 4 * sample.terms + 4 * static_cast<double>(exact.examples());
  for (size_t i = 0; i < exact.inputs.size(); ++i) {
    const double bound = rounding(terms, largest(expected.inputs[i]), eps32);
    expect_close(got.inputs[i], expected.inputs[i], bound, fmt::format("input {}", i));
  }
  for (size_t i = 0; i < exact.parameters.size(); ++i) {
    const double bound = rounding(terms, largest(expected.parameters[i]), eps32);
    expect_close(got.parameters[i], expected.parameters[i], bound, fmt::format("parameter {}", i));
  }
}

/// In bfloat16 everything is computed in float32 from rounded inputs. What is rounded to bfloat16
/// again, half a unit each: a product before its bias, and the output; and of a gradient, what the
/// forward pass has kept, what passes between two kernels of the op, and the result.
void bfloat16_matches_float64(const Sample& sample) {
  OpRun exact(sample, DType::float64, DType::bfloat16);
  OpRun narrow(sample, DType::bfloat16, DType::bfloat16);
  constexpr double half_unit = 0x1p-8;
  const Tensor expected = exact.forward();
  expect_close(narrow.forward(), expected,
               2 * half_unit * largest(expected) + rounding(sample.terms, largest(expected), eps32),
               "output");
  const Gradients a = exact.gradients(), b = narrow.gradients();
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    const double most = largest(a.inputs[i]);
    expect_close(b.inputs[i], a.inputs[i], 4 * half_unit * std::max(most, 1.0),
                 fmt::format("input {}", i));
  }
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    ASSERT_EQ(b.parameters[i].dtype(), DType::float32);
    const double most = largest(a.parameters[i]);
    expect_close(b.parameters[i], a.parameters[i], 4 * half_unit * std::max(most, 1.0),
                 fmt::format("parameter {}", i));
  }
}

void two_runs_are_identical(const Sample& sample) {
  OpRun first(sample, DType::float32), second(sample, DType::float32);
  expect_close(first.forward(), second.forward(), 0, "output");
  const Gradients a = first.gradients(), b = second.gradients();
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    expect_close(a.inputs[i], b.inputs[i], 0, fmt::format("input {}", i));
  }
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    expect_close(a.parameters[i], b.parameters[i], 0, fmt::format("parameter {}", i));
  }
}

std::vector<Grouping> groupings(int64_t examples) {
  std::vector<Grouping> all;
  for (int64_t b : {int64_t{1}, int64_t{2}, int64_t{3}, examples - 1, examples}) {
    if (b >= 1 && b <= examples) all.push_back(Grouping::runs(examples, b));
  }
  if (examples >= 3) {
    const int64_t uneven[] = {examples - 2, 0, 2};
    all.push_back(Grouping::sizes(uneven));
  }
  return all;
}

int64_t largest_group(const Grouping& grouping) {
  int64_t most = 0;
  for (int64_t j = 0; j < grouping.groups(); ++j) most = std::max(most, grouping.size(j));
  return most;
}

/// Norms and updates of every strategy and several waves against every group run alone, in float64:
/// the same sums in another order, so they agree to the rounding of a sum of some hundreds of
/// terms.
void groups_match_the_loop(const Sample& sample) {
  OpRun run(sample, DType::float64);
  ClipState state;
  const ClipRule rule{.rule = Rule::min};
  const Parameters parameters = run.parameter_list();
  for (const Grouping& grouping : groupings(run.examples())) {
    const GroupedStep oracle = clipped_gradient(parameters, grouping, run.loss_fn(), rule, state,
                                                {.strategy = Strategy::loop});
    for (Strategy strategy : {Strategy::automatic, Strategy::instantiate, Strategy::norm_only}) {
      for (int64_t wave : {int64_t{0}, int64_t{1}, int64_t{2}, int64_t{3}}) {
        if (sample.couples_examples && wave > 0 && wave < largest_group(grouping)) continue;
        const GroupedStep got = clipped_gradient(parameters, grouping, run.loss_fn(), rule, state,
                                                 {.strategy = strategy, .wave = wave, .tau = 3});
        const auto what = fmt::format("K = {}, strategy {}, wave {}", grouping.groups(),
                                      static_cast<int>(strategy), wave);
        for (int64_t j = 0; j < grouping.groups(); ++j) {
          const double n = oracle.groups.norms[j];
          ASSERT_NEAR(got.groups.norms[j], n, 1e-12 * std::max(n, 1.0)) << what << ", group " << j;
        }
        for (size_t l = 0; l < parameters.size(); ++l) {
          const double bound = 1e-12 * std::max(1.0, largest(oracle.update[l]));
          expect_close(got.update[l], oracle.update[l], bound,
                       fmt::format("{}, parameter {}", what, l));
        }
      }
    }
  }
}

void groups_add_up_to_the_plain_gradient(const Sample& sample) {
  OpRun run(sample, DType::float64);
  const int64_t examples = run.examples();
  const Gradients plain = run.gradients();
  const auto each =
      group_gradients(run.parameter_list(), Grouping::runs(examples, 1), run.loss_fn());
  for (size_t l = 0; l < each.size(); ++l) {
    Tensor sum = Tensor::zeros(plain.parameters[l].shape(), DType::float64);
    const Tensor terms = on_cpu(each[l]);
    for (int64_t i = 0; i < terms.numel(); ++i) {
      sum.data<double>()[i % sum.numel()] += terms.data<double>()[i];
    }
    const double bound = 1e-12 * std::max(1.0, largest(sum));
    expect_close(sum, plain.parameters[l], bound, fmt::format("parameter {}", l));
  }
}

class DerivedTest : public testing::Test {
 public:
  explicit DerivedTest(std::function<void()> body) : body_(std::move(body)) {}
  void TestBody() override { body_(); }

 private:
  std::function<void()> body_;
};

void add_test(const std::string& suite, const std::string& name, std::function<void()> body) {
  testing::RegisterTest(suite.c_str(), name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                        [body]() -> testing::Test* { return new DerivedTest(body); });
}

}  // namespace

void register_op_tests() {
  for (const OpCase& op : op_cases()) {
    const std::string suite = "Op_" + op.name;
    for (const Sample& s : op.samples) {
      add_test(suite, s.label + "_forward", [&s] { forward_matches_reference(s); });
      add_test(suite, s.label + "_gradients", [&s] { gradients_match_differences(s); });
      add_test(suite, s.label + "_float32_gradients", [&s] { float32_gradients_match_float64(s); });
      add_test(suite, s.label + "_repeatable", [&s] { two_runs_are_identical(s); });
      if (s.bfloat16 && test_device().is_cuda()) {
        add_test(suite, s.label + "_bfloat16", [&s] { bfloat16_matches_float64(s); });
      }
      // A step has an example: none is no batch to group.
      const bool none = !s.inputs.empty() && s.inputs.front().front() == 0;
      if (s.parameters.empty() || none) continue;
      add_test(suite, s.label + "_groups", [&s] { groups_match_the_loop(s); });
      if (s.couples_examples) continue;
      add_test(suite, s.label + "_sum", [&s] { groups_add_up_to_the_plain_gradient(s); });
    }
    for (size_t i = 0; i < op.errors.size(); ++i) {
      const ErrorCase& error = op.errors[i];
      add_test(suite, fmt::format("error_{}", i), [&error] {
        Tape tape;
        try {
          error.run(tape);
          FAIL() << "no error; expected one with \"" << error.message << "\"";
        } catch (const Error& e) {
          EXPECT_NE(std::string(e.what()).find(error.message), std::string::npos) << e.what();
        }
      });
    }
  }
}

}  // namespace minnow::test
