#include <gtest/gtest.h>

#include "engine/grouped_backward.h"
#include "kernels/random.h"
#include "tests/op_case.h"
#include "tests/op_run.h"

/// Norms and updates of convolutions of every kind, each group against a run of it alone.
namespace minnow::test {
namespace {

/// A convolution that fits its picture, drawn from all that the op takes: grouped, depthwise,
/// dilated, strided, 1x1, uneven kernels.
struct Drawn {
  Shape x, weight;
  Conv2dOptions options;
  bool bias;
  int64_t micro_batch;
};

Drawn draw(uint64_t seed) {
  RandomSequence random(RandomKey{seed, 1, 0, 0});
  const auto from = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random.uniform(0, 1) * static_cast<double>(high - low + 1));
  };
  Drawn d;
  const int64_t kind = from(0, 3);  // 0: plain, 1: grouped, 2: depthwise, 3: 1x1
  const int64_t groups = kind == 0 || kind == 3 ? 1 : from(1, 4);
  const int64_t each = kind == 2 ? 1 : from(1, 3), filters = from(1, 3);
  const int64_t kh = kind == 3 ? 1 : from(1, 4), kw = kind == 3 ? 1 : from(1, 4);
  d.options = {.stride = from(1, 3),
               .padding = kind == 3 ? 0 : from(0, 2),
               .dilation = from(1, 2),
               .groups = groups};
  const auto side = [&](int64_t kernel) { return d.options.dilation * (kernel - 1) + from(1, 6); };
  const int64_t examples = from(1, 6);
  d.x = {examples, groups * each, side(kh), side(kw)};
  d.weight = {groups * filters, each, kh, kw};
  d.bias = from(0, 1) == 1;
  d.micro_batch = from(1, examples);
  return d;
}

Sample sample_of(const Drawn& d) {
  Sample s;
  s.label = "drawn";
  s.inputs = {d.x};
  s.parameters = {d.weight};
  if (d.bias) s.parameters.push_back({d.weight[0]});
  s.forward = [d](Tape&, const Vars& v, const ParameterRefs& p, int64_t, int64_t) {
    return conv2d(v[0], *p[0], d.bias ? p[1] : nullptr, d.options);
  };
  return s;
}

/// `bound`: the same sums in another order, of at most 6 * 49 * 36 terms.
void expect_oracle(const Drawn& d, DType dtype, double bound) {
  const Sample sample = sample_of(d);
  OpRun run(sample, dtype);
  const Parameters parameters = run.parameter_list();
  const Grouping grouping = Grouping::runs(d.x[0], d.micro_batch);
  const auto step = [&](Strategy strategy, int64_t wave) {
    ClipState state;
    return clipped_gradient(parameters, grouping, run.loss_fn(), {.rule = Rule::min}, state,
                            {.strategy = strategy, .wave = wave, .tau = 8});
  };
  const GroupedStep oracle = step(Strategy::loop, 0);
  for (Strategy strategy : {Strategy::automatic, Strategy::instantiate, Strategy::norm_only}) {
    for (int64_t wave : {0, 2}) {
      const GroupedStep got = step(strategy, wave);
      for (size_t j = 0; j < oracle.groups.norms.size(); ++j) {
        ASSERT_NEAR(got.groups.norms[j], oracle.groups.norms[j], bound * oracle.groups.norms[j]);
      }
      for (size_t l = 0; l < parameters.size(); ++l) {
        const auto a = on_cpu(got.update[l]).to(DType::float64).to_vector<double>();
        const auto b = on_cpu(oracle.update[l]).to(DType::float64).to_vector<double>();
        double most = 0;
        for (double v : b) most = std::max(most, std::abs(v));
        for (size_t i = 0; i < b.size(); ++i) ASSERT_NEAR(a[i], b[i], bound * most);
      }
    }
  }
}

TEST(RandomConvolutions, HundredShapesMatchTheLoop) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Drawn d = draw(seed);
    SCOPED_TRACE(
        fmt::format("seed {}: x {}, weight {}, stride {}, padding {}, dilation {}, groups {}, b {}",
                    seed, to_string(d.x), to_string(d.weight), d.options.stride, d.options.padding,
                    d.options.dilation, d.options.groups, d.micro_batch));
    expect_oracle(d, DType::float64, 1e-12);
    expect_oracle(d, DType::float32, 1e-5);
  }
}

}  // namespace
}  // namespace minnow::test
