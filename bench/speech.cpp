#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdlib>
#include <map>

#include "data/loader.h"
#include "data/open.h"

/// Utterances a second that a loader of one worker delivers from AN4 as FLAC files in
/// $MINNOW_DATA/an4-flac, decoded and made into features for every batch of 16 (or once, where
/// `cached`), and the share of the batches' frames that is padding.
namespace minnow {
namespace {

/// augment: speeds and SpecAugment.
std::shared_ptr<const Dataset> utterances(bool augment, bool cached) {
  static std::map<std::pair<bool, bool>, std::shared_ptr<const Dataset>> opened;
  std::shared_ptr<const Dataset>& dataset = opened[{augment, cached}];
  if (dataset == nullptr) {
    DatasetConfig config{.name = "an4",
                         .path = std::getenv("MINNOW_DATA") + std::string("/an4-flac")};
    config.cache_bytes = cached ? int64_t{1} << 30 : 0;
    config.speech.augment = augment;
    dataset = open_dataset(config, Split::train);
  }
  return dataset;
}

/// One epoch an iteration.
void deliver(benchmark::State& state) {
  Loader loader(utterances(state.range(0) == 1, state.range(1) == 1),
                {.batch = 16,
                 .shuffle = true,
                 .workers = 1,
                 .drop_last = true,
                 .by_length = state.range(2) == 1});
  int64_t epoch = 0, delivered = 0, frames = 0, live = 0;
  for (auto _ : state) {
    loader.start_epoch(epoch++);
    while (const auto batch = loader.next()) {
      delivered += batch->size();
      frames += batch->size() * batch->inputs.dim(1);
      for (int64_t i = 0; i < batch->size(); ++i) live += batch->lengths.data<int64_t>()[i];
    }
  }
  state.SetItemsProcessed(delivered);
  state.counters["padding"] = 1 - static_cast<double>(live) / static_cast<double>(frames);
  state.counters["frames"] = static_cast<double>(live) / static_cast<double>(delivered);
}

BENCHMARK(deliver)
    ->ArgNames({"augment", "cached", "by_length"})
    ->ArgsProduct({{0, 1}, {0, 1}, {0, 1}})
    ->Iterations(3)
    ->UseRealTime()
    ->MeasureProcessCPUTime()  // what counts on a machine that is busy otherwise
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace minnow

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (std::getenv("MINNOW_DATA") == nullptr) {
    fmt::print("MINNOW_DATA is not set: no utterances to load\n");
    return 0;
  }
  benchmark::RunSpecifiedBenchmarks();
}
