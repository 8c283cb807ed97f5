/// Training steps of a Conformer with a CTC head, forward + backward + AdamW, on request: for every
/// number b read from the standard input one step, in micro-batches of b examples under the minimum
/// norm rule (0: plain), and one line "milliseconds bytes" with the high-water mark of its tensors.
///
///   bench_conformer [channels of the subsampling [shortest and longest utterance in frames]]
///
/// bench/conformer_step.py asks for the steps and takes one of torchaudio's Conformer between them.

#include "nn/conformer.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

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

 private:
  nn::ConformerConfig config_;
  nn::Conformer model_;
  Parameters parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  ClipState state_;
  Tensor frames_, lengths_, ends_, targets_, letters_;
};

int run(int64_t channels, int64_t shortest, int64_t longest) {
  Trainer trainer(channels, shortest, longest);
  const Device device = test::test_device();
  for (int64_t b = 0; std::cin >> b;) {
    reset_peak_memory(device);
    synchronize(device);
    const auto start = std::chrono::steady_clock::now();
    trainer.step(b);
    synchronize(device);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    fmt::print("{:.2f} {}\n", took.count(), memory_stats(device).peak);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace minnow

int main(int argc, char** argv) {
  const auto argument = [&](int i, int64_t otherwise) {
    return argc > i ? std::atoll(argv[i]) : otherwise;
  };
  return minnow::run(argument(1, 144), argument(2, 270), argument(3, 300));
}
