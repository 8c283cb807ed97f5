#include "train/evaluate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "tests/expect_error.h"
#include "train/records.h"

// Scores of transcripts, by a model that says what its inputs spell.
namespace minnow {
namespace {

/// Logits are the inputs themselves.
class Echo : public nn::Model {
 public:
  void collect(const std::string& /*prefix*/, Parameters& /*into*/) override {}
  Var forward(const Var& x, const Tensor& /*lengths*/) const override { return x; }
};

const std::vector<std::string> kTokens{"-", " ", "a", "b"};

class Spoken : public Dataset {
 public:
  /// Says `tokens`, one a frame, where `text` is said.
  void add(const std::vector<int64_t>& tokens, std::string text, std::vector<int64_t> target,
           int64_t domain = 0, float loudest = 20) {
    const auto frames = static_cast<int64_t>(tokens.size());
    Tensor input = Tensor::zeros({frames, std::ssize(kTokens)});
    for (int64_t t = 0; t < frames; ++t) {
      input.data<float>()[t * std::ssize(kTokens) + tokens[static_cast<size_t>(t)]] = loudest;
    }
    examples_.push_back({.input = std::move(input),
                         .id = size(),
                         .domain = domain,
                         .target = std::move(target),
                         .text = std::move(text)});
  }

  int64_t size() const override { return std::ssize(examples_); }
  Example get(int64_t i, int64_t) const override { return examples_[static_cast<size_t>(i)]; }
  const std::vector<std::string>& classes() const override { return kTokens; }
  bool ragged() const override { return true; }
  bool transcribed() const override { return true; }
  std::vector<std::string> domains() const override { return {"clean", "other", "none"}; }

 private:
  std::vector<Example> examples_;
};

Score score_of(Spoken spoken) {
  Echo model;
  return evaluate(model, Config(), std::make_shared<Spoken>(std::move(spoken)));
}

TEST(Evaluate, LettersThatTheTargetLacksAreErrors) {
  Spoken spoken;
  spoken.add({2, 1, 3}, "a b", {2, 1, 3});
  spoken.add({2, 3}, "a zebra", {2, 1, 3, 2});
  spoken.add({0, 0}, "zz", {});
  const Score score = score_of(std::move(spoken));
  ASSERT_TRUE(score.text.has_value());
  EXPECT_EQ(score.text->words.reference, 5);
  EXPECT_EQ(score.text->words.errors(), 3);
  EXPECT_EQ(score.text->characters.reference, 3 + 7 + 2);
  EXPECT_EQ(score.text->characters.errors(), 0 + 5 + 2);  // "ab" is in "a zebra"
}

TEST(Evaluate, WhatNoPathGivesIsCounted) {
  Spoken spoken;
  spoken.add({2, 1, 3}, "a b", {2, 1, 3});
  spoken.add({2}, "a b", {2, 1, 3});
  const Score score = score_of(std::move(spoken));
  EXPECT_EQ(score.impossible, 1);
  EXPECT_LT(score.loss, 1e-3);  // of the first alone
  EXPECT_EQ(score_record(score).at("impossible"), 1);
}

TEST(Evaluate, LogitsThatAreNotFiniteSayNothing) {
  Spoken spoken;
  spoken.add({2, 1, 3}, "a b", {2, 1, 3});
  spoken.add({2, 1, 3}, "a b", {2, 1, 3}, 0, std::numeric_limits<float>::quiet_NaN());
  spoken.add({2, 1, 3}, "a b", {2, 1, 3}, 0, std::numeric_limits<float>::infinity());
  const Score score = score_of(std::move(spoken));
  EXPECT_EQ(score.text->words.deletions, 4);
  EXPECT_EQ(score.text->words.errors(), 4);
}

TEST(Evaluate, ErrorsOfEveryDomain) {
  Spoken spoken;
  spoken.add({2, 1, 3}, "a b", {2, 1, 3}, 0);
  spoken.add({2, 1, 2}, "a b", {2, 1, 3}, 1);
  spoken.add({3}, "b", {3}, 1);
  const Score score = score_of(std::move(spoken));
  const nlohmann::json domains = score_record(score).at("domains");
  EXPECT_EQ(domains.at("clean"), 0.0);
  EXPECT_EQ(domains.at("other"), 1.0 / 3);
  EXPECT_TRUE(domains.at("none").is_null());
  EXPECT_EQ(domain_table(score.domains),
            "domain  examples     words       WER       CER\n"
            "clean          1         2    0.00 %    0.00 %\n"
            "other          2         3   33.33 %   25.00 %\n"
            "none           0         0         -         -\n");
}

TEST(DecoderOptions, ThoseWithoutEffectAreErrors) {
  const auto refused = [](const DecoderOptions& options, std::initializer_list<std::string> parts) {
    EXPECT_FALSE(options.plain());
    expect_error([&] { Decoder(options, kTokens); }, parts);
  };
  refused({.language_model = "m.arpa"}, {"--lm:", "--beam"});
  refused({.word_bonus = 1}, {"--word-bonus: 1", "--beam"});
  refused({.weight = 0.25}, {"--lm-weight: 0.25", "--lm FILE"});
  refused({.beam = 4, .weight = 0.5}, {"--lm-weight: 0.5", "--lm FILE"});
  refused({.beam = 4, .language_model = "m.arpa", .weight = 1}, {"m.arpa"});  // there is no file
  EXPECT_TRUE(DecoderOptions().plain());
  EXPECT_NO_THROW(Decoder({.beam = 4, .word_bonus = 1}, kTokens));
}

TEST(Decoder, RefusesWhatIsNotFinite) {
  std::vector<float> logits(8, 1.0f);
  for (const int64_t beam : {1, 4}) {
    const Decoder decoder({.beam = beam}, kTokens);
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      logits[5] = bad;
      expect_error([&] { decoder.text(logits.data(), 2); }, {"decoder", "finite"});
      EXPECT_NO_THROW(decoder.text(logits.data(), 1));
    }
  }
}

}  // namespace
}  // namespace minnow
