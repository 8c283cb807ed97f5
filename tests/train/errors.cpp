#include <gtest/gtest.h>
#include <sys/mount.h>

#include <algorithm>
#include <fstream>

#include "engine/files.h"
#include "engine/safetensors.h"
#include "tests/file_size_limit.h"
#include "tests/paths.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using test::Ended;
using test::run_minnow;
using test::tiny;

/// Every failure is one message on stderr that says what is wrong, and the right status.
void expect_failure(const Ended& ended, int status, std::initializer_list<std::string> parts,
                    int64_t lines = 1) {
  EXPECT_EQ(ended.status, status) << ended.err;
  const size_t last = ended.err.rfind("minnow: ");
  ASSERT_NE(last, std::string::npos) << ended.err;
  const std::string message = ended.err.substr(last);
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), lines) << message;
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << "expected '" << part << "' in: " << message;
  }
}

class Errors : public testing::Test {
 protected:
  Ended train(std::vector<std::string> more) {
    auto all = tiny(std::move(more));
    all.insert(all.begin(), "train");
    return run_minnow(folder.path(), all);
  }
  /// For wrong input, which must leave nothing behind.
  void refused(std::vector<std::string> more, std::initializer_list<std::string> parts) {
    more.push_back("run.dir=r");
    expect_failure(train(std::move(more)), 2, parts);
    EXPECT_FALSE(fs::exists(folder / "r"));
  }
  std::string path(const std::string& name) { return (folder / name).string(); }

  TemporaryFolder folder;
};

TEST_F(Errors, UnknownKey) {
  refused({"optim.lrr=1"}, {"optim.lrr", "did you mean optim.lr?"});
}

TEST_F(Errors, RecipeWithAnUnknownKey) {
  write_file_atomically(folder / "a.toml",
                        std::string_view("seed = 1\n\n[clip]\nmicrobatch = 4\n"));
  refused({"a.toml"}, {"a.toml:4", "clip.microbatch", "clip.micro_batch"});
}

TEST_F(Errors, MissingFolderOfData) {
  for (const char* name : {"imagefolder", "cifar10", "mnist"}) {
    refused({fmt::format("data.name={}", name), "data.path=nowhere"}, {"nowhere"});
  }
}

TEST_F(Errors, BatchSmallerThanAMicroBatch) {
  refused({"train.batch=2", "clip.rule=min", "clip.micro_batch=4"},
          {"train.batch", "2", "clip.micro_batch", "4"});
}

TEST_F(Errors, BatchLargerThanTheData) {
  refused({"train.batch=200"}, {"train.batch", "200", "96"});
}

/// Pictures beyond repair are named and counted, and the run goes on without them, whether they are
/// found at the start or in the middle of an epoch.
TEST_F(Errors, DamagedPicturesDoNotEndARun) {
  const std::string seeds = test::source_path("tests/fuzz/seeds/picture/");
  const std::string whole = read_text_file(seeds + "photo.jpg");
  std::string damaged = read_text_file(seeds + "rgb.png");
  damaged[41] = static_cast<char>(0xff);  // the first of the compressed bytes
  for (const char* name : {"d/train/a", "d/train/b", "d/train/empty", "d/test/a", "d/test/b"}) {
    fs::create_directories(folder / name);
  }
  for (const char* name : {"d/train/a/0.jpg", "d/train/b/0.jpg", "d/test/a/0.jpg"}) {
    write_file_atomically(folder / name, whole);
  }
  for (int i = 1; i < 8; ++i) {
    write_file_atomically(folder / fmt::format("d/train/a/{}.png", i), damaged);
  }
  for (const char* cache : {"1", "0"}) {
    const std::string dir = std::string("r") + cache;
    const Ended ended =
        train({"data.name=imagefolder", "data.path=d", std::string("data.cache=") + cache,
               "train.batch=2", "train.epochs=1", "data.workers=2", "run.dir=" + dir});
    EXPECT_EQ(ended.status, 0) << ended.err;
    for (const char* part : {"left out: d/train/empty: no", "left out: d/train/a/",
                             ".png: ", "left out: d/test/b: no", " more; "}) {
      EXPECT_NE(ended.err.find(part), std::string::npos) << "lacks '" << part << "': " << ended.err;
    }
    const Ended eval = run_minnow(folder.path(), {"eval", dir});
    EXPECT_EQ(eval.status, 0) << eval.err;
    EXPECT_NE(eval.err.find("left out: d/test/b: no"), std::string::npos) << eval.err;
  }
}

