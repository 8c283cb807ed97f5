#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/memory.h"
#include "tests/data/files.h"
#include "tests/device.h"
#include "tests/expect_error.h"
#include "tests/golden.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/records.h"
#include "train/run_folder.h"
#include "train/task.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Settings = std::vector<std::string>;
using test::tiny;

/// A transformer in which all that is random is at work.
Settings tiny_vit(Settings more) {
  Settings all =
      tiny({"model.name=vit", "model.patch=4", "model.dim=12", "model.depth=2", "model.heads=2",
            "model.dropout=0.1", "model.drop_path=0.1", "data.augment=crop_flip", "data.pad=1"});
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

/// Trains in `dir`; the parameters at the end.
std::vector<NamedTensor> train(Settings settings, const fs::path& dir) {
  settings.push_back("run.dir=" + dir.string());
  const RunPlan plan = plan_run(settings);
  Trainer trainer(plan.config, plan.from);
  EXPECT_EQ(trainer.run(), Outcome::finished);
  return parameter_tensors(trainer.parameters());
}

void expect_same_bits(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].tensor.shape(), b[i].tensor.shape());
    const Tensor x = test::on_cpu(a[i].tensor), y = test::on_cpu(b[i].tensor);
    EXPECT_EQ(std::memcmp(x.raw(), y.raw(), static_cast<size_t>(x.nbytes())), 0) << a[i].name;
  }
}

/// The records of a run, without what depends on the clock.
std::vector<Json> records(const fs::path& dir) {
  std::ifstream file(metrics_path(dir));
  std::vector<Json> all;
  for (std::string line; std::getline(file, line);) {
    all.push_back(Json::parse(line));
    all.back().erase("examples_per_s");
  }
  return all;
}

struct ResumeCase {
  std::string name;
  Settings settings;
};

class Resume : public testing::TestWithParam<ResumeCase> {};

// 2 N steps at once against the same run whose second half was done again from the checkpoint at N:
// same weights to the bit, same records. N = 4 lies in the middle of an epoch of three batches.
TEST_P(Resume, IsExact) {
  const TemporaryFolder folder;
  Settings settings = tiny_vit({"train.steps=8", "run.checkpoint_every=4", "schedule.warmup=2"});
  settings.insert(settings.end(), GetParam().settings.begin(), GetParam().settings.end());
  const auto whole = train(settings, folder / "run");
  const std::vector<Json> all = records(folder / "run");
  const fs::path last = checkpoint_path(folder / "run", 8);
  const auto average = load_checkpoint(last).average;
  ASSERT_TRUE(fs::remove(last));
  settings.push_back("run.resume=true");
  expect_same_bits(train(settings, folder / "run"), whole);
  expect_same_bits(load_checkpoint(last).average, average);
  EXPECT_EQ(records(folder / "run"), all);
}

INSTANTIATE_TEST_SUITE_P(
    Trainer, Resume,
    testing::Values(
        ResumeCase{"AdamWPlain", {}},
        ResumeCase{"SgdNesterovMin",
                   {"optim.name=sgd", "optim.nesterov=true", "optim.lr=0.1", "clip.rule=min",
                    "clip.micro_batch=4"}},
        ResumeCase{
            "Quantile",
            {"clip.rule=quantile", "clip.threshold=0.5", "clip.micro_batch=5", "log.norms=true"}},
        ResumeCase{"QuantileByLayer",
                   {"clip.rule=quantile", "clip.scope=layer", "optim.name=adam", "data.workers=0"}},
        ResumeCase{
            "DeitMixed",
            {"data.augment=deit", "train.mixup=0.8", "train.cutmix=1", "clip.rule=min",
             "clip.micro_batch=4", "train.label_smoothing=0.1", "train.wave=12", "data.repeats=3"}},
        ResumeCase{"BatchNorm",
                   {"model.name=resnet20", "model.width=4", "clip.rule=min", "clip.micro_batch=8",
                    "train.ema=0.9"}},
        ResumeCase{"Averaged", {"train.ema=0.9", "optim.lr=0.1"}},
        ResumeCase{"TwoWorkersWaves", {"clip.rule=min", "data.workers=2", "train.wave=7"}}),
    [](const auto& info) { return info.param.name; });

