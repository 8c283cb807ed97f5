#include "data/wrappers.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/permutation.h"
#include "kernels/random.h"

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

std::shared_ptr<const Dataset> limit_to(std::shared_ptr<const Dataset> base, int64_t n) {
  check(n > 0, "limit: the number of examples must be positive; got {}", n);
  if (n >= base->size()) return base;
  constexpr uint64_t kFixedSeed = 0;  // not a run's seed: every run must see the same examples
  std::vector<int64_t> chosen = permutation(base->size(), {kFixedSeed, stream::shuffle, 0, 1});
  chosen.resize(static_cast<size_t>(n));
  std::sort(chosen.begin(), chosen.end());
  return std::make_shared<Subset>(std::move(base), std::move(chosen));
}

DraggerKind dragger_kind_from(std::string_view name) {
  if (name == "label") return DraggerKind::label;
  if (name == "noise") return DraggerKind::noise;
  check(name == "mix", "draggers: the kind must be label, noise or mix; got {}", name);
  return DraggerKind::mix;
}

Draggers::Draggers(std::shared_ptr<const Dataset> base, double fraction, DraggerKind kind,
                   uint64_t seed)
    : Wrapper(std::move(base)), fraction_(fraction), kind_(kind), seed_(seed) {
  check(fraction >= 0 && fraction <= 1, "draggers: the fraction must be in [0, 1]; got {}",
        fraction);
  check(classes().size() >= 2, "draggers: a wrong label needs at least 2 classes; got {}",
        classes().size());
}

Example Draggers::get(int64_t i, int64_t epoch) const {
  Example example = base().get(i, epoch);
  const RandomKey key{seed_, stream::canary, 0, static_cast<uint64_t>(example.id)};
  if (!(key.uniform(0) < fraction_)) return example;
  RandomSequence random({seed_, stream::canary, 1, static_cast<uint64_t>(example.id)});
  const bool noise = random.below(2) == 1;
  const int64_t n = static_cast<int64_t>(classes().size());
  example.marked = true;
  if (kind_ == DraggerKind::label || (kind_ == DraggerKind::mix && !noise)) {
    example.label = (example.label + 1 + random.below(n - 1)) % n;
    return example;
  }
  example.label = random.below(n);
  check(example.input.dtype() == DType::uint8, "draggers: noise needs uint8 pictures; got {}",
        to_string(example.input.dtype()));
  Tensor pixels = Tensor::empty(example.input.shape(), DType::uint8);
  const RandomKey noise_key{seed_, stream::canary, 2, static_cast<uint64_t>(example.id)};
  uint8_t* out = pixels.data<uint8_t>();
  for (int64_t p = 0; p < pixels.numel(); p += 16) {
    const Random4 words = noise_key.block(static_cast<uint32_t>(p / 16));
    const int64_t count = std::min<int64_t>(16, pixels.numel() - p);
    for (int64_t k = 0; k < count; ++k) {
      out[p + k] = static_cast<uint8_t>(words.word[k / 4] >> (8 * (k % 4)));
    }
  }
  example.input = std::move(pixels);
  return example;
}

}  // namespace minnow