TEST_F(Errors, OneExampleIsEnough) {
  const Ended ended = train({"data.train_size=1", "data.test_size=1", "train.batch=1",
                             "train.epochs=2", "clip.rule=min", "run.dir=one"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  refused({"data.limit=1", "train.batch=2"}, {"train.batch", "2", "only 1"});
}

TEST_F(Errors, PixelsThatNormalisationTakesBeyondFloat32) {
  refused({"data.std=[1e-300]"}, {"std 1e-300", "float32"});
}

TEST_F(Errors, CudaThatCannotBeUsed) {
  const std::string problem = cuda_problem();
  if (problem.empty()) GTEST_SKIP() << "here it can be used";
  refused({"device=cuda"}, {"device: cuda can't be used", problem, "say device=cpu"});
}

TEST_F(Errors, PrecisionThatTheCpuDoesNotHave) {
  for (const char* precision : {"bf16", "tf32"}) {
    refused({"device=cpu", fmt::format("precision={}", precision)},
            {"precision", precision, "device=cuda"});
  }
}

TEST_F(Errors, LossThatIsNotANumber) {
  // The first update throws the weights so far that the second step's loss overflows.
  const Ended ended =
      train({"optim.lr=1e30", "train.epochs=2", "run.dir=r", "run.save=w.safetensors"});
  expect_failure(ended, 1, {"step", "not finite", "optim.lr", "1e+30", "no checkpoint"});
  EXPECT_FALSE(fs::exists(folder / "w.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "r/checkpoints"));
  const std::string metrics = read_text_file(folder / "r/metrics.jsonl");
  EXPECT_EQ(metrics.find("null"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find(R"("kind":"diverged","step":1,"why":"the loss)"), std::string::npos)
      << metrics;
}

TEST_F(Errors, LossThatIsNotANumberKeepsTheLastCheckpoint) {
  ASSERT_EQ(train({"train.epochs=1", "run.dir=r"}).status, 0);
  const Ended ended =
      run_minnow(folder.path(), {"train", "run.resume=r", "train.epochs=3", "optim.lr=1e30"});
  expect_failure(ended, 1, {"not finite", "step-00000003.safetensors"});
  EXPECT_EQ(run_minnow(folder.path(), {"eval", "r"}).status, 0);
}

TEST_F(Errors, WeightsThatAreNotNumbersAreNotSaved) {
  // The loss of the only step is fine; the update is beyond float32.
  const Ended ended = train({"optim.lr=1e60", "train.steps=1", "train.eval_every=0", "run.dir=r"});
  expect_failure(ended, 1, {"weights are not finite"});
  EXPECT_FALSE(fs::exists(folder / "r/checkpoints"));
}

TEST_F(Errors, FullDisk) {
  // A limit on the size of files stands for the full disk: metrics and configuration fit, report
  // and checkpoint do not; without the report the run goes on. On the CPU, since a driver of a GPU
  // may write files of its own.
  const test::FileSizeLimit limit(8 << 10);
  const Ended ended = train({"device=cpu", "train.epochs=1", "run.dir=r"});
  EXPECT_NE(ended.err.find("no report: r/report.html: cannot write"), std::string::npos);
  expect_failure(ended, 1, {"r/checkpoints/step-00000003.safetensors", "cannot write"});
  EXPECT_TRUE(fs::is_empty(folder / "r/checkpoints"));
}

/// A disk of its own for a folder; gone at the end of the scope.
class SmallDisk {
 public:
  SmallDisk(fs::path folder, const std::string& size) : folder_(std::move(folder)) {
    fs::create_directory(folder_);
    mounted_ = mount("tmpfs", folder_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount(folder_.c_str());
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }
  bool resize(const std::string& size) const {
    return mount("tmpfs", folder_.c_str(), "tmpfs", MS_REMOUNT, ("size=" + size).c_str()) == 0;
  }

 private:
  fs::path folder_;
  bool mounted_ = false;
};

TEST_F(Errors, FullDiskForReal) {
  // Room for the records and two checkpoints of some 44 kB each; before the first of them goes, the
  // third must be whole.
  const SmallDisk disk(folder / "r", "120k");
  if (!disk.mounted()) GTEST_SKIP() << "needs the right to mount a small tmpfs";
  const std::vector<std::string> settings = {"train.epochs=2", "run.checkpoint_every=1",
                                             "run.dir=r", "run.save=w.safetensors"};
  expect_failure(train(settings), 1, {"r/checkpoints/step-00000003.safetensors", "No space left"});
  EXPECT_EQ(run_minnow(folder.path(), {"eval", "r"}).status, 0);
  const auto files = fs::directory_iterator(folder / "r/checkpoints");
  EXPECT_EQ(std::distance(begin(files), end(files)), 2);

  // Still full: nothing more is lost. With room: the run ends as if nothing had been.
  EXPECT_EQ(run_minnow(folder.path(), {"train", "run.resume=true", "run.dir=r"}).status, 1);
  ASSERT_TRUE(disk.resize("1m"));
  const Ended resumed = run_minnow(folder.path(), {"train", "run.resume=true", "run.dir=r"});
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  const std::string weights = read_text_file(folder / "w.safetensors");
  fs::remove(folder / "w.safetensors");
  const TemporaryFolder elsewhere;
  auto undisturbed = tiny(settings);
  undisturbed.insert(undisturbed.begin(), "train");
  ASSERT_EQ(run_minnow(elsewhere.path(), undisturbed).status, 0);
  EXPECT_TRUE(weights == read_text_file(elsewhere / "w.safetensors"));
}

TEST_F(Errors, WeightsOfAnotherNumberOfClasses) {
  save_safetensors(folder / "w.safetensors",
                   std::vector<NamedTensor>{{"layers.0.weight", Tensor::zeros({16, 192})},
                                            {"layers.0.bias", Tensor::zeros({16})},
                                            {"layers.1.weight", Tensor::zeros({7, 16})},
                                            {"layers.1.bias", Tensor::zeros({7})}});
  refused({"init.from=w.safetensors"}, {"w.safetensors", "7 classes", "10"});
  auto eval = tiny();
  eval.insert(eval.begin(), {"eval", "w.safetensors"});
  expect_failure(run_minnow(folder.path(), eval), 2, {"w.safetensors", "7 classes", "10"});
  expect_failure(run_minnow(folder.path(), {"eval", "w.safetensors"}), 2,
                 {"w.safetensors", "recipe"});
}

TEST_F(Errors, WeightsThatDoNotFit) {
  save_safetensors(folder / "w.safetensors",
                   std::vector<NamedTensor>{{"layers.0.weight", Tensor::zeros({15, 192})},
                                            {"layers.0.bias", Tensor::zeros({16})},
                                            {"stem.weight", Tensor::zeros({3})}});
  const Ended ended = train({"init.from=w.safetensors", "run.dir=r"});
  expect_failure(ended, 2,
                 {"w.safetensors", "layers.0.weight", "[15, 192]", "stem.weight", "layers.1.bias"},
                 4);
  EXPECT_FALSE(fs::exists(folder / "r"));
}

TEST_F(Errors, FilesThatAreNoWeights) {
  write_file_atomically(folder / "w.safetensors", std::string_view("not weights at all"));
  refused({"init.from=w.safetensors"}, {"w.safetensors"});
  refused({"init.from=none.safetensors"}, {"none.safetensors", "cannot read"});
  expect_failure(run_minnow(folder.path(), {"eval", "nothing"}), 2, {"nothing", "no such"});
  fs::create_directory(folder / "empty");
  expect_failure(run_minnow(folder.path(), {"eval", "empty"}), 2, {"empty", "no checkpoint"});
}

TEST_F(Errors, ARunIsNeverOverwritten) {
  ASSERT_EQ(train({"train.epochs=1", "run.dir=r"}).status, 0);
  const std::string before = read_text_file(folder / "r/metrics.jsonl");
  expect_failure(train({"train.epochs=1", "run.dir=r"}), 2, {"run.dir", "run.resume=true"});
  EXPECT_EQ(read_text_file(folder / "r/metrics.jsonl"), before);
}

TEST_F(Errors, AResumedRunKeepsWhatItIs) {
  ASSERT_EQ(train({"train.epochs=1", "run.dir=r"}).status, 0);
  const auto resume = [&](const std::string& setting) {
    return run_minnow(folder.path(), {"train", "run.resume=r", "train.epochs=2", setting});
  };
  expect_failure(resume("seed=5"), 2, {"seed = 0", "got 5"});
  expect_failure(resume("train.batch=16"), 2, {"train.batch = 32", "16"});
  expect_failure(resume("model.hidden=[8]"), 2, {"model.hidden"});
  expect_failure(run_minnow(folder.path(), {"train", "run.resume=true"}), 2, {"run.dir"});
  expect_failure(run_minnow(folder.path(), {"train", "run.resume=none"}), 2, {"none"});
}

TEST_F(Errors, FoldersThatCannotBeMade) {
  write_file_atomically(folder / "file", std::string_view("x"));
  expect_failure(train({"train.epochs=1", "run.dir=file"}), 2, {"run.dir", "file"});
  expect_failure(train({"train.epochs=1", "run.save=none/w.safetensors"}), 2, {"run.save", "none"});
}

}  // namespace
}  // namespace minnow
