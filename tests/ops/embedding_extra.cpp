#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <tuple>

#include "engine/memory.h"
#include "engine/param_grad.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

Tensor ids_for(const Shape& shape, int64_t vocabulary, int64_t factor) {
  Tensor ids = Tensor::empty(shape, DType::int64);
  for (int64_t i = 0; i < ids.numel(); ++i) ids.data<int64_t>()[i] = i * factor % 101 % vocabulary;
  return ids;
}

/// y[i, v] = <w[ids[i]], w[v]>: a language model of one table that both reads and writes words.
Tensor tied_reference(const Tensor& ids, const Tensor& w) {
  const int64_t vocabulary = w.dim(0), width = w.dim(1);
  Tensor y = Tensor::zeros({ids.dim(0), ids.dim(1), vocabulary}, DType::float64);
  for (int64_t i = 0; i < y.numel(); ++i) {
    const double* in = w.data<double>() + ids.data<int64_t>()[i / vocabulary] * width;
    const double* out = w.data<double>() + i % vocabulary * width;
    for (int64_t d = 0; d < width; ++d) y.data<double>()[i] += in[d] * out[d];
  }
  return y;
}

Sample tied_sample(std::string label, int64_t examples, int64_t tokens, int64_t vocabulary,
                   int64_t width) {
  Sample s;
  s.label = std::move(label);
  s.parameters = {{vocabulary, width}};
  s.examples = examples;
  s.bfloat16 = false;
  const Tensor ids = ids_for({examples, tokens}, vocabulary, 7);
  s.forward = [=](Tape& tape, const Vars&, const ParameterRefs& p, int64_t begin, int64_t end) {
    return linear(embedding(tape, ids.slice(begin, end), *p[0]), *p[0]);
  };
  s.reference = [=](const Tensors&, const Tensors& p) { return tied_reference(ids, p[0]); };
  // A dot product of `width` terms; backward sums over words, and over the rows of both uses.
  s.terms = static_cast<double>(width + vocabulary + 2 * examples * tokens) + 2;
  return s;
}

/// One table looked up in two places.
Sample twice_sample() {
  Sample s;
  s.label = "twice";
  s.parameters = {{6, 3}};
  s.examples = 4;
  s.bfloat16 = false;
  const Tensor first = ids_for({4, 5}, 6, 7), second = ids_for({4, 5}, 6, 13);
  s.forward = [=](Tape& tape, const Vars&, const ParameterRefs& p, int64_t begin, int64_t end) {
    return mul(embedding(tape, first.slice(begin, end), *p[0]),
               embedding(tape, second.slice(begin, end), *p[0]));
  };
  s.reference = [=](const Tensors&, const Tensors& p) {
    Tensor y = Tensor::empty({4, 5, 3}, DType::float64);
    const double* w = p[0].data<double>();
    for (int64_t i = 0; i < y.numel(); ++i) {
      const auto word = [=](const Tensor& ids) {
        return w[ids.data<int64_t>()[i / 3] * 3 + i % 3];
      };
      y.data<double>()[i] = word(first) * word(second);
    }
    return y;
  };
  s.terms = 2 * 4 * 5;
  return s;
}

const RegisterOp tied_case{{
    .name = "embedding_tied",
    .samples = {tied_sample("model", 5, 3, 7, 4), tied_sample("one_example", 1, 4, 5, 2),
                tied_sample("unused_words", 4, 2, 30, 3), twice_sample()},
    .errors = {},
    .bench = {},
}};

/// Rows for 40 examples of 25 words, in a table with some words used often.
struct Rows {
  static constexpr int64_t examples = 40, words = 25, vocabulary = 50, width = 200;
  Tensor ids = on_device(ids_for({examples, words}, vocabulary, 3));
  Tensor g = on_device(random_normal({examples, words, width}, 4, DType::float32));
  std::shared_ptr<const ParamGrad> form = scatter_rows(ids, g);
  Grouping groups = Grouping::runs(examples, 7);

  Tensor tables() const {
    return Tensor::empty({groups.groups(), vocabulary, width}, DType::float32, test_device());
  }
  Tensor sumsq() const { return Tensor::empty({groups.groups()}, DType::float64, test_device()); }
};

TEST(Embedding, NormsWithoutATableAreThoseOfTheTables) {
  const Rows rows;
  const Tensor of_tables = rows.sumsq(), of_rows = rows.sumsq();
  rows.form->group_sums(rows.groups, rows.tables(), false, of_tables.data<double>());
  rows.form->group_sumsq(rows.groups, of_rows.data<double>());
  const auto from_tables = of_tables.to_vector<double>(), without = of_rows.to_vector<double>();
  // Both add the same rows in the same order; only the sums of squares run in another order, over
  // at most 1024 squares in float32 at a time.
  for (size_t j = 0; j < without.size(); ++j) {
    EXPECT_NEAR(without[j] / from_tables[j], 1, 1024 * 6e-8) << j;
  }
}

