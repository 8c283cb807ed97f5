/// A training step of a Conformer with a CTC head, forward + backward + AdamW, plain and clipped;
/// every clipped step is paired with a plain one right before it, as in step.cpp.
///
///   bench_conformer serve [channels of the subsampling [shortest, longest utterance in frames]]
///
/// takes steps on request: for every number b on the standard input one step, in micro-batches of
/// b examples (0: plain), and one line "milliseconds bytes" with the high-water mark of its
/// tensors. bench/conformer_step.py takes steps of torchaudio's Conformer between them.

#include "nn/conformer.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/grouped_backward.h"
#include "engine/memory.h"
#include "tests/device.h"
#include "train/optimizer.h"

namespace minnow {
namespace {

constexpr int64_t kBatch = 16, kLetters = 20;

Tensor whole_numbers(const Shape& shape, const std::function<int64_t(int64_t)>& at) {
  const Tensor numbers = Tensor::empty(shape, DType::int64);
  for (int64_t i = 0; i < numbers.numel(); ++i) numbers.data<int64_t>()[i] = at(i);
  return numbers;
}

class Trainer {
 public:
  Trainer(int64_t channels, int64_t shortest, int64_t longest)
      : config_{.dim = 144, .depth = 8, .conv_norm = "group", .subsampling = channels},
        model_(config_, nn::Init(1)) {
    const Device device = test::test_device();
    model_.to(device);
    parameters_ = model_.parameters();
    optimizer_ = std::make_unique<Optimizer>(parameters_, OptimizerConfig{.name = "adamw"});
    frames_ = test::on_device(nn::Init(2).normal({kBatch, longest, config_.features}, 1));
    const Tensor lengths = whole_numbers({kBatch}, [&](int64_t i) {
      return shortest + (longest - shortest) * (i * 7 % kBatch) / (kBatch - 1);  // in no order
    });
    lengths_ = lengths.to(device);
    ends_ = whole_numbers({kBatch}, [&](int64_t i) {
              return model_.output_length(lengths.data<int64_t>()[i]);
            }).to(device);
    targets_ = whole_numbers({kBatch, kLetters}, [&](int64_t i) {
                 return 1 + i * 5 % (config_.classes - 1);
               }).to(device);
    letters_ = Tensor::full({kBatch}, kLetters, DType::int64).to(device);
  }

  /// Milliseconds of a step in micro-batches of b examples; 0: plain.
  double time_step(int64_t b) {
    const Device device = test::test_device();
    reset_peak_memory(device);
    synchronize(device);
    const auto start = std::chrono::steady_clock::now();
    step(b);
    synchronize(device);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    return took.count();
  }

 private:
  void step(int64_t b) {
    const auto loss = [this](Tape& tape, int64_t begin, int64_t end) {
      tape.set_random({.seed = 1, .step = 0, .example_ids = {}, .training = true});
      const Var frames = tape.input(frames_.slice(begin, end));
      const Var logits = model_.forward(frames, lengths_.slice(begin, end));
      return ctc_loss(logits, ends_.slice(begin, end), targets_.slice(begin, end),
                      letters_.slice(begin, end));
    };
    const Grouping grouping = Grouping::runs(kBatch, b == 0 ? kBatch : b);
    const ClipRule rule{.rule = b == 0 ? Rule::none : Rule::min};
    const PendingStep step = begin_clipped_gradient(parameters_, grouping, loss, rule, state_, {});
    optimizer_->step(step.update, 1e-4, step.groups.skipped());
  }

  nn::ConformerConfig config_;
  nn::Conformer model_;
  Parameters parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  ClipState state_;
  Tensor frames_, lengths_, ends_, targets_, letters_;
};

double peak() {
  return static_cast<double>(memory_stats(test::test_device()).peak);
}

double median(std::vector<double> x) {
  std::nth_element(x.begin(), x.begin() + std::ssize(x) / 2, x.end());
  return x[x.size() / 2];
}

/// Argument: b. `ratio` is the median over the pairs, `memory` that of the high-water marks.
void step(benchmark::State& state) {
  const int64_t b = state.range(0);
  Trainer trainer(144, 270, 300);
  for (const int64_t warm_up : {int64_t{0}, b}) trainer.time_step(warm_up);
  std::vector<double> times, ratios;
  double plain_peak = 0;
  for (auto _ : state) {
    const double plain = trainer.time_step(0);
    plain_peak = peak();
    times.push_back(trainer.time_step(b));
    ratios.push_back(times.back() / plain);
    state.SetIterationTime(times.back() / 1e3);
  }
  state.counters["ms"] = median(times);
  state.counters["ms_per_example"] = median(times) / kBatch;
  state.counters["peak_MiB"] = peak() / (1 << 20);
  state.counters["ratio"] = median(ratios);
  state.counters["memory"] = peak() / plain_peak;
}
BENCHMARK(step)->Name("step/conformer")->Apply([](auto* bench) {
  bench->ArgName("b")->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(7);
  for (const int64_t b : {int64_t{0}, kBatch, int64_t{4}, int64_t{1}}) bench->Arg(b);
});

void serve(int64_t channels, int64_t shortest, int64_t longest) {
  Trainer trainer(channels, shortest, longest);
  for (int64_t b = 0; std::cin >> b;) {
    const double ms = trainer.time_step(b);
    fmt::print("{:.2f} {:.0f}\n", ms, peak());
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace minnow

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "serve") {
    const auto argument = [&](int i, int64_t otherwise) {
      return argc > i ? std::atoll(argv[i]) : otherwise;
    };
    minnow::serve(argument(2, 144), argument(3, 270), argument(4, 300));
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
