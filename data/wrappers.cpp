#include "data/wrappers.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

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

}  // namespace minnow