TEST(Embedding, ResultsDoNotDependOnTheNumberOfThreads) {
  const Rows rows;
  const auto all = [&] {
    const Tensor sum =
        Tensor::empty({Rows::vocabulary, Rows::width}, DType::float32, test_device());
    const Tensor tables = rows.tables(), sumsq = rows.sumsq();
    rows.form->sum(sum, false);
    rows.form->group_sums(rows.groups, tables, false, nullptr);
    rows.form->group_sumsq(rows.groups, sumsq.data<double>());
    return std::tuple(sum.to_vector<float>(), tables.to_vector<float>(), sumsq.to_vector<double>());
  };
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto expected = all();
  for (int n : {2, 3, 8}) {
    omp_set_num_threads(n);
    EXPECT_EQ(all(), expected) << n << " threads";
  }
  omp_set_num_threads(threads);
}

TEST(Embedding, GroupWithoutWeightIsNotRead) {
  const Tensor ids = on_device(Tensor::from(std::vector<int64_t>{0, 1, 1, 2}, {4}));
  const Tensor g = on_device(Tensor::from(std::vector<double>{1, 2, std::nan(""), 4}, {4, 1}));
  const Grouping groups = Grouping::runs(4, 1);
  const Tensor c = on_device(Tensor::from(std::vector<double>{1, 10, 0, 0.5}, {4}));
  const Tensor out = on_device(Tensor::full({3, 1}, 100, DType::float64));
  scatter_rows(ids, g)->weighted_sum(groups, c.data<double>(), out, true);
  EXPECT_EQ(out.to_vector<double>(), (std::vector<double>{101, 120, 102}));
  scatter_rows(ids, g)->weighted_sum(groups, c.data<double>(), out, false);
  EXPECT_EQ(out.to_vector<double>(), (std::vector<double>{1, 20, 2}));
}

TEST(Embedding, NoTableIsWrittenForAGroup) {
  constexpr int64_t vocabulary = 20000, width = 8, examples = 16;
  Parameter w = random_parameter("w", {vocabulary, width}, 1, DType::float32);
  w.value = on_device(w.value);
  const Tensor ids = ids_for({examples, 3}, vocabulary, 7);
  const LossFn loss = [&](Tape& tape, int64_t begin, int64_t end) {
    const Var y = mean_tokens(embedding(tape, ids.slice(begin, end), w));
    return cross_entropy(y, Tensor::zeros({end - begin}, DType::int64));
  };
  ClipState state;
  reset_peak_memory(test_device());
  const int64_t before = memory_stats(test_device()).in_use;
  const GroupedStep step = clipped_gradient({&w}, Grouping::runs(examples, 1), loss,
                                            {.rule = Rule::min}, state, {.tau = 1});
  EXPECT_EQ(step.groups.ineligible, 0);
  // One table for the update; 16 groups would have 16.
  EXPECT_LT(memory_stats(test_device()).peak - before, 2 * w.value.nbytes());
}

// Ids that are on a GPU already cannot be refused without waiting for it: their rows are NaN, so
// that the loss shows it, and nothing is written outside of the table.
TEST(Embedding, AWrongIdOnTheDeviceGivesNaNAndTouchesNothing) {
  if (test_device().is_cpu()) GTEST_SKIP() << "on the CPU it is an error";
  const Parameter weight{.name = "w", .value = on_device(random_normal({4, 3}, 1))};
  const Tensor ids = on_device(Tensor::from(std::vector<int64_t>{1, 4, -1, 3}, {2, 2}));
  Tape tape;
  const Var y = embedding(tape, ids, weight);
  const auto values = y.value().to_vector<double>();
  for (size_t i = 0; i < values.size(); ++i)
    EXPECT_EQ(std::isnan(values[i]), i / 3 == 1 || i / 3 == 2);
  SumSink sink;
  tape.backward(y, on_device(Tensor::full({2, 2, 3}, 1, DType::float64)), sink);
  EXPECT_EQ(sink.gradients[&weight].to_vector<double>(),
            (std::vector<double>{0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1}));
}

TEST(Embedding, FrozenTableNeedsNoGradient) {
  Parameter w = random_parameter("w", {4, 3}, 1);
  w.value = on_device(w.value);
  w.trainable = false;
  Tape tape;
  EXPECT_FALSE(embedding(tape, ids_for({2, 3}, 4, 1), w).slot().wanted());
}

}  // namespace
}  // namespace minnow::test
