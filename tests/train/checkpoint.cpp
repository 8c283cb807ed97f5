#include "train/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/file_size_limit.h"
#include "tests/temporary_folder.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;

Checkpoint example() {
  constexpr float smallest = std::numeric_limits<float>::denorm_min();
  return {.parameters = {{"head.weight",
                          Tensor::from(std::vector<float>{1.5f, -0.0f, smallest}, {1, 3})},
                         {"head.bias", Tensor::from(std::vector<double>{0.1}, {1})},
                         {"cls_token", Tensor::full({}, 0.75, DType::bfloat16)}},
          .optimizer = {{"step", Tensor::from(std::vector<int64_t>{7}, {})},
                        {"head.weight.exp_avg", Tensor::full({1, 3}, 0.3)}},
          .average = {{"step", Tensor::from(std::vector<int64_t>{6}, {})},
                      {"head.weight", Tensor::full({1, 3}, 0.2)}},
          .clip_thresholds = {0.1, 1e-300, std::nan("7"), HUGE_VAL},
          .step = int64_t{1} << 40,
          .epoch = 3,
          .batch_in_epoch = 12,
          .seed = UINT64_MAX,
          .config = "seed = 1\nname = \"é\"\n",
          .extra = {{"best", "0.5"}, {"", "empty key"}}};
}

std::vector<NamedTensor> sorted(std::vector<NamedTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; });
  return tensors;
}

bool same_bits(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  const auto x = sorted(a), y = sorted(b);
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const auto& s, const auto& t) {
    return s.name == t.name && s.tensor.dtype() == t.tensor.dtype() &&
           s.tensor.shape() == t.tensor.shape() &&
           std::memcmp(s.tensor.raw(), t.tensor.raw(), static_cast<size_t>(s.tensor.nbytes())) == 0;
  });
}

bool same(const Checkpoint& a, const Checkpoint& b) {
  const auto &x = a.clip_thresholds, &y = b.clip_thresholds;
  const auto same_double = [](double s, double t) {
    return std::bit_cast<uint64_t>(s) == std::bit_cast<uint64_t>(t);
  };
  return same_bits(a.parameters, b.parameters) && same_bits(a.optimizer, b.optimizer) &&
         same_bits(a.average, b.average) &&
         std::equal(x.begin(), x.end(), y.begin(), y.end(), same_double) && a.step == b.step &&
         a.epoch == b.epoch && a.batch_in_epoch == b.batch_in_epoch && a.seed == b.seed &&
         a.config == b.config && a.extra == b.extra;
}

/// Without a flush to disk, which some file systems do when a file is overwritten: some tests write
/// thousands of files.
void write_plainly(const fs::path& path, std::string_view content) {
  fs::remove(path);
  std::ofstream(path, std::ios::binary) << content;
}

