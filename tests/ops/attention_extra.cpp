#include <gtest/gtest.h>

#include <cmath>

#include "tests/op_run.h"

namespace minnow::test {
namespace {

/// As many tokens as need several blocks of queries; small inputs keep the scores, and so the
/// rounding, small.
constexpr int64_t tokens = 700, width = 8, examples = 2;

Gradients gradients(const Tensor& qkv, const Tensor& weights, const AttentionOptions& options,
                    Tensor& output) {
  Tape tape;
  const Var x = tape.leaf(on_device(qkv));
  const Var y = attention(x, 2, options);
  output = on_cpu(y.value());
  const Var losses = weighted_losses(y, weights);
  SumSink sink;
  tape.backward(losses, on_device(Tensor::full({examples}, 1, qkv.dtype())), sink);
  return {.inputs = {on_cpu(tape.gradient(x))}, .parameters = {}};
}

/// The last `count` columns of row `row` of one head's scores, straight from the formula.
std::vector<double> probabilities(const double* qkv, int64_t row, int64_t keys, int64_t d) {
  std::vector<double> p(static_cast<size_t>(keys));
  double sum = 0;
  for (int64_t j = 0; j < keys; ++j) {
    double score = 0;
    for (int64_t c = 0; c < d; ++c)
      score += qkv[row * 3 * width + c] * qkv[j * 3 * width + width + c];
    sum += p[j] = std::exp(score / std::sqrt(static_cast<double>(d)));
  }
  for (double& x : p) x /= sum;
  return p;
}

struct Expected {
  Tensor output, gradient;
};

/// Output and gradient by the textbook formulas with whole matrices.
Expected textbook(const Tensor& qkv, const Tensor& go, const std::vector<int64_t>& lengths,
                  bool causal) {
  constexpr int64_t heads = 2, d = width / heads, row = 3 * width;
  Expected e{Tensor::zeros({examples, tokens, width}, DType::float64),
             Tensor::zeros(qkv.shape(), DType::float64)};
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  for (int64_t bh = 0; bh < examples * heads; ++bh) {
    const int64_t b = bh / heads, h = bh % heads;
    const double* x = qkv.data<double>() + b * tokens * row + h * d;
    double* gx = e.gradient.data<double>() + b * tokens * row + h * d;
    for (int64_t i = 0; i < lengths[b]; ++i) {
      const int64_t keys = causal ? i + 1 : lengths[b], at = (b * tokens + i) * width + h * d;
      const auto p = probabilities(x, i, keys, d);
      const double* g = go.data<double>() + at;
      double* o = e.output.data<double>() + at;
      std::vector<double> dp(p.size());
      double mean = 0;
      for (int64_t j = 0; j < keys; ++j) {
        for (int64_t c = 0; c < d; ++c) {
          o[c] += p[j] * x[j * row + 2 * width + c];
          gx[j * row + 2 * width + c] += p[j] * g[c];
          dp[j] += g[c] * x[j * row + 2 * width + c];
        }
        mean += p[j] * dp[j];
      }
      for (int64_t j = 0; j < keys; ++j) {
        const double ds = p[j] * (dp[j] - mean) * scale;
        for (int64_t c = 0; c < d; ++c) {
          gx[i * row + c] += ds * x[j * row + width + c];
          gx[j * row + width + c] += ds * x[i * row + c];
        }
      }
    }
  }
  return e;
}

void expect_near(const Tensor& got, const Tensor& expected, double bound) {
  const Tensor x = got.to(DType::float64);
  for (int64_t i = 0; i < x.numel(); ++i) {
    ASSERT_NEAR(x.data<double>()[i], expected.data<double>()[i], bound) << "element " << i;
  }
}

class LongAttention : public testing::TestWithParam<bool> {};

TEST_P(LongAttention, BlocksOfQueriesMatchTheTextbook) {
  const std::vector<int64_t> lengths = {tokens, 333};
  const AttentionOptions options{.lengths = on_device(Tensor::from(lengths, {examples})),
                                 .causal = GetParam()};
  const Tensor x32 = random_normal({examples, tokens, 3 * width}, 1, DType::float32);
  const Tensor g32 = random_normal({examples, tokens, width}, 2, DType::float32);
  const Tensor x = x32.to(DType::float64), g = g32.to(DType::float64);
  const Expected expected = textbook(x, g, lengths, GetParam());
  Tensor output;
  // Sums of up to `tokens` products of numbers of the order of 10 at most.
  Gradients got = gradients(x, g, options, output);
  const double bound = 10.0 * tokens;
  expect_near(output, expected.output, bound * 2.3e-16);
  expect_near(got.inputs[0], expected.gradient, bound * 2.3e-16);
  got = gradients(x32, g32, options, output);
  expect_near(output, expected.output, bound * 1.2e-7);
  expect_near(got.inputs[0], expected.gradient, bound * 1.2e-7);
}

INSTANTIATE_TEST_SUITE_P(Masks, LongAttention, testing::Bool(),
                         [](const auto& info) { return info.param ? "causal" : "full"; });

TEST(Attention, MaskedTokensNeitherTakeNorGive) {
  const Tensor lengths = on_device(Tensor::from(std::vector<int64_t>{3}, {1}));
  const auto run = [&](double filler) {
    const Tensor x = random_normal({1, 5, 12}, 3);
    for (int64_t i = 3 * 12; i < 5 * 12; ++i) x.data<double>()[i] = filler;
    Tape tape;
    const Var v = tape.leaf(on_device(x));
    const Var y = attention(v, 2, {.lengths = lengths});
    SumSink sink;
    tape.backward(y, on_device(Tensor::full({1, 5, 4}, 1, DType::float64)), sink);
    auto all = y.value().to_vector<double>();
    const auto g = tape.gradient(v).to_vector<double>();
    for (size_t i = 3 * 12; i < g.size(); ++i) EXPECT_EQ(g[i], 0);
    all.insert(all.end(), g.begin(), g.end());
    return all;
  };
  EXPECT_EQ(run(0), run(std::nan("")));
}

TEST(Attention, LargeScoresDoNotOverflow) {
  const Tensor x = Tensor::zeros({1, 2, 3});
  const float values[] = {200, 200, 1, 200, -200, 5};
  std::copy(std::begin(values), std::end(values), x.data<float>());
  Tape tape;
  const Var y = attention(tape.leaf(on_device(x)), 1);
  EXPECT_EQ(y.value().to_vector<float>(), (std::vector<float>{1, 1}));  // the first key takes all
}

}  // namespace
}  // namespace minnow::test
