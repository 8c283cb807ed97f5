#include "data/augment.h"

#include <cmath>
#include <optional>
#include <vector>

namespace minnow {
namespace {

constexpr int64_t kLargestPadded = 64;  // pixels; Crop::automatic
constexpr int kAttempts = 10;           // to draw a rectangle that fits

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

/// The picture moved up and to the left, then mirrored left-right.
Tensor moved(const Tensor& picture, int64_t up, int64_t left, bool mirror, Padding padding) {
  const int64_t C = picture.dim(0), H = picture.dim(1), W = picture.dim(2);
  const std::vector<int64_t> rows = crop_map(H, up, false, padding);
  const std::vector<int64_t> columns = crop_map(W, left, mirror, padding);
  Tensor out = Tensor::empty({C, H, W}, DType::uint8);
  const uint8_t* from = picture.data<uint8_t>();
  uint8_t* to = out.data<uint8_t>();
  for (int64_t c = 0; c < C; ++c, from += H * W) {
    for (int64_t row : rows) {
      for (int64_t column : columns) *to++ = row < 0 || column < 0 ? 0 : from[row * W + column];
    }
  }
  return out;
}

Tensor crop_flip(const Tensor& picture, const AugmentOptions& options, RandomSequence& random) {
  const int64_t up = random.below(2 * options.pad + 1) - options.pad;
  const int64_t left = random.below(2 * options.pad + 1) - options.pad;
  return moved(picture, up, left, random.below(2) == 1, options.padding);
}

/// What rectangles are drawn from: their share of the picture's area, and height / width.
struct Rectangles {
  double least_area, most_area;
  double least_ratio, most_ratio;  // uniform in the logarithm
};
constexpr Rectangles kCropped{0.08, 1, 3.0 / 4, 4.0 / 3};
constexpr Rectangles kErased{0.02, 1.0 / 3, 0.3, 1 / 0.3};

/// A rectangle at a random place of a picture H x W, at most `most_height` x `most_width`; nothing
/// where ten of them would have been larger.
std::optional<Window> draw(const Rectangles& from, int64_t H, int64_t W, int64_t most_height,
                           int64_t most_width, RandomSequence& random) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const double area =
        static_cast<double>(H * W) * random.uniform(from.least_area, from.most_area);
    const double ratio =
        std::exp(random.uniform(std::log(from.least_ratio), std::log(from.most_ratio)));
    const int64_t height = std::llround(std::sqrt(area * ratio));
    const int64_t width = std::llround(std::sqrt(area / ratio));
    if (height < 1 || width < 1 || height > most_height || width > most_width) continue;
    const int64_t top = random.below(H - height + 1);
    return Window{top, random.below(W - width + 1), height, width};
  }
  return std::nullopt;
}

Tensor resized_crop_flip(const Tensor& picture, RandomSequence& random) {
  const int64_t H = picture.dim(1), W = picture.dim(2);
  // torchvision falls back on the middle; pictures are about square here, and that is all of it.
  const Window window = draw(kCropped, H, W, H, W, random).value_or(Window{0, 0, H, W});
  const Tensor part = enlarged(picture, window);
  return random.below(2) == 1 ? moved(part, 0, 0, true, Padding::zero) : part;
}

Tensor rand_augment(Tensor picture, const AugmentOptions& options, RandomSequence& random) {
  for (int64_t k = 0; k < options.randaug_ops; ++k) {
    const auto op = static_cast<PictureOp>(random.below(std::ssize(kPictureOpNames)));
    const double magnitude =
        op_magnitude(op, options.randaug_magnitude, picture.dim(1), picture.dim(2));
    const bool negative = op_is_signed(op) && random.below(2) == 1;
    picture = apply_op(op, negative ? -magnitude : magnitude, picture);
  }
  return picture;
}

bool pads(Crop crop, const Tensor& picture) {
  if (crop != Crop::automatic) return crop == Crop::pad;
  return picture.dim(1) <= kLargestPadded && picture.dim(2) <= kLargestPadded;
}

}  // namespace

Augment augment_from(std::string_view name) {
  if (name == "none") return Augment::none;
  if (name == "crop_flip") return Augment::crop_flip;
  check(name == "deit", "augment: must be none, crop_flip or deit; got {}", name);
  return Augment::deit;
}

Crop crop_from(std::string_view name) {
  if (name == "auto") return Crop::automatic;
  if (name == "pad") return Crop::pad;
  check(name == "resized", "crop: must be auto, pad or resized; got {}", name);
  return Crop::resized;
}

Tensor augmented(const Tensor& picture, const AugmentOptions& options, RandomSequence& random) {
  if (options.augment == Augment::none) return picture;
  if (options.augment == Augment::crop_flip) return crop_flip(picture, options, random);
  Tensor cropped = pads(options.crop, picture) ? crop_flip(picture, options, random)
                                               : resized_crop_flip(picture, random);
  return rand_augment(std::move(cropped), options, random);
}

void erase_part(Tensor& picture, double chance, RandomSequence& random) {
  if (!(random.uniform() < chance)) return;
  const int64_t C = picture.dim(0), H = picture.dim(1), W = picture.dim(2);
  const std::optional<Window> window = draw(kErased, H, W, H - 1, W - 1, random);
  if (!window) return;
  for (int64_t c = 0; c < C; ++c) {
    for (int64_t y = window->top; y < window->top + window->height; ++y) {
      float* row = picture.data<float>() + (c * H + y) * W + window->left;
      for (int64_t x = 0; x < window->width; ++x) row[x] = static_cast<float>(random.normal());
    }
  }
}

}  // namespace minnow
