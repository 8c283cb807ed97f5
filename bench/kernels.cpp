/// Every kernel at the shapes of a small ViT's step (B 64, T 65, D 192), as a share of what this
/// machine can do: of its copy rate where the work is moving bytes, of its product rate where it is
/// arithmetic. Both limits are measured at the start, in the same process. The ops come from the
/// records that the tests use.

#include <benchmark/benchmark.h>

#include <chrono>
#include <functional>
#include <string>

#include "engine/machine.h"
#include "kernels/clip.h"
#include "kernels/launch.h"
#include "kernels/optim.h"
#include "kernels/outer.h"
#include "kernels/reduce.h"
#include "tests/op_case.h"
#include "tests/op_run.h"

namespace minnow {
namespace {

using test::Work;

double seconds(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void report(benchmark::State& state, const Work& work, double total) {
  const double each = total / static_cast<double>(state.iterations());
  if (work.bytes > 0) {
    state.counters["GB_s"] = work.bytes / each / 1e9;
    state.counters["of_copy"] = work.bytes / each / machine_rates().bytes;
  }
  if (work.flops > 0) {
    state.counters["GF_s"] = work.flops / each / 1e9;
    state.counters["of_product"] = work.flops / each / machine_rates().flops;
  }
}

void add(const std::string& name, const Work& work, std::function<double()> timed) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) {
                                 timed();  // warms caches and the allocator
                                 double total = 0;
                                 for (auto _ : state) {
                                   const double took = timed();
                                   state.SetIterationTime(took);
                                   total += took;
                                 }
                                 report(state, work, total);
                               })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond)
      ->MinTime(0.1);
}

void add_op(const test::OpCase& op, const test::Sample& sample) {
  const auto run = std::make_shared<test::OpRun>(sample, DType::float32);
  add(op.name + "/" + sample.label + "/forward", sample.forward_work,
      [run] { return seconds([&] { run->forward(); }); });
  if (sample.backward_work.bytes == 0 && sample.backward_work.flops == 0) return;
  add(op.name + "/" + sample.label + "/backward", sample.backward_work,
      [run] { return run->time_backward(); });
}

/// The grouped kernels on a layer of `in` to `out` units, K groups of `rows` rows.
void add_grouped(int64_t groups, int64_t rows, int64_t in, int64_t out) {
  const Tensor a = test::random_normal({groups * rows, in}, 1, DType::float32);
  const Tensor g = test::random_normal({groups * rows, out}, 2, DType::float32);
  const Tensor sums = Tensor::zeros({groups, out, in}), sum = Tensor::zeros({out, in});
  std::vector<int64_t> bounds;
  for (int64_t j = 0; j <= groups; ++j) bounds.push_back(j * rows);
  const std::vector<double> c(static_cast<size_t>(groups), 0.5);
  const auto sumsq = std::make_shared<std::vector<double>>(static_cast<size_t>(groups));
  const double product = 2.0 * static_cast<double>(groups * rows * in * out);
  const double gradients = 4.0 * static_cast<double>(groups * in * out);
  const auto suffix = fmt::format("/K{}_m{}_{}x{}", groups, rows, in, out);
  const auto timed = [&](const std::string& name, Work work, std::function<void()> run) {
    add(name + suffix, work, [run] { return seconds(run); });
  };
  timed("outer_sum", {.flops = product}, [=] {
    cpu::outer_sum(groups * rows, in, out, a.data<float>(), g.data<float>(), 0.0f,
                   sum.data<float>());
  });
  timed("outer_group_sums", {.bytes = gradients, .flops = product}, [=] {
    cpu::outer_group_sums(groups, bounds.data(), in, out, a.data<float>(), g.data<float>(), 0.0f,
                          sums.data<float>(), sumsq->data());
  });
  timed("outer_group_sumsq", {.flops = product}, [=] {
    cpu::outer_group_sumsq(groups, bounds.data(), in, out, a.data<float>(), g.data<float>(),
                           sumsq->data());
  });
  timed("outer_weighted_sum", {.flops = product}, [=] {
    cpu::outer_weighted_sum(groups, bounds.data(), in, out, a.data<float>(), g.data<float>(),
                            c.data(), 0.0f, sum.data<float>());
  });
  timed("rescaled_sum", {.bytes = gradients}, [=] {
    cpu::rescaled_sum(groups, in * out, sums.data<float>(), c.data(), 0.0f, sum.data<float>());
  });
  timed("segment_sums", {.bytes = 4.0 * static_cast<double>(groups * rows * out)}, [=] {
    cpu::segment_sums(groups, bounds.data(), out, g.data<float>(), 0.0f, sums.data<float>(),
                      sumsq->data());
  });
}

void add_gram(int64_t groups, int64_t n) {
  const Tensor x = test::random_normal({groups, n}, 1, DType::float32);
  const auto products = std::make_shared<std::vector<double>>(static_cast<size_t>(groups * groups));
  add(fmt::format("gram/K{}_P{}", groups, n),
      {.flops = 2.0 * static_cast<double>(groups * groups * n)},
      [=] { return seconds([&] { cpu::gram(groups, n, x.data<float>(), products->data()); }); });
}

/// One fused step over n elements: reads parameter, gradient and two moments, writes all but the
/// gradient.
void add_adamw(int64_t n) {
  const Tensor p = Tensor::zeros({n}), g = Tensor::full({n}, 0.1), m = Tensor::zeros({n}),
               v = Tensor::zeros({n});
  add(fmt::format("adamw/{}", n), {.bytes = 28.0 * static_cast<double>(n)}, [=] {
    return seconds([&] {
      const OptimTensor<float> one{.n = n,
                                   .p = p.data<float>(),
                                   .g = g.data<float>(),
                                   .m = m.data<float>(),
                                   .v = v.data<float>(),
                                   .shrink = 0.9999f};
      cpu::adam<float>(std::span(&one, 1), {.rest1 = 0.1f,
                                            .beta2 = 0.999f,
                                            .rest2 = 0.001f,
                                            .step_size = 1e-3f,
                                            .scale2 = 1,
                                            .eps = 1e-8f});
    });
  });
}

}  // namespace
}  // namespace minnow

int main(int argc, char** argv) {
  using namespace minnow;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  fmt::print("limits of this machine: products {:.0f} GF/s, copies {:.1f} GB/s, {} threads\n",
             machine_rates().flops / 1e9, machine_rates().bytes / 1e9, omp_get_max_threads());
  for (const test::OpCase& op : test::op_cases()) {
    for (const test::Sample& sample : op.bench) add_op(op, sample);
  }
  add_grouped(8, 520, 192, 768);
  add_grouped(64, 65, 192, 768);
  add_gram(64, 192 * 768);
  add_adamw(5'400'000);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