// A step reads what the one before it has said of itself, its losses and two kinds of norms, and
// waits for nothing else: the batch, the seeds, the random masks, the update and the optimizer
// included.
TEST(Trainer, WaitsForTheStepBeforeOnly) {
  const TemporaryFolder folder;
  const auto waits = [&](int64_t steps) {
    const int64_t before = host_waits();
    train(tiny_vit({fmt::format("train.steps={}", steps), "train.eval_every=0", "clip.rule=min",
                    "run.checkpoint_every=100", "train.wave=7", "train.ema=0.9",
                    "log.grad_norm=true"}),
          folder / fmt::format("run{}", steps));
    return host_waits() - before;
  };
  const int64_t a_step = test::test_device().is_cuda() ? 3 : 0;
  EXPECT_EQ(waits(9) - waits(4), 5 * a_step);
}

TEST(Trainer, WorkersAndEvaluationDoNotChangeTheWeights) {
  const TemporaryFolder folder;
  const Settings base = tiny_vit({"train.steps=5"});
  const auto with = [&](Settings settings) {
    settings.insert(settings.begin(), base.begin(), base.end());
    return train(settings,
                 folder / fmt::format("run{}", std::distance(fs::directory_iterator(folder.path()),
                                                             fs::directory_iterator())));
  };
  const auto weights = with({"data.workers=0"});
  expect_same_bits(with({"data.workers=3"}), weights);
  expect_same_bits(with({"train.eval_every=0"}), weights);
  expect_same_bits(with({"run.checkpoint_every=1", "log.every=3"}), weights);
}

TEST(Trainer, OneMicroBatchIsPlainTraining) {
  const TemporaryFolder folder;
  const auto plain = train(tiny_vit({"train.steps=5"}), folder / "plain");
  const auto clipped = train(tiny_vit({"train.steps=5", "clip.rule=min", "clip.micro_batch=32"}),
                             folder / "clipped");
  expect_same_bits(clipped, plain);
}

// Dropout is keyed by example, so the waves of a batch meet the masks that the whole batch meets.
// What is left is the rounding of sums over 32 examples, up to 32 * 6e-8 = 2e-6 of the largest
// summand; an entry of the gradient, which lr = 1 adds to the weights, is allowed to have cancelled
// to a fifth of it.
TEST(Trainer, WavesMeetTheSameDropout) {
  const TemporaryFolder folder;
  const Settings base =
      tiny_vit({"train.steps=1", "optim.name=sgd", "optim.lr=1.0", "schedule.name=constant"});
  const auto with = [&](const std::string& setting, const char* name) {
    Settings settings = base;
    settings.push_back(setting);
    return train(settings, folder / name);
  };
  const auto whole = with("train.wave=0", "a"), waves = with("train.wave=8", "b");
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_LT(test::relative_error(waves[i].tensor, test::on_cpu(whole[i].tensor)), 1e-5)
        << whole[i].name;
  }
}

// A learning rate of 0 and one batch that is all of the data: only the dropout masks differ from
// step to step.
TEST(Trainer, DropoutChangesFromStepToStep) {
  const TemporaryFolder folder;
  const auto losses = [&](const char* dropout, const char* name) {
    train(tiny({"model.name=vit", "model.patch=4", "model.dim=12", "model.depth=2", "model.heads=2",
                fmt::format("model.dropout={}", dropout), "data.shuffle=false",
                "data.train_size=32", "optim.lr=0", "train.steps=2", "train.eval_every=0"}),
          folder / name);
    const std::vector<Json> all = records(folder / name);
    return std::pair{all[0]["loss"].get<double>(), all[1]["loss"].get<double>()};
  };
  const auto plain = losses("0.0", "plain"), dropped = losses("0.1", "dropped");
  EXPECT_EQ(plain.first, plain.second);
  EXPECT_NE(dropped.first, dropped.second);
}

