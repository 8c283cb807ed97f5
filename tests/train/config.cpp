#include "train/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/paths.h"
#include "tests/temporary_folder.h"
#include "train/config_keys.h"

namespace minnow {
namespace {

Config with(const std::vector<std::string>& overrides) {
  Config config;
  apply_overrides(config, overrides);
  return config;
}

/// A value within the limits that is not the default.
struct Changer {
  const Key& key;
  void operator()(bool* value) const { *value = !*value; }
  void operator()(int64_t* value) const { *value += 3; }
  void operator()(uint64_t* value) const { *value = uint64_t{1} << 62; }
  void operator()(double* value) const {
    const double least = key.limits.low > 0 ? key.limits.low : 0;
    *value = *value == least + 0.1 + 0.2 ? 0.7 : least + 0.1 + 0.2;
  }
  void operator()(std::vector<int64_t>* value) const { *value = {1, 22, 333}; }
  void operator()(std::vector<double>* value) const { *value = {1e-300, 1.0 / 3, 0.5}; }
  void operator()(std::vector<std::string>* value) const { *value = {"blocks.0.", "a \"b\""}; }
  void operator()(std::string* value) const {
    *value = key.limits.names.empty()            ? "a 'b' \"c\" \\ \n é = ["
             : key.limits.names.back() == *value ? key.limits.names[0]
                                                 : key.limits.names.back();
  }
};

TEST(Config, EveryKeyComesBackFromToml) {
  Config config;
  for (const Key& key : config_keys()) std::visit(Changer{key}, key.field(config));
  config.train.epochs = 0;
  config.run.resume = "";
  Config read;
  apply_toml(read, to_toml(config), "config.toml");
  EXPECT_EQ(differing_keys(config, read), std::vector<std::string>{});
  EXPECT_EQ(differing_keys(config, Config()).size(),
            config_keys().size() - 1);  // all but run.resume
}

TEST(Config, DefaultsComeBackFromToml) {
  Config read;
  apply_toml(read, to_toml(Config()), "config.toml");
  EXPECT_EQ(differing_keys(Config(), read), std::vector<std::string>{});
  EXPECT_EQ(value_text(Config(), "model.mlp_ratio"),
            "4.0");  // a number, also for other readers of the file
  EXPECT_EQ(value_text(Config(), "optim.lr"), "0.001");
}

TEST(Config, KeysAreDistinctDescribedAndWithinTheirLimits) {
  std::set<std::string> names;
  const std::string help = describe_keys();
  Config config;
  for (const Key& key : config_keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    EXPECT_FALSE(key.help.empty()) << key.name;
    EXPECT_NE(help.find("  " + key.name + " = "), std::string::npos) << key.name;
    EXPECT_NO_THROW(check_limits(key, key.field(config), "")) << key.name;
  }
}

TEST(Config, OverridesAreTomlValuesOrBareWords) {
  const Config config =
      with({"optim.lr=3e-4", "optim.eps=1e-6", "seed=7", "data.mean=[0.5, 1, 0.25]",
            "model.hidden=[8,4]", "clip.rule=min", "data.path=\"a b\"", "run.dir=2024-01-01",
            "run.save=x=y.safetensors", "data.shuffle=false", "optim.weight_decay=0"});
  EXPECT_EQ(config.optim.lr, 3e-4);
  EXPECT_EQ(config.optim.eps, 1e-6);
  EXPECT_EQ(config.seed, 7u);
  EXPECT_EQ(config.data.mean, (std::vector<double>{0.5, 1, 0.25}));
  EXPECT_EQ(config.model.hidden, (std::vector<int64_t>{8, 4}));
  EXPECT_EQ(config.clip.rule, "min");
  EXPECT_EQ(config.data.set.path, "a b");
  EXPECT_EQ(config.run.dir, "2024-01-01");
  EXPECT_EQ(config.run.save, "x=y.safetensors");
  EXPECT_FALSE(config.data.shuffle);
  EXPECT_EQ(config.optim.weight_decay, 0);
  EXPECT_EQ(with({"seed=1", "seed=2"}).seed, 2u);
}

TEST(Config, ResumeIsABooleanOrAPath) {
  EXPECT_EQ(with({"run.resume=true"}).run.resume, "true");
  EXPECT_EQ(with({"run.resume=false"}).run.resume, "");
  EXPECT_EQ(with({"run.resume=runs/x"}).run.resume, "runs/x");
  expect_error([] { with({"log.norms=maybe"}); }, {"log.norms", "expected true or false", "maybe"});
}

TEST(Config, UnknownKeysNameTheNearest) {
  expect_error([] { with({"optim.lrr=1"}); }, {"no key optim.lrr", "did you mean optim.lr?"});
  expect_error([] { with({"epoch=1"}); }, {"no key epoch", "did you mean train.epochs?"});
  expect_error([] { with({"foo=1"}); }, {"no key foo", "lists them all"});
  expect_error([] { with({"lr=1"}); }, {"no key lr", "optim.lr"});
  expect_error([] { with({"clip.microbatch=1"}); }, {"clip.micro_batch"});
  expect_error([] { with({"train.lr=1"}); }, {"optim.lr"});
  expect_error([] { with({"completely.different=1"}); },
               {"completely.different", "minnow train --help"});
  expect_error([] { with({"=1"}); }, {"key=value"});
}

TEST(Config, WrongTypesSayWhatWasExpectedAndFound) {
  expect_error([] { with({"optim.lr=fast"}); }, {"optim.lr", "expected a number", "fast"});
  expect_error([] { with({"train.batch=1.5"}); }, {"train.batch", "expected an integer", "1.5"});
  expect_error([] { with({"seed=-1"}); }, {"seed", "not negative", "-1"});
  expect_error([] { with({"data.mean=0.5"}); }, {"data.mean", "expected a list of numbers", "0.5"});
  expect_error([] { with({"data.mean=[0.5"}); }, {"[0.5", "no valid TOML"});
  expect_error([] { with({"model.hidden=[1, 2.5]"}); },
               {"model.hidden", "expected a list of integers"});
}

TEST(Config, ValuesOutsideTheirLimits) {
  expect_error([] { with({"optim.lr=-1"}); }, {"optim.lr", "at least 0", "-1"});
  expect_error([] { with({"optim.lr=nan"}); }, {"optim.lr", "finite"});
  expect_error([] { with({"model.dropout=1.0"}); },
               {"model.dropout", "at least 0 and below 1", "got 1"});
  expect_error([] { with({"data.std=[0.5, 0]"}); }, {"data.std", "above 0"});
  expect_error([] { with({"data.randaug_magnitude=31"}); },
               {"data.randaug_magnitude", "at most 30", "31"});
  expect_error([] { with({"data.cache=9223372036854775807"}); }, {"data.cache", "at most"});
  expect_error([] { with({"clip.rule=mim"}); }, {"clip.rule", "none, min, fixed", "mim"});
}

TEST(Config, FilesAreNamedWithTheirLine) {
  const auto apply = [](const std::string& text) {
    Config config;
    apply_toml(config, text, "a.toml");
  };
  expect_error([&] { apply("seed = 1\n[train]\nbach = 4\n"); },
               {"a.toml:3", "train.bach", "train.batch"});
  expect_error([&] { apply("[train]\nbatch = \"4\"\n"); },
               {"a.toml:2", "train.batch", "an integer", "the string"});
  expect_error([&] { apply("[tran]\nbatch = 4\n"); }, {"a.toml:2", "tran.batch", "train.batch"});
  expect_error([&] { apply("seed = 1\n[train\n"); }, {"a.toml:2", "no valid TOML"});
  expect_error([&] { apply("train = 3\n"); }, {"a.toml:1", "train"});
  expect_error([&] { apply("[train.batch]\nx = 3\n"); }, {"a.toml", "train.batch"});
  expect_error([&] { apply("[optim]\nlr = -1.0\n"); }, {"a.toml:2", "optim.lr"});
}

/// The TOML library would recurse a level for every two bytes of such a name.
TEST(Config, DeepNestingIsRefused) {
  std::string deep = "a";
  for (int i = 0; i < 15000; ++i) deep += ".a";
  Config config;
  expect_error([&] { apply_toml(config, deep + " = 1", "a.toml"); }, {"a.toml:1", "no key a.a.a"});
  const std::string deeper = deep + "." + deep;
  expect_error([&] { apply_toml(config, deeper + " = 1", "a.toml"); }, {"a.toml", "60007 bytes"});
  expect_error([&] { with({"run.dir={" + deeper + " = 1}"}); }, {"run.dir", "60009 bytes"});
}

TEST(Config, TextsAreUtf8) {
  EXPECT_EQ(with({"run.dir=\u00e9"}).run.dir, "\u00e9");
  expect_error([] { with({"run.dir=\xe9"}); }, {"run.dir", "not UTF-8"});
}

TEST(Config, EpochsOrSteps) {
  expect_error(
      [] {
        with({"train.epochs=2", "train.steps=3"});
      },
      {"train.epochs", "train.steps", "both"});
  expect_error([] { check_config(with({"train.epochs=0"})); }, {"nothing to do"});
  Config config;
  apply_toml(config, "train.epochs = 5", "a.toml");
  apply_overrides(config, std::vector<std::string>{"train.steps=3"});
  EXPECT_EQ(config.train.steps, 3);
  EXPECT_EQ(config.train.epochs, 0);
}

TEST(Config, RulesBetweenKeys) {
  const auto fails = [](const std::vector<std::string>& overrides,
                        std::initializer_list<std::string> parts) {
    expect_error([&] { check_config(with(overrides)); }, parts);
  };
  EXPECT_NO_THROW(check_config(Config()));
  fails({"train.batch=2", "clip.micro_batch=4"}, {"train.batch", "2", "clip.micro_batch = 4"});
  fails({"data.repeats=3", "data.shuffle=false"}, {"data.repeats", "3", "data.shuffle"});
  fails({"train.batch_frames=9", "data.shuffle=false"}, {"train.batch_frames", "data.shuffle"});
  fails({"train.mixup=0.8", "clip.rule=min"}, {"train.mixup", "clip.micro_batch", "got 1"});
  fails({"train.cutmix=1", "log.norms=true"}, {"train.cutmix", "clip.micro_batch", "got 1"});
  fails({"train.cutmix=1", "train.batch=1"}, {"train.cutmix", "train.batch", "got 1"});
  EXPECT_NO_THROW(check_config(with({"train.mixup=0.8"})));  // plain: of the batch
  EXPECT_NO_THROW(check_config(with({"train.mixup=0.8", "clip.rule=min", "clip.micro_batch=2"})));
  fails({"optim.betas=[0.9]"}, {"optim.betas", "two"});
  fails({"schedule.min_lr=1"}, {"schedule.min_lr", "optim.lr"});
  fails({"clip.scope=domain"}, {"clip.scope", "clip.group=domain", "runs"});
  fails({"clip.group=domain", "train.mixup=0.8", "clip.micro_batch=2"}, {"clip.group", "mixed"});
  fails({"model.name=text", "precision=bf16"}, {"precision", "text", "bf16"});
  fails({"model.image=32", "data.image=64"}, {"model.image", "data.image"});
  fails({"model.heads=5"}, {"model.heads", "model.dim", "192"});
  fails({"optim.nesterov=true", "optim.momentum=0"}, {"optim.nesterov", "optim.momentum"});
}

TEST(Config, BatchNormNeedsWholeMicroBatches) {
  const auto checked = [](std::vector<std::string> settings) {
    settings.insert(settings.begin(), "model.name=resnet20");
    check_config(with(settings));
  };
  expect_error(
      [&] {
        checked({"model.batchnorm=refuse", "clip.rule=min"});
      },
      {"model.batchnorm", "refuse", "clip.rule", "min", "model.norm=group"});
  expect_error([&] { checked({"train.wave=16"}); }, {"train.wave: 16", "64 of train.batch"});
  expect_error(
      [&] {
        checked({"train.wave=4", "clip.rule=min", "clip.micro_batch=8"});
      },
      {"train.wave: 4", "8 of clip.micro_batch"});
  expect_error([&] { checked({"log.norms=true"}); },
               {"log.norms", "micro-batches of 1", "clip.micro_batch=64"});
  EXPECT_NO_THROW(checked({"log.norms=true", "clip.micro_batch=64"}));
  EXPECT_NO_THROW(checked({"model.batchnorm=refuse"}));  // plain training
  EXPECT_NO_THROW(checked({"train.wave=16", "clip.rule=min", "clip.micro_batch=8"}));
  EXPECT_NO_THROW(checked({"train.wave=16", "model.norm=group"}));
  EXPECT_NO_THROW(checked({"train.wave=4", "model.batchnorm=frozen", "clip.rule=min"}));
}

TEST(Config, ArgumentsAreARecipeAndOverridesThatWin) {
  const TemporaryFolder folder;
  const std::string recipe = folder / "a=b.toml";
  write_file_atomically(recipe, std::string_view("seed = 1\noptim.lr = 0.5\n"));
  Config config;
  apply_arguments(config, std::vector<std::string>{"seed=2", recipe});
  EXPECT_EQ(config.seed, 2u);
  EXPECT_EQ(config.optim.lr, 0.5);
  expect_error(
      [&] {
        apply_arguments(config, std::vector<std::string>{recipe, "b.toml"});
      },
      {"one recipe", "b.toml"});
  expect_error([&] { apply_arguments(config, std::vector<std::string>{"none.toml"}); },
               {"none.toml", "cannot read"});
  expect_error([&] { apply_file(config, folder.path()); }, {"folder"});
}

TEST(Config, ShippedRecipesAreValid) {
  const std::filesystem::path recipes = test::source_path("train/recipes");
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(recipes)) {
    if (entry.path().extension() != ".toml") continue;
    Config config;
    apply_file(config, entry.path());
    EXPECT_NO_THROW(check_config(config)) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 2);
}

}  // namespace
}  // namespace minnow
