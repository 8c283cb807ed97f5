/// Every kernel at the shapes of a small ViT's step (B 64, T 65, D 192), as a share of what this
/// machine can do: of its copy rate where the work is moving bytes, of its product rate where it is
/// arithmetic. Both limits are measured at the start, in the same process. The ops come from the
/// records that the tests use; all runs on the device that MINNOW_TEST_DEVICE names.

#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <string>

#include "engine/groups.h"
#include "engine/machine.h"
#include "engine/memory.h"
#include "kernels/launch.h"
#include "kernels/optim.h"
#include "kernels/outer.h"
#include "kernels/reduce.h"
#include "kernels/rescaled_sum.h"
#if MINNOW_CUDA
#include "kernels/cudnn_graph.h"
#endif
#include "tests/op_case.h"
#include "tests/op_run.h"

namespace minnow {
namespace {

using test::Work;

double seconds(const std::function<void()>& run) {
  synchronize(test::test_device());
  const auto start = std::chrono::steady_clock::now();
  run();
  synchronize(test::test_device());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void report(benchmark::State& state, const Work& work, double total) {
  const double each = total / static_cast<double>(state.iterations());
  if (work.bytes > 0) {
    state.counters["GB_s"] = work.bytes / each / 1e9;
    state.counters["of_copy"] = work.bytes / each / machine_rates(test::test_device()).bytes;
  }
  if (work.flops > 0) {
    state.counters["GF_s"] = work.flops / each / 1e9;
    state.counters["of_product"] = work.flops / each / machine_rates(test::test_device()).flops;
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
      [run] { return run->time_forward(); });
  if (sample.backward_work.bytes == 0 && sample.backward_work.flops == 0) return;
  add(op.name + "/" + sample.label + "/backward", sample.backward_work,
      [run] { return run->time_backward(); });
}

/// The grouped kernels on a layer of `in` to `out` units, K groups of `rows` rows.
void add_grouped(int64_t groups, int64_t rows, int64_t in, int64_t out) {
  using T = float;
  const Device device = test::test_device();
  const Tensor a = test::on_device(test::random_normal({groups * rows, in}, 1, DType::float32));
  const Tensor g = test::on_device(test::random_normal({groups * rows, out}, 2, DType::float32));
  const Tensor sums = Tensor::zeros({groups, out, in}, DType::float32, device);
  const Tensor sum = Tensor::zeros({out, in}, DType::float32, device);
  const Tensor c = Tensor::full({groups}, 0.5, DType::float64, device);
  const Tensor sumsq = Tensor::zeros({groups}, DType::float64, device);
  const auto grouping = std::make_shared<Grouping>(Grouping::runs(groups * rows, rows));
  const Segments segments = grouping->segments(groups * rows, device);
  const double product = 2.0 * static_cast<double>(groups * rows * in * out);
  const double gradients = 4.0 * static_cast<double>(groups * in * out);
  const auto suffix = fmt::format("/K{}_m{}_{}x{}", groups, rows, in, out);
  const auto timed = [&](const std::string& name, Work work, std::function<void()> run) {
    add(name + suffix, work, [run, grouping] { return seconds(run); });
  };
  timed("outer_sum", {.flops = product}, [=] {
    MINNOW_ON(device, outer_sum<T>)
    (groups * rows, in, out, a.data<T>(), g.data<T>(), 0.0f, sum.data<T>());
  });
  timed("outer_group_sums", {.bytes = gradients, .flops = product}, [=] {
    MINNOW_ON(device, outer_group_sums<T>)
    (segments, in, out, a.data<T>(), g.data<T>(), 0.0f, sums.data<T>(), sumsq.data<double>());
  });
  timed("outer_group_sumsq", {.flops = product}, [=] {
    MINNOW_ON(device, outer_group_sumsq<T>)
    (segments, in, out, a.data<T>(), g.data<T>(), sumsq.data<double>());
  });
  timed("outer_weighted_sum", {.flops = product}, [=] {
    MINNOW_KERNEL(device, outer_weighted_sum<T>)
    (segments, in, out, a.data<T>(), g.data<T>(), c.data<double>(), 0.0f, sum.data<T>());
  });
  timed("rescaled_sum", {.bytes = gradients}, [=] {
    MINNOW_ON(device, rescaled_sum<T>)
    (groups, in * out, sums.data<T>(), c.data<double>(), 0.0f, sum.data<T>());
  });
  timed("segment_sums", {.bytes = 4.0 * static_cast<double>(groups * rows * out)}, [=] {
    MINNOW_ON(device, segment_sums<T>)
    (segments, out, g.data<T>(), 0.0f, sums.data<T>(), sumsq.data<double>());
  });
}

void add_gram(int64_t groups, int64_t n) {
  const Device device = test::test_device();
  const Tensor x = test::on_device(test::random_normal({groups, n}, 1, DType::float32));
  const Tensor products = Tensor::zeros({groups, groups}, DType::float64, device);
  add(fmt::format("gram/K{}_P{}", groups, n),
      {.flops = 2.0 * static_cast<double>(groups * groups * n)}, [=] {
        return seconds([&] {
          MINNOW_ON(device, gram<float>)(groups, n, x.data<float>(), products.data<double>());
        });
      });
}

/// One fused step over n elements: reads parameter, gradient and two moments, writes all but the
/// gradient.
void add_adamw(int64_t n) {
  const Device device = test::test_device();
  const auto array = [&](double value) { return Tensor::full({n}, value, DType::float32, device); };
  const Tensor p = array(0), g = array(0.1), m = array(0), v = array(0);
  const Tensor taken = Tensor::zeros({1}, DType::int64, device);
  add(fmt::format("adamw/{}", n), {.bytes = 28.0 * static_cast<double>(n)}, [=] {
    return seconds([&] {
      const OptimTensor<float> one{.n = n,
                                   .p = p.data<float>(),
                                   .g = g.data<float>(),
                                   .m = m.data<float>(),
                                   .v = v.data<float>(),
                                   .shrink = 0.9999f};
      const AdamStep<float> step{.rest1 = 0.1f,
                                 .beta2 = 0.999f,
                                 .rest2 = 0.001f,
                                 .eps = 1e-8f,
                                 .lr = 1e-3,
                                 .log_beta1 = std::log(0.9),
                                 .log_beta2 = std::log(0.999)};
      MINNOW_ON(device, adam<float>)
      (std::span(&one, 1), step, StepGate{.taken = taken.data<int64_t>()});
    });
  });
}

}  // namespace
}  // namespace minnow

int main(int argc, char** argv) {
  using namespace minnow;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const MachineRates& limits = machine_rates(test::test_device());
  fmt::print("limits of this {}: products {:.0f} GF/s, copies {:.1f} GB/s, {} threads\n",
             test::test_device().name(), limits.flops / 1e9, limits.bytes / 1e9,
             omp_get_max_threads());
  for (const test::OpCase& op : test::op_cases()) {
    for (const test::Sample& sample : op.bench) add_op(op, sample);
  }
  add_grouped(8, 520, 192, 768);
  add_grouped(64, 65, 192, 768);
  add_gram(64, 192 * 768);
  add_adamw(5'400'000);
  benchmark::RunSpecifiedBenchmarks();
#if MINNOW_CUDA
  if (test::test_device().is_cuda()) {
    fmt::print("convolutions for which cuDNN had no plan: {}\n", cuda::conv_plans_missing());
  }
#endif
  return 0;
}