TEST(Trainer, RecordsHaveTheAgreedFields) {
  const TemporaryFolder folder;
  const int64_t batch = 32, micro_batch = 5, groups = 7;  // the last one has two examples
  train(tiny({"train.epochs=2", "data.train_size=100", "data.draggers=0.1", "clip.rule=min",
              "clip.micro_batch=5", "log.norms=true"}),
        folder / "run");
  std::ifstream file(metrics_path(folder / "run"));
  int64_t steps = 0, evals = 0, marked = 0;
  for (std::string line; std::getline(file, line);) {
    const Json record = Json::parse(line);
    if (record["kind"] == "eval") {
      EXPECT_EQ(record.size(), 8u);
      EXPECT_EQ(record["classes"].size(), 10u);
      ASSERT_EQ(record["confusion"].size(), 10u);
      int64_t pictures = 0;
      for (const Json& row : record["confusion"]) {
        for (const Json& count : row) pictures += count.get<int64_t>();
      }
      EXPECT_EQ(pictures, 40);
      EXPECT_EQ(record["epoch"], ++evals);
      EXPECT_EQ(record["step"], steps);
      for (const char* key : {"loss", "top1", "top5"}) EXPECT_TRUE(record[key].is_number()) << key;
      EXPECT_GE(record["top5"], record["top1"]);
      continue;
    }
    EXPECT_EQ(record["step"], ++steps);
    EXPECT_EQ(record["epoch"], evals + 1);
    for (const char* key :
         {"loss", "lr", "rho", "argmin", "norm_mean", "norm_max", "ineligible", "examples_per_s"}) {
      EXPECT_TRUE(record[key].is_number()) << key;
    }
    ASSERT_EQ(record["norms"].size(), static_cast<size_t>(groups));
    ASSERT_EQ(record["coefficients"].size(), static_cast<size_t>(groups));
    ASSERT_EQ(record["marked"].size(), static_cast<size_t>(groups));
    // The rule itself: every coefficient is rho / norm.
    for (int64_t j = 0; j < groups; ++j) {
      EXPECT_DOUBLE_EQ(record["coefficients"][j].get<double>() * record["norms"][j].get<double>(),
                       record["rho"]);
      marked += record["marked"][j].get<int64_t>();
    }
    EXPECT_EQ(record["coefficients"][record["argmin"].get<size_t>()], 1.0);
  }
  EXPECT_EQ(steps, 2 * (100 / batch));  // the last four examples of an epoch fill no batch
  EXPECT_EQ(evals, 2);
  EXPECT_GT(marked, 0);
  EXPECT_LT(marked, steps * groups);
  EXPECT_EQ((batch + micro_batch - 1) / micro_batch, groups);
}

// A plain run knows the norm of its only group. Where micro-batches are rescaled, SGD with a rate
// of 1 moves the weights by the update: each by what it is, but for the rounding of the new weight.
TEST(Trainer, RecordsTheNormOfTheUpdate) {
  const TemporaryFolder folder;
  const auto with = [&](Settings more, const char* name) {
    more.insert(more.begin(), {"optim.name=sgd", "optim.momentum=0", "optim.weight_decay=0",
                               "train.steps=1", "schedule.name=constant", "log.grad_norm=true"});
    return train(tiny(std::move(more)), folder / name);
  };
  with({}, "plain");
  const Json plain = records(folder / "plain").front();
  EXPECT_EQ(plain["grad_norm"], plain["norm_mean"]);
  const auto end = with({"clip.rule=min", "clip.micro_batch=4", "optim.lr=1.0"}, "clipped");
  const auto start = with({"clip.rule=min", "clip.micro_batch=4", "optim.lr=0.0"}, "start");
  double square = 0, rounding = 0;
  for (size_t l = 0; l < end.size(); ++l) {
    const auto a = test::on_cpu(start[l].tensor).to_vector<float>(),
               b = test::on_cpu(end[l].tensor).to_vector<float>();
    for (size_t i = 0; i < a.size(); ++i) {
      square += std::pow(double{a[i]} - double{b[i]}, 2);
      rounding += std::pow(0x1p-24 * std::abs(b[i]), 2);
    }
  }
  const Json record = records(folder / "clipped").front();
  EXPECT_NEAR(record["grad_norm"], std::sqrt(square), 1.1 * std::sqrt(rounding));
  EXPECT_LT(record["grad_norm"], record["norm_mean"]);  // no rescaled gradient is longer than rho
}

TEST(Trainer, MarksNoneOrAll) {
  const TemporaryFolder folder;
  for (const int share : {0, 1}) {
    const fs::path dir = folder / std::to_string(share);
    train(tiny({"train.steps=2", fmt::format("data.draggers={}", share), "log.norms=true",
                "clip.micro_batch=8"}),
          dir);
    const Json first = records(dir).front();
    EXPECT_EQ(first["marked"], Json(std::vector<int>(4, share)));
    EXPECT_EQ(first["coefficients"], Json(std::vector<double>(4, 1)));  // clip.rule is none
  }
}

