#include "data/loader.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdlib>
#include <map>

#include "data/open.h"
#include "data/wrappers.h"

/// Pictures a second that a loader delivers, augmented and normalised, from CIFAR-10 as JPEG files
/// in $MINNOW_DATA/cifar10-jpg. bench/loader.py does the same with Pillow and torchvision.
namespace minnow {
namespace {

constexpr int64_t kPictures = 5000;

/// cached: decoded before; otherwise read and decoded for every batch.
std::shared_ptr<const Dataset> pictures(bool cached) {
  static std::map<bool, std::shared_ptr<const Dataset>> opened;
  if (!opened.contains(cached)) {
    opened[cached] = open_dataset({.name = "imagefolder",
                                   .path = std::getenv("MINNOW_DATA") + std::string("/cifar10-jpg"),
                                   .image_size = 32,
                                   .limit = kPictures,
                                   .cache_bytes = cached ? int64_t{1} << 30 : 0},
                                  Split::train);
  }
  return opened[cached];
}

/// One epoch an iteration.
void deliver(benchmark::State& state) {
  const auto augment = static_cast<Augment>(state.range(0));
  const auto dataset = std::make_shared<Transformed>(pictures(state.range(2) == 1),
                                                     TransformOptions{.augment = {augment}});
  Loader loader(dataset, {.batch = 64, .shuffle = true, .workers = state.range(1)});
  int64_t epoch = 0;
  for (auto _ : state) {
    loader.start_epoch(epoch++);
    while (const auto batch = loader.next()) benchmark::DoNotOptimize(batch->inputs.raw());
  }
  state.SetItemsProcessed(state.iterations() * kPictures);
}

BENCHMARK(deliver)
    ->ArgNames({"augment", "workers", "cached"})  // augment: none, crop_flip, deit
    ->ArgsProduct({{0, 1, 2}, {1, 2}, {0, 1}})
    ->UseRealTime()
    ->MeasureProcessCPUTime()  // of all workers: what counts on a machine that is busy otherwise
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace minnow

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (std::getenv("MINNOW_DATA") == nullptr) {
    fmt::print("MINNOW_DATA is not set: no pictures to load\n");
    return 0;
  }
  benchmark::RunSpecifiedBenchmarks();
}
