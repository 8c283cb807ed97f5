#include "data/tones.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "kernels/random.h"

namespace minnow {
namespace {

constexpr int64_t kLetters = 8;
constexpr int64_t kBlank = 1, kFirstLetter = 2;  // tokens
// Hz; of each one a letter. Neighbours are a third apart, the pitch moves by a twentieth.
constexpr double kLow[] = {500, 700, 950}, kHigh[] = {1400, 1900, 2600};
constexpr double kPitch = 0.05;
constexpr double kRamp = 0.008;  // seconds, in which a note comes and goes

/// How loud a note is at one of its samples: 0 at both ends, 1 but for the ramps.
double envelope(int64_t from_end, double rate) {
  const double share = std::min(1.0, static_cast<double>(from_end) / (kRamp * rate));
  return 0.5 - 0.5 * std::cos(std::numbers::pi * share);
}

}  // namespace

Tones::Tones(Split split, int64_t count, SpeechOptions options)
    : split_(split), count_(count), options_(std::move(options)), cache_(options_.cache_bytes) {
  check(count > 0 && count < kFirstTestId, "tones: the number of sounds must be positive; got {}",
        count);
  check_options(options_);
  check(options_.tokens == "characters", "data.tokens: those of tones are characters; got {}",
        options_.tokens);
  check(options_.rate >= 8000, "data.rate: tones needs at least 8000; got {}", options_.rate);
}

const std::vector<std::string>& Tones::classes() const {
  static const std::vector<std::string> names{"<blank>", " ", "a", "b", "c",
                                              "d",       "e", "f", "g", "h"};
  return names;
}

/// All that is random about a sound but for its noise.
Tones::Score Tones::compose(int64_t id) const {
  RandomSequence random({options_.data_seed, stream::synthesise, 0, static_cast<uint64_t>(id)});
  const auto samples = [&](double least, double most) {
    return std::llround(random.uniform(least, most) * static_cast<double>(options_.rate));
  };
  Score score;
  const double pitch = random.uniform(1 - kPitch, 1 + kPitch);
  const double loudness = random.uniform(0.05, 0.3);
  score.noise_db = random.uniform(10, 30);
  score.samples = samples(0.03, 0.15);
  const int64_t words = 1 + random.below(3);
  for (int64_t word = 0; word < words; ++word) {
    if (word > 0) {
      const int64_t pause = samples(0.12, 0.2);
      score.notes.push_back({.token = kBlank, .begin = score.samples});
      score.notes.back().end = score.samples += pause;
    }
    const int64_t letters = 2 + random.below(4);
    for (int64_t k = 0; k < letters; ++k) {
      const int64_t letter = random.below(kLetters);
      const int64_t begin = score.samples + samples(0.025, 0.05);
      score.samples = begin + samples(0.06, 0.12);
      score.notes.push_back({.token = kFirstLetter + letter,
                             .begin = begin,
                             .end = score.samples,
                             .low = pitch * kLow[letter % 3],
                             .high = pitch * kHigh[letter / 3],
                             .loudness = loudness * random.uniform(0.7, 1.3)});
    }
  }
  score.samples += samples(0.06, 0.15);
  return score;
}

Tensor Tones::perform(const Score& score, int64_t id) const {
  const double rate = static_cast<double>(options_.rate);
  Audio audio{std::vector<float>(static_cast<size_t>(score.samples)), options_.rate};
  for (const Note& note : score.notes) {
    if (note.token == kBlank) continue;
    for (int64_t t = note.begin; t < note.end; ++t) {
      const double turn = 2 * std::numbers::pi * static_cast<double>(t - note.begin) / rate;
      const double wave = std::sin(turn * note.low) + std::sin(turn * note.high);
      const double loud = note.loudness * envelope(std::min(t - note.begin, note.end - t), rate);
      audio.samples[static_cast<size_t>(t)] = static_cast<float>(loud * wave);
    }
  }
  const bool chosen = split_ == Split::test && std::isfinite(options_.noise_db);
  add_noise(audio, chosen ? options_.noise_db : score.noise_db,
            {options_.data_seed, stream::synthesise, 1, static_cast<uint64_t>(id)});
  return speech_features(audio, options_);
}

int64_t Tones::length(int64_t i) const {
  return speech_frames(compose(id(i)).samples, options_);
}

std::vector<int64_t> Tones::transcript(int64_t i) const {
  std::vector<int64_t> target;
  for (const Note& note : compose(id(i)).notes) target.push_back(note.token);
  return target;
}

Example Tones::get(int64_t i, int64_t epoch) const {
  check(i >= 0 && i < size(), "tones: example {} of {}", i, size());
  const int64_t id = this->id(i);
  Tensor input = cache_.get({id, 1}, [&] { return perform(compose(id), id); });
  if (split_ == Split::train && options_.augment && options_.spec_augment) {
    input = masked_features(input, options_, epoch, id);
  }
  std::vector<int64_t> target = transcript(i);
  std::string text;
  for (const int64_t token : target) text += classes()[static_cast<size_t>(token)];
  return {
      .input = std::move(input), .id = id, .target = std::move(target), .text = std::move(text)};
}

}  // namespace minnow