TEST(Trainer, LearnsAndEvaluates) {
  const TemporaryFolder folder;
  train(tiny({"train.epochs=30", "data.train_size=320", "optim.lr=0.01"}), folder / "run");
  double first = 0, last = 0;
  for (const Json& record : records(folder / "run")) {
    if (record["kind"] != "step") continue;
    if (record["step"] == 1) first = record["loss"];
    last = record["loss"];
  }
  EXPECT_NEAR(first, std::log(10.0), 0.5);  // ten classes, all alike at first
  EXPECT_LT(last, 0.5 * first);
}

TEST(Trainer, StartsFromWeights) {
  const TemporaryFolder folder;
  const fs::path file = folder / "a.safetensors";
  const auto saved = train(tiny({"train.steps=2", "run.save=" + file.string()}), folder / "a");
  const auto same =
      train(tiny({"train.steps=1", "optim.lr=0.0", "init.from=" + file.string()}), folder / "b");
  expect_same_bits(same, saved);  // a learning rate of 0 leaves weights as they are
}

// On a GPU a step's record is written while the next one is computed; pictures that cannot be read
// for the next one must not take it along.
TEST(Trainer, RecordsAllStepsBeforeAFailure) {
  const TemporaryFolder folder;
  for (const char* name : {"train/a/0.png", "train/b/0.png", "test/a/0.png"}) {
    data_test::write_file(folder / name, data_test::png(8, 8, 3, data_test::plain(8, 40, 1, 2)));
  }
  const fs::path dir = folder / "run";
  const RunPlan plan =
      plan_run(tiny({"data.name=imagefolder", "data.path=" + folder.path().string(), "data.cache=0",
                     "data.workers=0", "train.batch=2", "train.steps=20000", "train.eval_every=0",
                     "run.checkpoint_every=20000", "run.dir=" + dir.string()}));
  Trainer trainer(plan.config);
  std::jthread remover([&](const std::stop_token& stop) {
    std::error_code none_yet;
    do {
      std::this_thread::yield();
    } while ((fs::file_size(metrics_path(dir), none_yet) == 0 || none_yet) &&
             !stop.stop_requested());
    fs::remove_all(folder / "train");
  });
  expect_error([&] { trainer.run(); }, {"no picture can be read", "0.png"});
  const std::vector<Json> all = records(dir);
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.back()["step"], trainer.step());
  EXPECT_EQ(std::ssize(all), trainer.step());
}

TEST(Trainer, RefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  const auto fails = [&](Settings more, std::initializer_list<std::string> parts) {
    expect_error([&] { train(tiny(std::move(more)), folder / "run"); }, parts);
    EXPECT_FALSE(fs::exists(folder / "run"));
  };
  fails({"train.batch=97"}, {"train.batch", "97", "96"});
  fails({"data.mean=[0.5, 0.5]"}, {"mean"});
  fails({"run.save=" + (folder / "none/x.safetensors").string()}, {"run.save", "none"});
  fails({"model.name=vit", "model.patch=3", "model.dim=12", "model.heads=2"},
        {"model.patch", "3", "8"});
}

TEST(Records, LabelRank) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float logits[] = {1, 3, 2, 3}, broken[] = {1, nan, 2};
  EXPECT_EQ(label_rank(logits, 4, 0), 3);
  EXPECT_EQ(label_rank(logits, 4, 1), 0);
  EXPECT_EQ(label_rank(logits, 4, 2), 2);
  EXPECT_EQ(label_rank(logits, 4, 3), 1);  // among equals the first comes first
  EXPECT_EQ(label_rank(broken, 3, 1), 2);
  EXPECT_EQ(label_rank(broken, 3, 2), 1);
}

TEST(Records, FiniteLossLeavesBrokenMicroBatchesOut) {
  const double inf = std::numeric_limits<double>::infinity();
  const Tensor losses = Tensor::from(std::vector<float>{1, 2, 100, 6}, {4});
  const Grouping groups = Grouping::sizes(std::vector<int64_t>{2, 1, 1});
  EXPECT_DOUBLE_EQ(finite_loss(losses, {1, inf, 2}, groups), 3);
  EXPECT_TRUE(std::isnan(finite_loss(losses, {inf, inf, inf}, groups)));
}

}  // namespace
}  // namespace minnow
