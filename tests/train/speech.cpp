#include <gtest/gtest.h>
#include <sndfile.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/tones.h"
#include "engine/safetensors.h"
#include "tests/data/sound.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/config_keys.h"
#include "train/run_folder.h"

// What `minnow` does with speech: training, evaluation and transcripts from the command line.
namespace minnow {
namespace {

using Json = nlohmann::json;
using test::Ended;
using test::run_minnow;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

/// A conformer of seconds on tones: 48 utterances, 6 steps an epoch.
std::vector<std::string> tones(std::vector<std::string> more = {}) {
  std::vector<std::string> all{"train",
                               "data.name=tones",
                               "data.train_size=48",
                               "data.test_size=6",
                               "data.augment=speech",
                               "model.name=conformer",
                               "model.dim=16",
                               "model.depth=1",
                               "model.heads=2",
                               "model.conv_kernel=5",
                               "model.subsampling=4",
                               "train.batch=8",
                               "train.steps=8",
                               "clip.tau=32",
                               "clip.on_nonfinite=drop",
                               "device=" + std::string(test::test_device().name())};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::vector<Json> records(const std::filesystem::path& run) {
  std::vector<Json> all;
  std::ifstream file(metrics_path(run));
  for (std::string line; std::getline(file, line);) all.push_back(Json::parse(line));
  return all;
}

class SpeechRun : public testing::Test {
 protected:
  Ended run(std::vector<std::string> arguments) { return run_minnow(folder.path(), arguments); }
  void train(std::vector<std::string> more) {
    const Ended ended = run(tones(std::move(more)));
    ASSERT_EQ(ended.status, 0) << ended.err;
  }
  void write_wav(const char* name, int64_t samples, int rate = 16000, int channels = 1) {
    data_test::write_sound(folder / name, data_test::sine(samples * channels, 700, rate),
                           SF_FORMAT_WAV | SF_FORMAT_PCM_16, rate, channels);
  }

  TemporaryFolder folder;
};

TEST_F(SpeechRun, TrainsEvaluatesAndTranscribes) {
  train({"run.dir=r", "run.save=w", "clip.rule=min", "clip.micro_batch=2"});
  const std::vector<Json> all = records(folder / "r");
  const Json& last = all.back();
  EXPECT_EQ(last["kind"], "eval");
  for (const char* field : {"loss", "wer", "cer"}) EXPECT_TRUE(last[field].is_number()) << field;
  EXPECT_FALSE(last.contains("top1"));
  EXPECT_EQ(last["sentences"], 6);
  // What eval says of the saved weights is what the run said.
  const Ended eval = run({"eval", "w", "--json"});
  ASSERT_EQ(eval.status, 0) << eval.err;
  const Json score = Json::parse(eval.out);
  EXPECT_EQ(score["wer"], last["wer"]);
  EXPECT_EQ(score["loss"], last["loss"]);
  EXPECT_EQ(score["words"], last["words"]);
  EXPECT_EQ(run({"eval", "r", "--beam", "4"}).status, 0);
  // Any rate and any number of channels.
  write_wav("a.wav", 16000);
  write_wav("b.wav", 8000, 8000, 2);
  const Ended heard = run({"transcribe", "r", "a.wav", "b.wav", "--json"});
  ASSERT_EQ(heard.status, 0) << heard.err;
  EXPECT_HAS(heard.out, "\"file\":\"a.wav\"");
  EXPECT_HAS(heard.out, "\"file\":\"b.wav\"");
}

TEST_F(SpeechRun, SaysWhatEveryStepIsLike) {
  const Ended ended = run(tones(
      {"run.dir=r", "clip.rule=min", "clip.micro_batch=2", "log.debug=true", "train.steps=2"}));
  ASSERT_EQ(ended.status, 0) << ended.err;
  for (const char* part : {"step 1: inputs [8, ", "step 2: inputs [8, ", " % of them padding; ",
                           "4 micro-batches, tau 32: "}) {
    EXPECT_HAS(ended.err, part);
  }
}

/// In the middle of an epoch, whose batches are of different sizes, a run goes on as if it had
/// never stopped.
TEST_F(SpeechRun, BatchesOfFramesGoOnWhereTheyStopped) {
  const std::vector<std::string> settings = {"train.batch_frames=500", "train.steps=12",
                                             "clip.rule=min", "clip.micro_batch=3",
                                             "run.checkpoint_every=5"};
  std::vector<std::string> whole = settings;
  whole.insert(whole.end(), {"run.dir=r", "run.save=w"});
  const Ended ended = run(tones(whole));
  ASSERT_EQ(ended.status, 0) << ended.err;
  EXPECT_HAS(ended.err, "12 steps of 500 frames, 8 at most");
  EXPECT_HAS(ended.err, " batches of train.batch_frames = 500 hold a single micro-batch of 3");
  std::filesystem::remove(checkpoint_path(folder / "r", 12));
  std::filesystem::rename(folder / "w", folder / "whole");
  const Ended resumed = run({"train", "run.resume=r", "run.save=w"});
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  const auto expected = load_safetensors(folder / "whole"), got = load_safetensors(folder / "w");
  for (const auto& [name, tensor] : expected.tensors) {
    EXPECT_EQ(tensor.to_vector<float>(), got.find(name)->to_vector<float>()) << name;
  }
}

/// The figures of the training utterances are measured once and go with the run and its weights.
TEST_F(SpeechRun, GlobalNormalisationIsThatOfTheRun) {
  train({"run.dir=r", "run.save=w", "data.normalise=global", "data.bins=20", "data.draggers=0.5"});
  Config config;
  apply_toml(config, read_text_file(folder / "r/config.toml"), "config.toml");
  ASSERT_EQ(config.data.mean.size(), 20u);
  SpeechOptions options = config.dataset().speech;
  options.augment = false;
  const Tones sounds(Split::train, 48, options);
  double sum = 0, square = 0, count = 0;
  for (int64_t i = 0; i < sounds.size(); ++i) {
    const Tensor features = sounds.get(i, 0).input;
    for (int64_t t = 0; t < features.dim(0); ++t) {
      const double value = features.data<float>()[20 * t + 7];
      sum += value;
      square += value * value;
      ++count;
    }
  }
  EXPECT_NEAR(sum / count, 0, 1e-3);  // they are kept to 1e-4
  EXPECT_NEAR(square / count, 1, 1e-3);
  const Ended eval = run({"eval", "w", "--json"});
  ASSERT_EQ(eval.status, 0) << eval.err;
  EXPECT_EQ(Json::parse(eval.out)["loss"], records(folder / "r").back()["loss"]);
}

TEST_F(SpeechRun, BatchNormOfEachMicroBatch) {
  train(
      {"run.dir=r", "run.save=w", "model.conv_norm=batch", "clip.rule=min", "clip.micro_batch=2"});
  const Ended eval = run({"eval", "w", "--json"});
  ASSERT_EQ(eval.status, 0) << eval.err;
  EXPECT_EQ(Json::parse(eval.out)["loss"], records(folder / "r").back()["loss"]);
}

TEST_F(SpeechRun, AFileThatIsNoSoundIsNamedAndTheOthersAreDone) {
  train({"run.dir=r"});
  write_wav("good.wav", 16000);
  write_wav("short.wav", 100);
  std::ofstream(folder / "text.wav") << "no sound";
  const Ended heard = run({"transcribe", "r", "text.wav", "short.wav", "none.wav", "good.wav"});
  EXPECT_EQ(heard.status, 2);
  EXPECT_EQ(heard.out.substr(0, 9), "good.wav:") << heard.out;
  for (const char* name : {"text.wav", "short.wav", "none.wav"}) EXPECT_HAS(heard.err, name);
}

TEST_F(SpeechRun, SoundsOfAnyLength) {
  train({"run.dir=r", "data.most_seconds=2.0"});
  write_wav("short.wav", 1500);
  write_wav("least.wav", 1600);
  write_wav("long.wav", 40000);
  const Ended heard = run({"transcribe", "r", "short.wav", "least.wav", "long.wav"});
  EXPECT_EQ(heard.status, 2);
  EXPECT_HAS(heard.out, "least.wav:");
  EXPECT_HAS(heard.err, "short.wav: a sound of 0.094 seconds is too short; 0.1 are needed");
  EXPECT_HAS(heard.err, "long.wav: a sound of 2.5 seconds is too long; up to 2 are heard");
  EXPECT_EQ(run({"transcribe", "r", "long.wav", "--most-seconds", "2.5"}).status, 0);
  EXPECT_EQ(run({"transcribe", "r", "long.wav", "--most-seconds", "0"}).status, 2);
}

TEST_F(SpeechRun, LettersNeverSeenCountAsErrors) {
  std::ofstream train_list(folder / "train.json"), test_list(folder / "test.json");
  for (int k = 0; k < 8; ++k) {
    const std::string name = fmt::format("{}.wav", k);
    write_wav(name.c_str(), 8000 + 100 * k);
    (k < 6 ? train_list : test_list)
        << fmt::format(R"({{"audio": "{}", "text": "{}", "domain": "{}"}})", name,
                       k == 7 ? "a zebra" : "a b", k == 7 ? "far" : "near")
        << '\n';
  }
  train_list.close();
  test_list.close();
  train({"data.name=manifest", "data.path=.", "run.dir=r", "train.batch=4", "train.steps=1"});
  const Ended eval = run({"eval", "r", "--json"});
  ASSERT_EQ(eval.status, 0) << eval.err;
  EXPECT_HAS(eval.err, "1 transcript has letters that the training transcripts lack: e r z\n");
  EXPECT_EQ(eval.err.find("left out"), std::string::npos);
  const Json score = Json::parse(eval.out);
  EXPECT_EQ(score["words"]["reference"], 4);
  EXPECT_EQ(score["characters"]["reference"], 10);
  EXPECT_EQ(score["impossible"], 0);
  EXPECT_TRUE(score["domains"]["far"].is_number() && score["domains"]["near"].is_number());
  const Ended table = run({"eval", "r"});
  EXPECT_HAS(table.out, "domain  examples     words");
}

TEST_F(SpeechRun, ResumesToTheBit) {
  train({"run.dir=whole", "run.save=a", "clip.rule=min", "clip.micro_batch=3"});
  train({"run.dir=part", "clip.rule=min", "clip.micro_batch=3", "run.checkpoint_every=5"});
  std::filesystem::remove(checkpoint_path(folder / "part", 8));
  const Ended ended = run({"train", "run.resume=part", "run.save=b"});
  ASSERT_EQ(ended.status, 0) << ended.err;
  EXPECT_HAS(ended.err, "going on after step 5");
  const auto bits = [&](const char* name) {
    Json values;
    for (const NamedTensor& t : load_safetensors(folder / name).tensors) {
      values[t.name] = t.tensor.to_vector<float>();
    }
    return values;
  };
  EXPECT_TRUE(bits("a") == bits("b"));
}

/// The middle layer has a share in the loss of a training step, and none in an evaluation.
TEST_F(SpeechRun, IntermediateLosses) {
  const std::vector<std::string> common{"model.depth=2", "clip.rule=min", "clip.micro_batch=2"};
  std::vector<std::string> plain = common, middle = common;
  plain.push_back("run.dir=plain");
  middle.insert(middle.end(), {"run.dir=middle", "model.intermediate=0.3", "run.save=w"});
  train(plain);
  train(middle);
  const Json first = records(folder / "plain").front(), other = records(folder / "middle").front();
  EXPECT_EQ(first["step"], other["step"]);
  EXPECT_NE(first["loss"], other["loss"]);
  const Ended with = run({"eval", "w", "--json"});
  ASSERT_EQ(with.status, 0) << with.err;
  EXPECT_EQ(with.out, run({"eval", "w", "--json", "model.intermediate=0"}).out);
}

/// Pieces are learnt anew, from the same transcripts, by whoever goes on.
TEST_F(SpeechRun, WordPieces) {
  const auto write_corpus = [&](const std::string& last) {
    std::ofstream train(folder / "train.json"), test(folder / "test.json");
    for (int k = 0; k < 16; ++k) {
      write_wav(fmt::format("{}.wav", k).c_str(), 8000 + 500 * k);
      const std::string text = k == 15 ? last : k % 2 == 0 ? "one two" : "three two one";
      train << fmt::format("{{\"audio\": \"{}.wav\", \"text\": \"{}\"}}\n", k, text);
    }
    test << "{\"audio\": \"3.wav\", \"text\": \"two three\"}\n";
  };
  write_corpus("one two");
  const std::vector<std::string> settings{"data.name=manifest", "data.path=.",
                                          "data.tokens=pieces", "data.vocabulary=18",
                                          "run.dir=r",          "run.checkpoint_every=5"};
  train(settings);
  const Ended heard = run({"transcribe", "r", "0.wav"});
  EXPECT_EQ(heard.status, 0) << heard.err;
  EXPECT_EQ(heard.out.find("\u2581"), std::string::npos) << heard.out;
  std::filesystem::remove(checkpoint_path(folder / "r", 8));
  Ended ended = run({"train", "run.resume=r", "run.save=w"});
  ASSERT_EQ(ended.status, 0) << ended.err;
  ended = run({"eval", "w", "--json"});
  ASSERT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(Json::parse(ended.out)["loss"], records(folder / "r").back()["loss"]);
  // Other transcripts yield as many others.
  std::filesystem::remove(checkpoint_path(folder / "r", 8));
  write_corpus("hot wheel wheel wheel");
  std::vector<std::string> from = tones(settings);
  from.insert(from.end(), {"run.dir=new", "init.from=w"});
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"eval", "w"}, {"eval", "r"}, {"train", "run.resume=r"}, from}) {
    ended = run(command);
    EXPECT_EQ(ended.status, 2) << ended.err;
    EXPECT_HAS(ended.err, "tokens are not those of the data");
  }
  from.insert(from.end(), {"init.new_head=true"});
  EXPECT_EQ(run(from).status, 0);
}

