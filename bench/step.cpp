/// One training step, forward + backward + AdamW, plain and clipped, float32, cross-entropy of 10
/// classes, on the device that MINNOW_TEST_DEVICE names:
///   vit             timm's vit_tiny geometry in patches of 4 (D 192, 12 blocks, 3 heads)
///   resnet20_group  ResNet-20 with GroupNorm of 8 groups
///   resnet20_batch  ResNet-20 with BatchNorm, whose statistics are those of the micro-batches
///   wrn16_4         wide ResNet 16-4 with GroupNorm of 16 groups: some 20 times the work of the 20
///
/// Every clipped step is paired with a plain step right before it, so that a machine that slows
/// down slows both; `ratio` is the median over the pairs, and `memory` the ratio of the two
/// high-water marks.

#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "engine/grouped_backward.h"
#include "engine/memory.h"
#include "nn/models.h"
#include "tests/device.h"
#include "train/optimizer.h"

namespace minnow {
namespace {

double median(std::vector<double> x) {
  std::nth_element(x.begin(), x.begin() + std::ssize(x) / 2, x.end());
  return x[x.size() / 2];
}

/// What one kind of step took: milliseconds, and bytes at the high-water mark.
struct Cost {
  std::vector<double> times;
  int64_t peak = 0;
};

class Trainer {
 public:
  Trainer(nn::ModelConfig config, int64_t batch, int64_t image) {
    config.vit.image = image;
    model_ = nn::make_model(config, 1);
    model_->to(test::test_device());
    optimizer_ =
        std::make_unique<Optimizer>(model_->parameters(), OptimizerConfig{.name = "adamw"});
    nn::Init random(2);
    inputs_ = test::on_device(random.normal({batch, 3, image, image}, 1));
    labels_ = Tensor::empty({batch}, DType::int64);
    for (int64_t i = 0; i < batch; ++i) labels_.data<int64_t>()[i] = i % 10;
    labels_ = test::on_device(labels_);
  }

  /// b = 0: plain training.
  void step(int64_t b, int64_t wave, Cost& cost) {
    const auto loss = [this](Tape& tape, int64_t begin, int64_t end) {
      tape.set_random({.seed = 1, .step = 0, .example_ids = {}, .training = true});
      const Var logits = model_->forward(tape.input(inputs_.slice(begin, end)));
      return cross_entropy(logits, labels_.slice(begin, end));
    };
    const int64_t batch = inputs_.dim(0);
    const Grouping grouping = Grouping::runs(batch, b == 0 ? batch : b);
    const ClipRule rule{.rule = b == 0 ? Rule::none : Rule::min};
    const Device device = test::test_device();
    reset_peak_memory(device);
    synchronize(device);
    const auto start = std::chrono::steady_clock::now();
    {
      const PendingStep step = begin_clipped_gradient(model_->parameters(), grouping, loss, rule,
                                                      state_, {.wave = wave});
      optimizer_->step(step.update, 1e-3, step.groups.skipped());
    }
    synchronize(device);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    cost.times.push_back(took.count());
    cost.peak = std::max(cost.peak, memory_stats(device).peak);
  }

 private:
  std::unique_ptr<nn::Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
  ClipState state_;
  Tensor inputs_, labels_;
};

void report(benchmark::State& state, const Cost& cost) {
  const double ms = median(cost.times);
  state.counters["ms"] = ms;
  state.counters["ms_per_example"] = ms / static_cast<double>(state.range(0));
  state.counters["peak_MiB"] = static_cast<double>(cost.peak) / (1 << 20);
}

/// Arguments: B, image side, b (0: plain), wave (0: automatic).
void step(benchmark::State& state, const nn::ModelConfig& model) {
  const int64_t b = state.range(2), wave = state.range(3);
  Trainer trainer(model, state.range(0), state.range(1));
  Cost plain, clipped, warm_up;
  trainer.step(0, b == 0 ? wave : 0, warm_up);
  if (b > 0) trainer.step(b, wave, warm_up);
  for (auto _ : state) {
    trainer.step(0, b == 0 ? wave : 0, plain);
    if (b > 0) trainer.step(b, wave, clipped);
    state.SetIterationTime((b == 0 ? plain : clipped).times.back() / 1e3);
  }
  report(state, b == 0 ? plain : clipped);
  if (b == 0) return;
  std::vector<double> ratios;
  for (size_t i = 0; i < plain.times.size(); ++i) {
    ratios.push_back(clipped.times[i] / plain.times[i]);
  }
  state.counters["ratio"] = median(ratios);
  state.counters["memory"] = static_cast<double>(clipped.peak) / static_cast<double>(plain.peak);
}

/// Clipped steps of the ViT alone, in waves of a fixed size: memory is that of one wave, time that
/// of the examples.
void large_batches(benchmark::State& state) {
  Trainer trainer({}, state.range(0), state.range(1));
  Cost cost, warm_up;
  trainer.step(state.range(2), state.range(3), warm_up);
  for (auto _ : state) {
    trainer.step(state.range(2), state.range(3), cost);
    state.SetIterationTime(cost.times.back() / 1e3);
  }
  report(state, cost);
}

void in_milliseconds(benchmark::internal::Benchmark* b, int64_t iterations) {
  b->ArgNames({"B", "image", "b", "wave"})->UseManualTime()->Unit(benchmark::kMillisecond);
  b->Iterations(iterations);
}

constexpr int64_t tokens_65 = 32, tokens_197 = 56;  // image sides of the ViT
const nn::ModelConfig vit;
BENCHMARK_CAPTURE(step, vit, vit)->Apply([](auto* bench) {
  in_milliseconds(bench, 7);
  for (const auto& [b, wave] :
       {std::pair{0, 0}, {0, 16}, {64, 0}, {8, 0}, {1, 0}, {1, 16}, {1, 64}}) {
    bench->Args({64, tokens_65, b, wave});
  }
});
BENCHMARK_CAPTURE(step, vit, vit)->Apply([](auto* bench) {
  in_milliseconds(bench, 3);
  for (int64_t b : {0, 8, 1}) bench->Args({64, tokens_197, b, 0});
});

/// A conv net on pictures of CIFAR's size.
void of_conv_net(benchmark::internal::Benchmark* bench, int64_t batch, int64_t iterations) {
  in_milliseconds(bench, iterations);
  for (int64_t b : {int64_t{0}, batch, int64_t{8}, int64_t{1}}) bench->Args({batch, 32, b, 0});
}

const nn::ModelConfig resnet20_group{.name = "resnet20", .norm = "group", .norm_groups = 8};
const nn::ModelConfig resnet20_batch{.name = "resnet20", .norm = "batch"};
const nn::ModelConfig wrn16_4{.name = "wrn16_4"};
BENCHMARK_CAPTURE(step, resnet20_group, resnet20_group)->Apply([](auto* bench) {
  of_conv_net(bench, 64, 15);
});
BENCHMARK_CAPTURE(step, resnet20_batch, resnet20_batch)->Apply([](auto* bench) {
  of_conv_net(bench, 64, 15);
});
BENCHMARK_CAPTURE(step, wrn16_4, wrn16_4)->Apply([](auto* bench) { of_conv_net(bench, 16, 5); });
BENCHMARK(large_batches)->Apply([](auto* bench) {
  in_milliseconds(bench, 1);
  for (int64_t batch : {64, 256, 1024}) bench->Args({batch, tokens_65, 1, 16});
});

}  // namespace
}  // namespace minnow

BENCHMARK_MAIN();
