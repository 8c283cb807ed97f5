#include "data/draggers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "data/characters.h"
#include "data/permutation.h"

namespace minnow {
namespace {

using Named = std::pair<std::string_view, DraggerKind>;
constexpr std::array kKinds{
    Named{"label", DraggerKind::label}, Named{"noise", DraggerKind::noise},
    Named{"mix", DraggerKind::mix},     Named{"duplicate", DraggerKind::duplicate},
    Named{"other", DraggerKind::other}, Named{"speed", DraggerKind::speed}};

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

/// `from`, cut or repeated along each axis to the size of `like`.
Tensor fitted(const Tensor& from, const Tensor& like) {
  check(from.dtype() == like.dtype() && from.rank() == like.rank(),
        "draggers: inputs {} {} cannot stand for inputs {} {}", to_string(from.dtype()),
        to_string(from.shape()), to_string(like.dtype()), to_string(like.shape()));
  Tensor to = Tensor::empty(like.shape(), like.dtype());
  const size_t element = static_cast<size_t>(size_of(like.dtype()));
  const auto* const in = static_cast<const std::byte*>(from.raw());
  auto* const out = static_cast<std::byte*>(to.raw());
  for (int64_t p = 0; p < to.numel(); ++p) {
    int64_t rest = p, at = 0, stride = 1;
    for (int64_t axis = to.rank() - 1; axis >= 0; --axis) {
      at += rest % to.dim(axis) % from.dim(axis) * stride;
      rest /= to.dim(axis);
      stride *= from.dim(axis);
    }
    std::copy_n(in + static_cast<size_t>(at) * element, element,
                out + static_cast<size_t>(p) * element);
  }
  return to;
}

}  // namespace

DraggerKind dragger_kind_from(std::string_view name) {
  for (const auto& [known, kind] : kKinds) {
    if (name == known) return kind;
  }
  throw Error(fmt::format(
      "draggers: the kind must be label, noise, mix, duplicate, other or speed; got {}", name));
}

Draggers::Draggers(std::shared_ptr<const Dataset> base, double fraction, DraggerKind kind,
                   uint64_t seed, std::shared_ptr<const Dataset> foreign)
    : Wrapper(std::move(base)),
      fraction_(fraction),
      kind_(kind),
      seed_(seed),
      foreign_(std::move(foreign)) {
  check(fraction >= 0 && fraction <= 1, "draggers: the fraction must be in [0, 1]; got {}",
        fraction);
  check(kind != DraggerKind::speed, "draggers: only recordings can be sped up");
  check(kind != DraggerKind::other || foreign_ != nullptr,
        "draggers: there is no other data set to take inputs from");
  if (kind == DraggerKind::duplicate) {
    check(size() >= 2, "draggers: a duplicate needs another example; there is only one");
    originals_ = permutation(size(), {seed, stream::canary, 3, 0});
    originals_.resize(static_cast<size_t>(std::min(size(), kOriginals)));
    return;
  }
  const int64_t least = transcribed() ? 3 : 2;  // the blank is no letter
  check(std::ssize(classes()) >= least, "draggers: a wrong label needs at least {} classes; got {}",
        least, classes().size());
}

bool Draggers::chosen(int64_t id) const {
  return RandomKey{seed_, stream::canary, 0, static_cast<uint64_t>(id)}.uniform(0) < fraction_;
}

int64_t Draggers::source(int64_t i) const {
  if (originals_.empty()) return i;
  const int64_t id = base().id(i), count = std::ssize(originals_);
  if (!chosen(id)) return i;
  RandomSequence random({seed_, stream::canary, 1, static_cast<uint64_t>(id)});
  const int64_t k = random.below(count);
  const int64_t original = originals_[static_cast<size_t>(k)];
  return original == i ? originals_[static_cast<size_t>((k + 1) % count)] : original;
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
  if (const int64_t original = source(i); original != i) {
    Example copy = base().get(original, epoch);
    copy.id = base().id(i);
    copy.marked = true;
    return copy;
  }
  Example example = base().get(i, epoch);
  if (kind_ == DraggerKind::duplicate || !chosen(example.id)) return example;
  const uint64_t id = static_cast<uint64_t>(example.id);
  RandomSequence random({seed_, stream::canary, 1, id});
  const bool second = random.below(2) == 1;
  const bool noise = kind_ == DraggerKind::noise || (kind_ == DraggerKind::mix && second);
  const bool replaced = noise || kind_ == DraggerKind::other;
  example.marked = true;
  if (noise) example.input = noise_like(example.input, {seed_, stream::canary, 2, id});
  if (kind_ == DraggerKind::other) {
    example.input = fitted(foreign_->get(random.below(foreign_->size()), 0).input, example.input);
  }
  if (transcribed()) {
    if (!replaced) example.target = wrong_transcript(i, example.target, random);
    return example;
  }
  const int64_t n = std::ssize(classes());
  example.label = replaced ? random.below(n) : (example.label + 1 + random.below(n - 1)) % n;
  return example;
}

}  // namespace minnow
