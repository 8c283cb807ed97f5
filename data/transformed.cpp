#include <algorithm>
#include <cmath>
#include <utility>

#include "data/wrappers.h"
#include "kernels/random.h"

namespace minnow {
namespace {

double channel_value(const std::vector<double>& values, int64_t channel) {
  return values.size() == 1 ? values[0] : values[static_cast<size_t>(channel)];
}

}  // namespace

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
  const AugmentOptions& augment = options_.augment;
  check(augment.pad >= 0, "transform: pad must not be negative; got {}", augment.pad);
  check(augment.padding == Padding::zero || augment.pad < std::min(first.dim(1), first.dim(2)),
        "transform: a picture {} can be reflected by less than its side; got pad = {}",
        to_string(first.shape()), augment.pad);
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
  RandomSequence random({options_.seed, stream::augment, static_cast<uint64_t>(epoch),
                         static_cast<uint64_t>(example.id)});
  const Tensor picture = augmented(source, options_.augment, random);
  example.input = Tensor::empty({C, H, W});
  const uint8_t* from = picture.data<uint8_t>();
  float* to = example.input.data<float>();
  for (const std::array<float, 256>& table : tables_) {
    for (int64_t i = 0; i < H * W; ++i) *to++ = table[*from++];
  }
  if (options_.augment.augment == Augment::deit) {
    erase_part(example.input, options_.augment.erasing, random);
  }
  return example;
}

}  // namespace minnow
