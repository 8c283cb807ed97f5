#include "train/decoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/check.h"
#include "train/ctc_decode.h"

namespace minnow {
namespace {

bool has_capitals(const std::vector<std::string>& tokens) {
  // tokens[0] is the blank, whose name says nothing.
  return std::any_of(tokens.begin() + 1, tokens.end(), [](const std::string& token) {
    return std::any_of(token.begin(), token.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  });
}

/// Rows of logits as log-probabilities.
std::vector<float> log_softmax(const float* logits, int64_t frames, int64_t classes) {
  std::vector<float> result(logits, logits + frames * classes);
  for (int64_t t = 0; t < frames; ++t) {
    float* row = result.data() + t * classes;
    const float largest = *std::max_element(row, row + classes);
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(row[c] - largest);
    const auto lse = static_cast<float>(largest + std::log(sum));
    for (int64_t c = 0; c < classes; ++c) row[c] -= lse;
  }
  return result;
}

}  // namespace

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

Decoder::Decoder(DecoderOptions options, std::vector<std::string> tokens)
    : options_(std::move(options)), tokens_(std::move(tokens)) {
  check(options_.beam >= 1, "--beam: must be positive; got {}", options_.beam);
  check(tokens_.size() >= 2, "decoder: needs a blank and a token; got {}", tokens_.size());
  const bool searches = options_.beam > 1, spells = !options_.language_model.empty();
  check(searches || !spells, "--lm: a language model needs a beam search; say --beam 16");
  check(searches || options_.word_bonus == 0, "--word-bonus: {} needs a beam search; say --beam 16",
        options_.word_bonus);
  check(spells || !options_.weight, "--lm-weight: {} is of a language model; say --lm FILE.arpa",
        options_.weight.value_or(0));
  if (!spells) return;
  model_ = NgramModel::read(options_.language_model, !has_capitals(tokens_));
}

std::string Decoder::text(const float* logits, int64_t frames) const {
  const int64_t classes = std::ssize(tokens_);
  check(all_finite({logits, static_cast<size_t>(frames * classes)}),
        "decoder: the model's logits are not all finite numbers");
  if (options_.beam == 1) return text_of(greedy_path(logits, frames, classes), tokens_);
  const std::vector<float> log_probs = log_softmax(logits, frames, classes);
  const auto best = beam_search(log_probs.data(), frames, classes,
                                {.width = options_.beam,
                                 .model = model_ ? &*model_ : nullptr,
                                 .weight = options_.weight.value_or(DecoderOptions::kUsualWeight),
                                 .word_bonus = options_.word_bonus,
                                 .tokens = &tokens_});
  return best.empty() ? std::string() : text_of(best.front().tokens, tokens_);
}

}  // namespace minnow
