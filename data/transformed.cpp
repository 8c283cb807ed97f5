#include <algorithm>
#include <cmath>
#include <utility>

#include "data/wrappers.h"
#include "kernels/random.h"

namespace minnow {
namespace {

/// For every column (or row) of the result the one of the source that it shows: `out[x]` for the
/// x-th, -1 for padding.
std::vector<int64_t> crop_map(int64_t extent, int64_t shift, bool mirror, Padding padding) {
  std::vector<int64_t> map(static_cast<size_t>(extent));
  for (int64_t x = 0; x < extent; ++x) {
    int64_t from = (mirror ? extent - 1 - x : x) + shift;
    if (padding == Padding::reflect) {  // the edge itself is not repeated
      if (from < 0) from = -from;
      if (from >= extent) from = 2 * (extent - 1) - from;
    } else if (from < 0 || from >= extent) {
      from = -1;
    }
    map[static_cast<size_t>(x)] = from;
  }
  return map;
}

double channel_value(const std::vector<double>& values, int64_t channel) {
  return values.size() == 1 ? values[0] : values[static_cast<size_t>(channel)];
}

}  // namespace

Augment augment_from(std::string_view name) {
  if (name == "none") return Augment::none;
  check(name == "crop_flip", "augment: must be none or crop_flip; got {}", name);
  return Augment::crop_flip;
}

Transformed::Transformed(std::shared_ptr<const Dataset> base, TransformOptions options)
    : Wrapper(std::move(base)), options_(std::move(options)) {
  check(size() > 0, "transform: the data set is empty");
  const Tensor first = this->base().get(0, 0).input;
  check(first.dtype() == DType::uint8 && first.rank() == 3,
        "transform: pictures must be uint8 [C, H, W]; got {} {}", to_string(first.dtype()),
        to_string(first.shape()));
  const int64_t C = first.dim(0);
  for (const auto& [name, values] : {std::pair{"mean", &options_.mean}, {"std", &options_.std}}) {
    const int64_t count = static_cast<int64_t>(values->size());
    check(count == 1 || count == C,
          "transform: {} must have 1 number or {}, one per channel; got {}", name, C, count);
  }
  check(options_.pad >= 0, "transform: pad must not be negative; got {}", options_.pad);
  check(options_.padding == Padding::zero || options_.pad < std::min(first.dim(1), first.dim(2)),
        "transform: a picture {} can be reflected by less than its side; got pad = {}",
        to_string(first.shape()), options_.pad);
  for (int64_t c = 0; c < C; ++c) {
    const double mean = channel_value(options_.mean, c), std = channel_value(options_.std, c);
    check(std > 0, "transform: std must be positive; got {} of channel {}", std, c);
    std::array<float, 256>& table = tables_.emplace_back();
    for (size_t v = 0; v < 256; ++v) {
      table[v] = static_cast<float>((static_cast<double>(v) / 255.0 - mean) / std);
      check(std::isfinite(table[v]),
            "transform: mean {} and std {} of channel {} take the pixel {} beyond float32", mean,
            std, c, v);
    }
  }
}

Example Transformed::get(int64_t i, int64_t epoch) const {
  Example example = base().get(i, epoch);
  const Tensor source = std::move(example.input);
  const int64_t C = source.dim(0), H = source.dim(1), W = source.dim(2);
  check(C == static_cast<int64_t>(tables_.size()),
        "transform: example {} has {} channels, the first example has {}", example.id, C,
        tables_.size());
  int64_t down = 0, right = 0;
  bool mirror = false;
  if (options_.augment == Augment::crop_flip) {
    RandomSequence random({options_.seed, stream::augment, static_cast<uint64_t>(epoch),
                           static_cast<uint64_t>(example.id)});
    down = random.below(2 * options_.pad + 1) - options_.pad;
    right = random.below(2 * options_.pad + 1) - options_.pad;
    mirror = random.below(2) == 1;
  }
  const std::vector<int64_t> rows = crop_map(H, down, false, options_.padding);
  const std::vector<int64_t> columns = crop_map(W, right, mirror, options_.padding);
  example.input = Tensor::empty({C, H, W});
  const uint8_t* from = source.data<uint8_t>();
  float* to = example.input.data<float>();
  for (int64_t c = 0; c < C; ++c, from += H * W) {
    const std::array<float, 256>& table = tables_[static_cast<size_t>(c)];
    for (int64_t row : rows) {
      for (int64_t column : columns) {
        *to++ = table[row < 0 || column < 0 ? 0 : from[row * W + column]];
      }
    }
  }
  return example;
}

}  // namespace minnow