TEST_F(SpeechRun, WhatDoesNotFit) {
  const auto refused = [&](std::vector<std::string> more, const char* part) {
    more.push_back("run.dir=refused");
    const Ended ended = run(tones(more));
    EXPECT_EQ(ended.status, 2) << ended.err;
    EXPECT_HAS(ended.err, part);
    EXPECT_FALSE(std::filesystem::exists(folder / "refused"));
  };
  refused({"model.name=vit"}, "model.name: vit learns classes, but tones has transcripts");
  refused({"data.name=shapes", "data.augment=none"},
          "conformer learns transcripts, but shapes has no transcripts");
  refused({"data.augment=crop_flip"}, "data.augment: \"crop_flip\" does not fit the utterances");
  refused({"model.conv_kernel=4"}, "model.conv_kernel");
  refused({"model.intermediate=0.3"}, "model.intermediate: 0.3 needs model.depth");
  refused({"data.noise=[1.0, 2.0]"}, "data.noise");
  refused({"data.name=an4", "data.path=nowhere"}, "nowhere");
  refused({"data.tokens=pieces"}, "data.tokens: those of tones are characters");
  refused({"data.name=shapes", "data.augment=none", "model.name=vit", "train.batch_frames=100"},
          "train.batch_frames: the pictures of shapes are all of one size");
  refused({"model.conv_norm=batch", "train.wave=2", "clip.rule=min", "clip.micro_batch=4"},
          "train.wave: 2 examples, but BatchNorm needs the 4 of clip.micro_batch");
  refused({"data.mean=[1.0]"}, "data.mean, data.std: of speech only with data.normalise=global");
  refused({"model.conv_norm=batch", "model.batchnorm=refuse", "clip.rule=min"},
          "or model.conv_norm=layer");
  refused({"data.normalise=global", "data.std=[1.0]"}, "data.std: given without data.mean");
  refused({"data.normalise=global", "data.mean=[1.0]"}, "data.std: data.normalise=global needs");
  refused({"train.mixup=0.5"}, "train.mixup: blends pictures");
  refused({"train.label_smoothing=0.1"}, "train.label_smoothing");
  train({"run.dir=r"});
  EXPECT_HAS(run({"predict", "r", "x.png"}).err, "minnow transcribe");
  EXPECT_HAS(run({"eval", "r", "--classes"}).err, "transcripts");
  EXPECT_HAS(run({"eval", "r", "--lm", "x.arpa"}).err, "--beam");
  EXPECT_HAS(run({"eval", "r", "--word-bonus", "1"}).err, "--beam");
  EXPECT_HAS(run({"transcribe", "r", "x.wav", "--lm-weight", "0.5"}).err, "--lm FILE");
  EXPECT_HAS(run({"eval", "r", "--beam", "4", "--lm", "x.arpa"}).err, "x.arpa");
}

}  // namespace
}  // namespace minnow
