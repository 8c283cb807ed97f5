#include "data/open.h"

#include <sndfile.h>

#include "tests/data/files.h"
#include "tests/data/sound.h"

namespace minnow::data_test {
namespace {

TEST(OpenDataset, Shapes) {
  const DatasetConfig config{.train_size = 30, .test_size = 20};
  const auto train = open_dataset(config, Split::train), test = open_dataset(config, Split::test);
  EXPECT_EQ(train->size(), 30);
  EXPECT_EQ(test->size(), 20);
  EXPECT_EQ(train->get(0, 0).input.shape(), (Shape{3, 32, 32}));
  EXPECT_EQ(open_dataset({.image_size = 16}, Split::train)->get(0, 0).input.dim(1), 16);
  EXPECT_EQ(open_dataset({.train_size = 30, .limit = 7}, Split::train)->size(), 7);
}

TEST(OpenDataset, DraggersAreInTheTrainSplitOnly) {
  const DatasetConfig config{.train_size = 50, .test_size = 50, .dragger_fraction = 1.0};
  const auto train = open_dataset(config, Split::train), test = open_dataset(config, Split::test);
  for (int64_t i = 0; i < 50; ++i) {
    EXPECT_TRUE(train->get(i, 0).marked);
    EXPECT_FALSE(test->get(i, 0).marked);
  }
}

TEST(OpenDataset, FileSets) {
  const TemporaryFolder folder;
  write_file(folder.path() / "train-images-idx3-ubyte",
             {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4});
  write_file(folder.path() / "train-labels-idx1-ubyte", {0, 0, 8, 1, 0, 0, 0, 1, 5});
  DatasetConfig config{.name = "mnist", .path = folder.string()};
  EXPECT_EQ(open_dataset(config, Split::train)->get(0, 0).label, 5);
  config.image_size = 2;
  EXPECT_EQ(open_dataset(config, Split::train)->size(), 1);
  config.image_size = 3;
  expect_error([&] { open_dataset(config, Split::train); }, {"mnist", "2 x 2", "size of 3"});
  const TemporaryFolder pictures;
  for (const char* name : {"train/a/0.png", "train/b/0.png", "test/a/0.png"}) {
    write_file(pictures.path() / name, png(4, 4, 3, plain(4, 1, 2, 3)));
  }
  config = {.name = "imagefolder", .path = pictures.string(), .image_size = 8};
  EXPECT_EQ(open_dataset(config, Split::train)->get(1, 0).input.shape(), (Shape{3, 8, 8}));
  config.name = "cifar10";
  expect_error([&] { open_dataset(config, Split::test); }, {"test_batch.bin"});
}

TEST(OpenDataset, WarningsPassThroughWrappers) {
  const TemporaryFolder folder;
  for (const char* name : {"train/a/0.png", "train/b/0.png", "test/a/0.png"}) {
    write_file(folder.path() / name, png(4, 4, 3, plain(4, 1, 2, 3)));
  }
  write_file(folder.path() / "train/a/bad.png", {1});
  const auto set = open_dataset({.name = "imagefolder",
                                 .path = folder.string(),
                                 .image_size = 4,
                                 .limit = 1,
                                 .dragger_fraction = 0.5},
                                Split::train);
  ASSERT_EQ(set->warnings().size(), 1u);
  EXPECT_NE(set->warnings()[0].find("bad.png"), std::string::npos);
}

TEST(OpenDataset, Tones) {
  DatasetConfig config{.name = "tones", .train_size = 30, .test_size = 20, .seed = 4};
  config.speech.bins = 40;
  const auto train = open_dataset(config, Split::train), test = open_dataset(config, Split::test);
  EXPECT_EQ(train->size(), 30);
  EXPECT_EQ(test->size(), 20);
  EXPECT_EQ(train->get(0, 0).input.dim(1), 40);
  config.seed = 5;
  EXPECT_NE(open_dataset(config, Split::train)->transcript(0), train->transcript(0));
  config.dragger_fraction = 1;
  EXPECT_TRUE(open_dataset(config, Split::train)->get(0, 0).marked);
  config.dragger_kind = "speed";
  expect_error([&] { open_dataset(config, Split::train); }, {"recordings"});
  EXPECT_FALSE(open_dataset(config, Split::test)->get(0, 0).marked);
}

TEST(OpenDataset, Recordings) {
  const TemporaryFolder folder;
  for (const char* list : {"train.json", "test.json"}) {
    const std::string line = "{\"audio\": \"a.wav\", \"text\": \"a b\"}\n";
    write_file(folder.path() / list, Bytes(line.begin(), line.end()));
  }
  write_sound(folder.path() / "a.wav", sine(16000, 300), SF_FORMAT_WAV | SF_FORMAT_PCM_16);
  DatasetConfig config{.name = "manifest", .path = folder.string(), .dragger_fraction = 1};
  for (const char* kind : {"label", "noise", "mix", "other", "speed"}) {
    config.dragger_kind = kind;
    const Example train = open_dataset(config, Split::train)->get(0, 0);
    EXPECT_TRUE(train.marked);
    EXPECT_EQ(train.input.dim(0) < 98, kind == std::string("speed"));
    EXPECT_FALSE(open_dataset(config, Split::test)->get(0, 0).marked);
  }
  config.dragger_kind = "other";
  config.speech.tokens = "pieces";
  config.reviews.vocabulary = 5;
  EXPECT_TRUE(open_dataset(config, Split::train)->get(0, 0).marked);
  config.speech.rate = 4000;
  expect_error([&] { open_dataset(config, Split::train); }, {"data.dragger_kind", "8000", "4000"});
  config.speech = {};
  config.name = "an4";
  expect_error([&] { open_dataset(config, Split::train); }, {"an4_train.fileids"});
  config.name = "librispeech";
  expect_error([&] { open_dataset(config, Split::test); }, {"train-*"});
}

TEST(OpenDataset, Errors) {
  expect_error([] { open_dataset({.name = "cifar100"}, Split::train); },
               {"cifar100", "shapes, cifar10, mnist, imagefolder"});
  expect_error([] { open_dataset({.limit = -1}, Split::train); }, {"limit", "-1"});
  expect_error([] { open_dataset({.dragger_kind = "x"}, Split::train); },
               {"label, noise, mix, duplicate, other or speed"});
  for (const char* name : {"shapes", "tones"}) {
    expect_error(
        [&] {
          open_dataset({.name = name, .dragger_fraction = 0.1, .dragger_kind = "other"},
                       Split::train);
        },
        {"data.dragger_kind", "built-in", name});
  }
  expect_error([] { open_dataset({.dragger_fraction = -0.1}, Split::train); }, {"[0, 1]"});
  EXPECT_EQ(default_normalisation("cifar10").mean.size(), 3u);
  EXPECT_EQ(default_normalisation("shapes").mean, std::vector<double>{0.5});
}

}  // namespace
}  // namespace minnow::data_test
