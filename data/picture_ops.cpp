#include "data/picture_ops.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

// This library is compiled without contraction of a * b + c: what Pillow rounds twice is rounded
// twice here.

namespace minnow {
namespace {

using Lookup = std::array<uint8_t, 256>;
using Histogram = std::array<int64_t, 256>;

Lookup unchanged() {
  Lookup table;
  std::iota(table.begin(), table.end(), uint8_t{0});
  return table;
}

Histogram count(const uint8_t* plane, int64_t pixels) {
  Histogram histogram{};
  for (int64_t i = 0; i < pixels; ++i) ++histogram[plane[i]];
  return histogram;
}

/// Each channel through the table that `make_table` makes of its histogram.
template <typename Make>
Tensor look_up(const Tensor& picture, Make make_table) {
  Tensor out = Tensor::empty(picture.shape(), DType::uint8);
  const int64_t C = picture.dim(0), pixels = picture.dim(1) * picture.dim(2);
  for (int64_t c = 0; c < C; ++c) {
    const uint8_t* from = picture.data<uint8_t>() + c * pixels;
    uint8_t* to = out.data<uint8_t>() + c * pixels;
    const Lookup table = make_table(from, pixels);
    for (int64_t i = 0; i < pixels; ++i) to[i] = table[from[i]];
  }
  return out;
}

Tensor posterize(const Tensor& picture, int64_t bits) {
  check(bits >= 1 && bits <= 8, "posterize: keeps 1 to 8 bits; got {}", bits);
  Lookup table = unchanged();
  for (uint8_t& value : table) value = static_cast<uint8_t>(value & (0xff << (8 - bits)));
  return look_up(picture, [&](auto...) { return table; });
}

Tensor solarize(const Tensor& picture, double threshold) {
  Lookup table = unchanged();
  for (uint8_t& value : table) {
    if (value >= threshold) value = static_cast<uint8_t>(255 - value);
  }
  return look_up(picture, [&](auto...) { return table; });
}

/// The darkest value to 0, the brightest to 255.
Tensor autocontrast(const Tensor& picture) {
  return look_up(picture, [](const uint8_t* plane, int64_t pixels) {
    const auto [low, high] = std::minmax_element(plane, plane + pixels);
    Lookup table = unchanged();
    if (*low == *high) return table;
    const double scale = 255.0 / (*high - *low), offset = -*low * scale;
    for (uint8_t& value : table) {
      value = static_cast<uint8_t>(std::clamp(value * scale + offset, 0.0, 255.0));
    }
    return table;
  });
}

/// Each value to the share of pixels below it.
Tensor equalize(const Tensor& picture) {
  return look_up(picture, [](const uint8_t* plane, int64_t pixels) {
    const Histogram histogram = count(plane, pixels);
    const int64_t brightest = histogram[*std::max_element(plane, plane + pixels)];
    const int64_t step = (pixels - brightest) / 255;
    Lookup table = unchanged();
    if (step == 0) return table;  // of one value, or too small
    int64_t below = step / 2;
    for (size_t v = 0; v < 256; ++v) {
      table[v] = static_cast<uint8_t>(std::min<int64_t>(below / step, 255));
      below += histogram[v];
    }
    return table;
  });
}

/// other + factor (picture - other), rounded towards 0, at most 255: past the picture where factor
/// is above 1. `other(c, i)` is the other picture's pixel i of channel c.
template <typename Other>
Tensor blend(const Tensor& picture, double factor, Other other) {
  const auto alpha = static_cast<float>(factor);
  Tensor out = Tensor::empty(picture.shape(), DType::uint8);
  const int64_t C = picture.dim(0), pixels = picture.dim(1) * picture.dim(2);
  const uint8_t* from = picture.data<uint8_t>();
  uint8_t* to = out.data<uint8_t>();
  for (int64_t c = 0; c < C; ++c, from += pixels, to += pixels) {
    for (int64_t i = 0; i < pixels; ++i) {
      const int start = other(c, i);
      const float value = static_cast<float>(start) + alpha * static_cast<float>(from[i] - start);
      to[i] = static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
    }
  }
  return out;
}

/// Luma (ITU-R 601) of each pixel, in 16-bit fixed point; a grey picture is its own.
std::vector<uint8_t> grey(const Tensor& picture) {
  const int64_t pixels = picture.dim(1) * picture.dim(2);
  const uint8_t* r = picture.data<uint8_t>();
  if (picture.dim(0) == 1) return {r, r + pixels};
  const uint8_t *g = r + pixels, *b = g + pixels;
  std::vector<uint8_t> luma(static_cast<size_t>(pixels));
  for (int64_t i = 0; i < pixels; ++i) {
    const uint32_t sum = 19595u * r[i] + 38470u * g[i] + 7471u * b[i] + 0x8000u;
    luma[static_cast<size_t>(i)] = static_cast<uint8_t>(sum >> 16);
  }
  return luma;
}

Tensor color(const Tensor& picture, double factor) {
  const std::vector<uint8_t> luma = grey(picture);
  return blend(picture, factor, [&](int64_t, int64_t i) { return luma[static_cast<size_t>(i)]; });
}

Tensor contrast(const Tensor& picture, double factor) {
  const std::vector<uint8_t> luma = grey(picture);
  const auto sum = static_cast<double>(std::accumulate(luma.begin(), luma.end(), int64_t{0}));
  const int mean = static_cast<int>(std::lround(sum / static_cast<double>(luma.size())));
  return blend(picture, factor, [&](int64_t, int64_t) { return mean; });
}

/// Towards or away from the picture smoothed by (1 1 1, 1 5 1, 1 1 1) / 13, whose margin of one
/// pixel is that of the picture.
Tensor sharpness(const Tensor& picture, double factor) {
  const int64_t H = picture.dim(1), W = picture.dim(2);
  return blend(picture, factor, [&](int64_t c, int64_t i) -> int {
    const uint8_t* at = picture.data<uint8_t>() + c * H * W + i;
    const int64_t y = i / W, x = i % W;
    if (y == 0 || y == H - 1 || x == 0 || x == W - 1) return *at;
    int sum = 4 * *at;
    for (int64_t row = -W; row <= W; row += W) sum += at[row - 1] + at[row] + at[row + 1];
    return (2 * sum + 13) / 26;  // to the nearest; a half does not occur
  });
}

/// Where the pixel (x, y) of the result comes from, both measured from corners:
/// (xx x + xy y + x0, yx x + yy y + y0).
struct Affine {
  double xx = 1, xy = 0, x0 = 0, yx = 0, yy = 1, y0 = 0;
};

/// Nearest pixel, in 16-bit fixed point.
Tensor transform(const Tensor& picture, const Affine& m) {
  const auto fixed = [](double value) {
    return static_cast<int64_t>(std::floor(value * 65536.0 + 0.5));
  };
  const int64_t C = picture.dim(0), H = picture.dim(1), W = picture.dim(2);
  const int64_t xx = fixed(m.xx), xy = fixed(m.xy), yx = fixed(m.yx), yy = fixed(m.yy);
  int64_t row_x = fixed(m.x0 + m.xx * 0.5 + m.xy * 0.5);  // of the middle of the first pixel
  int64_t row_y = fixed(m.y0 + m.yx * 0.5 + m.yy * 0.5);
  Tensor out = Tensor::zeros(picture.shape(), DType::uint8);
  const uint8_t* from = picture.data<uint8_t>();
  uint8_t* to = out.data<uint8_t>();
  for (int64_t y = 0; y < H; ++y, row_x += xy, row_y += yy) {
    int64_t at_x = row_x, at_y = row_y;
    for (int64_t x = 0; x < W; ++x, at_x += xx, at_y += yx) {
      const int64_t sx = at_x >> 16, sy = at_y >> 16;
      if (sx < 0 || sx >= W || sy < 0 || sy >= H) continue;
      for (int64_t c = 0; c < C; ++c) to[(c * H + y) * W + x] = from[(c * H + sy) * W + sx];
    }
  }
  return out;
}

/// Counter-clockwise about the centre.
Tensor rotate(const Tensor& picture, double degrees) {
  if (degrees == 0) return picture;
  const double angle = -(degrees - 360 * std::floor(degrees / 360)) * (std::numbers::pi / 180);
  const double x = static_cast<double>(picture.dim(2)) / 2;
  const double y = static_cast<double>(picture.dim(1)) / 2;
  const double c = std::cos(angle), s = std::sin(angle);
  return transform(picture, {c, s, -c * x - s * y + x, -s, c, s * x - c * y + y});
}

/// Where a pixel of the enlarged picture comes from along one axis: `low` and its neighbour.
struct Tap {
  int64_t low, high;
  int32_t low_weight, high_weight;  // parts of 2^kWeightBits
};
constexpr int kWeightBits = 22;

std::vector<Tap> bilinear_taps(int64_t from, int64_t to) {
  const auto weight = [](double w) {
    return static_cast<int32_t>(std::lround(w * (1 << kWeightBits)));
  };
  std::vector<Tap> taps;
  for (int64_t x = 0; x < to; ++x) {
    const double scale = static_cast<double>(from) / static_cast<double>(to);
    const double at = (static_cast<double>(x) + 0.5) * scale - 0.5;  // from the first's middle
    const double low = std::floor(at), high_share = at - low;
    Tap tap{static_cast<int64_t>(low), static_cast<int64_t>(low) + 1, weight(1 - high_share),
            weight(high_share)};
    if (tap.low < 0) tap = {0, 0, weight(1), 0};
    if (tap.high >= from) tap = {from - 1, from - 1, weight(1), 0};
    taps.push_back(tap);
  }
  return taps;
}

uint8_t weighted(uint8_t low, uint8_t high, const Tap& tap) {
  const int32_t half = 1 << (kWeightBits - 1);
  const int32_t sum = low * tap.low_weight + high * tap.high_weight + half;
  return static_cast<uint8_t>(std::min(sum >> kWeightBits, 255));
}

void check_picture(const Tensor& picture) {
  check(picture.dtype() == DType::uint8 && picture.rank() == 3 &&
            (picture.dim(0) == 1 || picture.dim(0) == 3) && picture.numel() > 0,
        "augment: pictures must be uint8 [C, H, W] with C = 1 or 3; got {} {}",
        to_string(picture.dtype()), to_string(picture.shape()));
}

}  // namespace

double op_magnitude(PictureOp op, int64_t bin, int64_t H, int64_t W) {
  check(bin >= 0 && bin < kStrengths, "augment: strengths are 0 to {}; got {}", kStrengths - 1,
        bin);
  const double share = static_cast<double>(bin) / (kStrengths - 1);
  const double furthest = 150.0 / 331.0;  // of the side; 150 of 331 pixels in arXiv 1805.09501
  switch (op) {
    case PictureOp::shear_x:
    case PictureOp::shear_y:
      return 0.3 * share;
    case PictureOp::translate_x:
      return furthest * static_cast<double>(W) * share;
    case PictureOp::translate_y:
      return furthest * static_cast<double>(H) * share;
    case PictureOp::rotate:
      return 30 * share;
    case PictureOp::brightness:
    case PictureOp::color:
    case PictureOp::contrast:
    case PictureOp::sharpness:
      return 0.9 * share;
    case PictureOp::posterize:
      return 8 - std::nearbyint(4 * share);
    case PictureOp::solarize:
      return 255 * (1 - share);
    case PictureOp::identity:
    case PictureOp::autocontrast:
    case PictureOp::equalize:
      break;
  }
  return 0;
}

bool op_is_signed(PictureOp op) {
  return op >= PictureOp::shear_x && op <= PictureOp::sharpness;
}

Tensor apply_op(PictureOp op, double magnitude, const Tensor& picture) {
  check_picture(picture);
  switch (op) {
    case PictureOp::identity:
      return picture;
    case PictureOp::shear_x:
      return transform(picture, {.xy = magnitude});
    case PictureOp::shear_y:
      return transform(picture, {.yx = magnitude});
    case PictureOp::translate_x:
      return transform(picture, {.x0 = -std::trunc(magnitude)});
    case PictureOp::translate_y:
      return transform(picture, {.y0 = -std::trunc(magnitude)});
    case PictureOp::rotate:
      return rotate(picture, magnitude);
    case PictureOp::brightness:
      return blend(picture, 1 + magnitude, [](int64_t, int64_t) { return 0; });
    case PictureOp::color:
      return color(picture, 1 + magnitude);
    case PictureOp::contrast:
      return contrast(picture, 1 + magnitude);
    case PictureOp::sharpness:
      return sharpness(picture, 1 + magnitude);
    case PictureOp::posterize:
      return posterize(picture, static_cast<int64_t>(magnitude));
    case PictureOp::solarize:
      return solarize(picture, magnitude);
    case PictureOp::autocontrast:
      return autocontrast(picture);
    case PictureOp::equalize:
      return equalize(picture);
  }
  return picture;
}

Tensor enlarged(const Tensor& picture, const Window& window) {
  check_picture(picture);
  const int64_t C = picture.dim(0), H = picture.dim(1), W = picture.dim(2);
  check(window.top >= 0 && window.left >= 0 && window.height > 0 && window.width > 0 &&
            window.top + window.height <= H && window.left + window.width <= W,
        "augment: a window of {} x {} at ({}, {}) does not lie in a picture of {} x {}",
        window.height, window.width, window.top, window.left, H, W);
  const std::vector<Tap> rows = bilinear_taps(window.height, H);
  const std::vector<Tap> columns = bilinear_taps(window.width, W);
  std::vector<uint8_t> wide(static_cast<size_t>(window.height * W));  // enlarged along rows only
  Tensor out = Tensor::empty(picture.shape(), DType::uint8);
  uint8_t* to = out.data<uint8_t>();
  for (int64_t c = 0; c < C; ++c) {
    uint8_t* wide_to = wide.data();
    for (int64_t y = 0; y < window.height; ++y) {
      const uint8_t* row = picture.data<uint8_t>() + (c * H + window.top + y) * W + window.left;
      for (const Tap& tap : columns) *wide_to++ = weighted(row[tap.low], row[tap.high], tap);
    }
    for (const Tap& tap : rows) {
      const uint8_t *low = wide.data() + tap.low * W, *high = wide.data() + tap.high * W;
      for (int64_t x = 0; x < W; ++x) *to++ = weighted(low[x], high[x], tap);
    }
  }
  return out;
}

}  // namespace minnow