int64_t entries(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST(Checkpoint, ComesBackToTheBit) {
  const TemporaryFolder folder;
  const fs::path path = checkpoint_path(folder.path(), 12);
  EXPECT_EQ(path, folder / "checkpoints" / "step-00000012.safetensors");
  save_checkpoint(path, example());
  EXPECT_TRUE(same(load_checkpoint(path), example()));
  EXPECT_EQ(entries(folder / "checkpoints"), 1);

  save_checkpoint(path, {});
  EXPECT_TRUE(same(load_checkpoint(path), {}));
}

TEST(Checkpoint, OtherProgramsFindTheParametersByName) {
  const TemporaryFolder folder;
  save_checkpoint(folder / "c", example());
  EXPECT_NE(load_safetensors(folder / "c").find("head.weight"), nullptr);
  EXPECT_TRUE(same_bits(load_weights(folder / "c", true).tensors, example().parameters));
  auto averaged = example().parameters;
  averaged[0] = example().average[1];
  EXPECT_TRUE(same_bits(load_weights(folder / "c").tensors, averaged));

  save_safetensors(folder / "w", example().parameters);
  EXPECT_TRUE(same_bits(load_weights(folder / "w").tensors, example().parameters));
  expect_error([&] { load_checkpoint(folder / "w"); }, {(folder / "w").string(), "no checkpoint"});
  expect_error([&] { load_weights(folder / "w", true); },
               {(folder / "w").string(), "one set of weights", "train.ema"});
}

TEST(Checkpoint, ATruncatedFileIsRefused) {
  const TemporaryFolder folder;
  save_checkpoint(folder / "whole", example());
  const std::string whole = read_text_file(folder / "whole");
  for (size_t length = 0; length < whole.size(); ++length) {
    write_plainly(folder / "cut", whole.substr(0, length));
    EXPECT_THROW(load_checkpoint(folder / "cut"), Error) << length << " of " << whole.size();
  }
}

// A flipped bit makes a file that is refused, or, in the blanks of its header, the same checkpoint.
TEST(Checkpoint, NoFlippedBitGoesUnseen) {
  const TemporaryFolder folder;
  save_checkpoint(folder / "whole", example());
  const std::string whole = read_text_file(folder / "whole");
  int64_t refused = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string broken = whole;
    broken[i] = static_cast<char>(broken[i] ^ (1 << (i % 8)));
    write_plainly(folder / "broken", broken);
    try {
      EXPECT_TRUE(same(load_checkpoint(folder / "broken"), example())) << "byte " << i;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GE(refused, static_cast<int64_t>(whole.size()) - 16);
}

TEST(Checkpoint, ANewerVersionIsNamed) {
  const TemporaryFolder folder;
  save_checkpoint(folder / "c", {});
  SafetensorsFile file = load_safetensors(folder / "c");
  const std::string state = file.metadata.at("minnow.checkpoint");
  const size_t place = state.find("\"version\":1");
  ASSERT_NE(place, std::string::npos);
  const auto refused = [&](const std::string& version, std::initializer_list<std::string> parts) {
    file.metadata["minnow.checkpoint"] = std::string(state).replace(place + 10, 1, version);
    save_safetensors(folder / "c", file.tensors, file.metadata);
    expect_error([&] { load_checkpoint(folder / "c"); }, parts);
  };
  refused("2", {(folder / "c").string(), "version 2", "reads 1"});
  const std::string open(200000, '['), closed(200000, ']');  // not to be printed by recursion
  refused(open + closed, {(folder / "c").string(), "must be number"});
}

TEST(Checkpoint, AFullDiskLeavesTheOldFileAndNothingElse) {
  const TemporaryFolder folder;
  save_checkpoint(folder / "c", {.epoch = 1});
  Checkpoint large;
  large.parameters = {{"w", Tensor::zeros({100'000})}};
  {
    const test::FileSizeLimit limit(50'000);
    expect_error<RunError>([&] { save_checkpoint(folder / "c", large); },
                           {(folder / "c").string(), "cannot write"});
    expect_error<RunError>([&] { save_checkpoint(folder / "new", large); },
                           {(folder / "new").string()});
  }
  EXPECT_EQ(load_checkpoint(folder / "c").epoch, 1);
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(Checkpoint, AFolderThatCannotBeMadeIsNamed) {
  const TemporaryFolder folder;
  write_plainly(folder / "file", "x");
  expect_error<RunError>([&] { save_checkpoint(folder / "file" / "c", {}); },
                         {(folder / "file").string(), "cannot make the folder"});
}

/// Gathers warnings.
struct Warnings {
  std::vector<std::string> messages;
  Warning sink() {
    return [this](const std::string& message) { messages.push_back(message); };
  }
};

TEST(CheckpointFolder, TheHighestStepThatLoadsIsTheLatest) {
  const TemporaryFolder folder;
  Warnings warnings;
  EXPECT_EQ(latest_checkpoint(folder.path(), warnings.sink()), std::nullopt);
  fs::create_directory(folder / "checkpoints");
  for (const char* other : {"step-1.safetensors", "step-99999999999999999999.safetensors",
                            "step-.safetensors", "step-0000200x.safetensors", "notes.txt",
                            "step--9999999.safetensors", "step-00000001.safetensors.tmp"}) {
    write_plainly(folder / "checkpoints" / other, "");
  }
  EXPECT_EQ(latest_checkpoint(folder.path(), warnings.sink()), std::nullopt);
  for (const int64_t step : {99, 1000, 100'000'000, 99'999'999}) {
    save_checkpoint(checkpoint_path(folder.path(), step), {.step = step});
  }
  EXPECT_EQ(latest_checkpoint(folder.path(), warnings.sink()),
            checkpoint_path(folder.path(), 100'000'000));
  EXPECT_TRUE(warnings.messages.empty());
}

TEST(CheckpointFolder, ABrokenNewestOneIsReportedAndPassedOver) {
  const TemporaryFolder folder;
  const auto path = [&](int64_t step) { return checkpoint_path(folder.path(), step); };
  for (const int64_t step : {1, 2, 3}) save_checkpoint(path(step), {.step = step});
  fs::resize_file(path(3), fs::file_size(path(3)) - 1);
  Warnings warnings;
  EXPECT_EQ(latest_checkpoint(folder.path(), warnings.sink()), path(2));
  ASSERT_EQ(warnings.messages.size(), 1u);
  EXPECT_NE(warnings.messages[0].find(path(3).string()), std::string::npos) << warnings.messages[0];

  write_plainly(path(1), "");
  write_plainly(path(2), "");
  warnings.messages.clear();
  expect_error([&] { latest_checkpoint(folder.path(), warnings.sink()); },
               {(folder / "checkpoints").string(), "none of 3 checkpoints", path(3).string()});
  EXPECT_TRUE(warnings.messages.empty());
}

TEST(CheckpointFolder, OneThatWasPassedOverTakesNoGoodOnesPlace) {
  const TemporaryFolder folder;
  const auto path = [&](int64_t step) { return checkpoint_path(folder.path(), step); };
  for (const int64_t step : {2, 4, 6}) save_checkpoint(path(step), {.step = step});
  for (const int64_t step : {4, 6}) write_plainly(path(step), "damaged");
  set_aside_newer(folder.path(), 2);
  EXPECT_EQ(read_text_file(path(6).string() + ".unread"), "damaged");
  save_checkpoint(path(3), {.step = 3});
  prune_checkpoints(folder.path());
  EXPECT_EQ(latest_checkpoint(folder.path()), path(3));
  EXPECT_TRUE(fs::exists(path(2)));
}

TEST(CheckpointFolder, PruningKeepsTheHighestSteps) {
  const TemporaryFolder folder;
  prune_checkpoints(folder.path());
  for (const int64_t step : {5, 1, 30, 200})
    save_checkpoint(checkpoint_path(folder.path(), step), {});
  write_plainly(folder / "checkpoints" / "notes.txt", "");
  prune_checkpoints(folder.path());
  EXPECT_TRUE(fs::exists(checkpoint_path(folder.path(), 30)));
  EXPECT_TRUE(fs::exists(checkpoint_path(folder.path(), 200)));
  EXPECT_EQ(entries(folder / "checkpoints"), 3);
  expect_error([&] { prune_checkpoints(folder.path(), 0); }, {"at least one", "0"});
}

Parameter parameter(const std::string& name, Tensor value) {
  return {name, std::move(value)};
}

TEST(Weights, AreConvertedAndFrozenOnesLoadedToo) {
  Parameter a = parameter("a", Tensor::zeros({2})), b = parameter("b", Tensor::zeros({}));
  Parameter c = parameter("c", Tensor::zeros({1, 1}));
  b.trainable = false;
  const SafetensorsFile file = {{{"c", Tensor::full({1, 1}, 3)},
                                 {"b", Tensor::full({}, 0.75, DType::bfloat16)},
                                 {"a", Tensor::from(std::vector<double>{0.1, -2}, {2})}},
                                {}};
  load_parameters({&a, &b, &c}, file, "weights");
  EXPECT_EQ(a.value.to_vector<float>(), (std::vector<float>{0.1f, -2}));
  EXPECT_EQ(b.value.item(), 0.75);
  EXPECT_EQ(c.value.item(), 3);
  const auto tensors = parameter_tensors({&a, &b, &c});
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors[1].name, "b");
  EXPECT_EQ(tensors[1].tensor.raw(), b.value.raw());
}

TEST(Weights, OneErrorListsAllThatDoesNotFit) {
  Parameter good = parameter("good", Tensor::full({2}, 5));
  Parameter head = parameter("head.weight", Tensor::zeros({10, 4}));
  Parameter type = parameter("type", Tensor::zeros({1}));
  std::vector<Parameter> absent;
  for (int i = 0; i < 7; ++i)
    absent.push_back(parameter(fmt::format("absent{}", i), Tensor::zeros({i})));
  Parameters parameters = {&good, &head, &type};
  for (Parameter& p : absent) parameters.push_back(&p);
  const SafetensorsFile file = {{{"good", Tensor::full({2}, 1)},
                                 {"head.weight", Tensor::zeros({1000, 4})},
                                 {"type", Tensor::zeros({1}, DType::int64)},
                                 {"strange", Tensor::zeros({3, 1})}},
                                {}};
  expect_error(
      [&] { load_parameters(parameters, file, "init.from: vit.safetensors"); },
      {"init.from: vit.safetensors: the tensors do not fit", "7 missing: absent0 [0], absent1 [1]",
       "absent4 [4], and 2 more", "1 unexpected: strange [3, 1]",
       "1 of another shape: head.weight [1000, 4] instead of [10, 4]",
       "1 of another type: type int64 instead of float32"});
  EXPECT_EQ(good.value.to_vector<float>(), (std::vector<float>{5, 5}));
}

TEST(Weights, PyTorchsCountOfBatchesIsPassedOver) {
  Parameter mean = parameter("bn1.running_mean", Tensor::zeros({2}));
  load_parameters({&mean},
                  {{{"bn1.running_mean", Tensor::full({2}, 3)},
                    {"bn1.num_batches_tracked", Tensor::zeros({}, DType::int64)}},
                   {}},
                  "resnet.safetensors");
  EXPECT_EQ(mean.value.to_vector<float>(), (std::vector<float>{3, 3}));
}

}  // namespace
}  // namespace minnow
