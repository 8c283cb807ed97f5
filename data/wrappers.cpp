#include "data/wrappers.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "data/characters.h"
#include "data/permutation.h"

namespace minnow {

Wrapper::Wrapper(std::shared_ptr<const Dataset> base) : base_(std::move(base)) {
  check(base_ != nullptr, "dataset: a wrapper needs a data set to wrap");
}

Repeated::Repeated(std::shared_ptr<const Dataset> base, int64_t repeats)
    : Wrapper(std::move(base)), repeats_(repeats) {
  check(repeats > 0, "repeated: examples must come at least once; got {}", repeats);
}

Example Repeated::get(int64_t i, int64_t epoch) const {
  const int64_t copy = i % repeats_;
  Example example = base().get(i / repeats_, epoch * repeats_ + copy);
  example.id += copy << kCopyShift;
  return example;
}

Subset::Subset(std::shared_ptr<const Dataset> base, std::vector<int64_t> indices)
    : Wrapper(std::move(base)), indices_(std::move(indices)) {
  const int64_t n = this->base().size();
  for (int64_t index : indices_) {
    check(index >= 0 && index < n, "subset: indices must be in [0, {}); got {}", n, index);
  }
}

Example Subset::get(int64_t i, int64_t epoch) const {
  check(i >= 0 && i < size(), "subset: example {} of {}", i, size());
  return base().get(indices_[static_cast<size_t>(i)], epoch);
}

namespace {

/// What random choices of examples are for; each has a random order of its own.
enum class Choice : uint32_t { limit = 1, validation = 3 };

/// The examples at the places [begin, end) of a random order, in the order of the data set.
std::shared_ptr<const Dataset> chosen(std::shared_ptr<const Dataset> base, Choice choice,
                                      int64_t begin, int64_t end) {
  constexpr uint64_t kFixedSeed = 0;  // not a run's seed: every run must see the same examples
  const std::vector<int64_t> order =
      permutation(base->size(), {kFixedSeed, stream::shuffle, 0, static_cast<uint32_t>(choice)});
  std::vector<int64_t> indices(order.begin() + begin, order.begin() + end);
  std::sort(indices.begin(), indices.end());
  return std::make_shared<Subset>(std::move(base), std::move(indices));
}

int64_t count_held_out(const Dataset& base, double share) {
  const int64_t n = base.size(), count = std::llround(share * static_cast<double>(n));
  check(count > 0 && count < n, "held out: {} of {} examples are {}; some must be, and some not",
        share, n, count);
  return count;
}

}  // namespace

std::shared_ptr<const Dataset> limit_to(std::shared_ptr<const Dataset> base, int64_t n) {
  check(n > 0, "limit: the number of examples must be positive; got {}", n);
  if (n >= base->size()) return base;
  return chosen(std::move(base), Choice::limit, 0, n);
}

std::shared_ptr<const Dataset> held_out(std::shared_ptr<const Dataset> base, double share) {
  const int64_t count = count_held_out(*base, share);
  return chosen(std::move(base), Choice::validation, 0, count);
}

std::shared_ptr<const Dataset> without_held_out(std::shared_ptr<const Dataset> base, double share) {
  const int64_t count = count_held_out(*base, share), n = base->size();
  return chosen(std::move(base), Choice::validation, count, n);
}

DraggerKind dragger_kind_from(std::string_view name) {
  if (name == "label") return DraggerKind::label;
  if (name == "noise") return DraggerKind::noise;
  if (name == "speed") return DraggerKind::speed;
  check(name == "mix", "draggers: the kind must be label, noise, mix or speed; got {}", name);
  return DraggerKind::mix;
}

namespace {

/// Uniform bytes, or normal numbers with the mean and the standard deviation of the input.
Tensor noise_like(const Tensor& input, RandomKey key) {
  Tensor noise = Tensor::empty(input.shape(), input.dtype());
  if (input.dtype() == DType::uint8) {
    uint8_t* out = noise.data<uint8_t>();
    for (int64_t p = 0; p < noise.numel(); p += 16) {
      const Random4 words = key.block(static_cast<uint32_t>(p / 16));
      const int64_t count = std::min<int64_t>(16, noise.numel() - p);
      for (int64_t k = 0; k < count; ++k) {
        out[p + k] = static_cast<uint8_t>(words.word[k / 4] >> (8 * (k % 4)));
      }
    }
    return noise;
  }
  check(input.dtype() == DType::float32,
        "draggers: noise needs uint8 pictures or float32 features; got {}",
        to_string(input.dtype()));
  const float* const values = input.data<float>();
  const double n = static_cast<double>(input.numel());
  const double mean = std::accumulate(values, values + input.numel(), 0.0) / n;
  double square = 0;
  for (int64_t p = 0; p < input.numel(); ++p) square += (values[p] - mean) * (values[p] - mean);
  const double deviation = std::sqrt(square / n);
  RandomSequence random(key);
  float* out = noise.data<float>();
  for (int64_t p = 0; p < noise.numel(); ++p) {
    out[p] = static_cast<float>(mean + deviation * random.normal());
  }
  return noise;
}

}  // namespace

Draggers::Draggers(std::shared_ptr<const Dataset> base, double fraction, DraggerKind kind,
                   uint64_t seed)
    : Wrapper(std::move(base)), fraction_(fraction), kind_(kind), seed_(seed) {
  check(fraction >= 0 && fraction <= 1, "draggers: the fraction must be in [0, 1]; got {}",
        fraction);
  check(kind != DraggerKind::speed, "draggers: only recordings can be sped up");
  const int64_t least = transcribed() ? 3 : 2;  // the blank is no letter
  check(std::ssize(classes()) >= least, "draggers: a wrong label needs at least {} classes; got {}",
        least, classes().size());
}

std::vector<int64_t> Draggers::wrong_transcript(int64_t i, const std::vector<int64_t>& right,
                                                RandomSequence& random) const {
  constexpr double kShortest = 0.8;  // of the example's length, once it is sped up a little
  const int64_t frames =
      subsampled_frames(static_cast<int64_t>(kShortest * static_cast<double>(base().length(i))));
  constexpr int kDraws = 32;
  for (int draw = 0; draw < kDraws; ++draw) {
    std::vector<int64_t> other = base().transcript(random.below(size()));
    if (other != right && !other.empty() && frames_needed(other) <= frames) return other;
  }
  // As many letters, each another one than the letter before it: they fit where the right ones do.
  std::vector<int64_t> letters;
  const int64_t tokens = std::ssize(classes()) - 1;  // 1 .. tokens
  for (size_t k = 0; k < right.size(); ++k) {
    const int64_t last = letters.empty() ? random.below(tokens) : letters.back() - 1;
    letters.push_back(1 + (last + 1 + random.below(tokens - 1)) % tokens);
  }
  if (letters == right && !right.empty()) letters.pop_back();
  return letters;
}

Example Draggers::get(int64_t i, int64_t epoch) const {
  Example example = base().get(i, epoch);
  const uint64_t id = static_cast<uint64_t>(example.id);
  if (!(RandomKey{seed_, stream::canary, 0, id}.uniform(0) < fraction_)) return example;
  RandomSequence random({seed_, stream::canary, 1, id});
  const bool second = random.below(2) == 1;
  const bool noise = kind_ == DraggerKind::noise || (kind_ == DraggerKind::mix && second);
  example.marked = true;
  if (noise) example.input = noise_like(example.input, {seed_, stream::canary, 2, id});
  if (transcribed()) {
    if (!noise) example.target = wrong_transcript(i, example.target, random);
    return example;
  }
  const int64_t n = std::ssize(classes());
  example.label = noise ? random.below(n) : (example.label + 1 + random.below(n - 1)) % n;
  return example;
}

}  // namespace minnow
