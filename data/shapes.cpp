#include "data/shapes.h"

#include <algorithm>
#include <cmath>

#include "kernels/random.h"

namespace minnow {
namespace {

enum Figure {
  kDisc,
  kSquare,
  kTriangle,
  kRing,
  kCross,
  kHorizontalStripes,
  kVerticalStripes,
  kDiagonalStripes,
  kCheckerboard,
  kDots,
  kFigures
};

/// What is random about one picture; lengths in pixels, colours and noise in 0..255.
struct Scene {
  Figure figure = kDisc;
  float centre_x = 0, centre_y = 0;
  float radius = 0;
  float cosine = 1, sine = 0;  // of the angle by which the figure is turned
  float period = 0;            // of stripes, checks and dots
  float phase_x = 0, phase_y = 0;
  float back[3] = {};  // at the middle of the picture
  float fore[3] = {};
  float slope = 0;  // of the background's brightness, per pixel
  float noise = 0;  // standard deviation
};

/// Background and figure must differ by 90 of 255 in the mean over the channels, so that every
/// picture can be told.
void draw_colours(RandomSequence& random, Scene& scene) {
  float distance = 0;
  while (distance < 3 * 90) {
    distance = 0;
    for (int c = 0; c < 3; ++c) {
      scene.back[c] = static_cast<float>(random.uniform(0, 255));
      scene.fore[c] = static_cast<float>(random.uniform(0, 255));
      distance += std::abs(scene.back[c] - scene.fore[c]);
    }
  }
}

Scene draw_scene(RandomSequence& random, double side) {
  Scene scene;
  scene.figure = static_cast<Figure>(random.below(kFigures));
  const double radius = random.uniform(0.26, 0.42) * side;
  scene.radius = static_cast<float>(radius);
  const double play = std::max(0.5 * side - 0.9 * radius, 0.0);
  scene.centre_x = static_cast<float>(0.5 * side + random.uniform(-play, play));
  scene.centre_y = static_cast<float>(0.5 * side + random.uniform(-play, play));
  // Stripes are told apart by their direction: textures turn by up to 10 degrees only, figures
  // by 25.
  const double angle = random.uniform(-1, 1) * (scene.figure >= kHorizontalStripes ? 0.17 : 0.44);
  scene.cosine = static_cast<float>(std::cos(angle));
  scene.sine = static_cast<float>(std::sin(angle));
  scene.period = static_cast<float>(random.uniform(0.13, 0.2) * side);
  scene.phase_x = static_cast<float>(random.uniform()) * scene.period;
  scene.phase_y = static_cast<float>(random.uniform()) * scene.period;
  // Both diagonals are one class, so that a flip keeps every label.
  if (scene.figure == kDiagonalStripes && random.uniform() < 0.5) scene.phase_x = -scene.phase_x;
  draw_colours(random, scene);
  scene.slope = static_cast<float>(random.uniform(-40, 40) / side);
  scene.noise = static_cast<float>(random.uniform(3, 15));
  return scene;
}

/// How far x lies inside the marked half of each period; negative in the other half.
float wave(float x, float period) {
  const float t = x - period * std::floor(x / period);
  return 0.25f * period - std::abs(t - 0.5f * period);
}

/// The texture of a figure at (x, y): positive where it is marked.
float texture(const Scene& s, float x, float y) {
  const float phase = std::abs(s.phase_x);
  switch (s.figure) {
    case kHorizontalStripes:
      return wave(y + phase, s.period);
    case kVerticalStripes:
      return wave(x + phase, s.period);
    case kDiagonalStripes:
      return wave(0.70710678f * (s.phase_x < 0 ? x - y : x + y) + phase, s.period);
    case kCheckerboard: {
      const float a = wave(x + phase, 1.5f * s.period), b = wave(y + s.phase_y, 1.5f * s.period);
      const float size = std::min(std::abs(a), std::abs(b));
      return (a > 0) != (b > 0) ? size : -size;
    }
    default: {  // dots
      const float a = wave(x + phase, s.period), b = wave(y + s.phase_y, s.period);
      return 0.33f * s.period - std::hypot(0.25f * s.period - a, 0.25f * s.period - b);
    }
  }
}

/// Signed distance, in pixels, from the edge of the figure to (x, y), which counts from its centre;
/// positive inside.
float depth(const Scene& s, float x, float y) {
  const float r = s.radius;
  const float from_centre = std::sqrt(x * x + y * y);
  const float ax = std::abs(x), ay = std::abs(y);
  switch (s.figure) {
    case kDisc:
      return 0.9f * r - from_centre;
    case kSquare:
      return 0.8f * r - std::max(ax, ay);
    case kTriangle:
      return std::min(0.55f * r - y, 0.55f * r + 0.5f * y - 0.8660254f * ax);
    case kRing:
      return 0.2f * r - std::abs(from_centre - 0.8f * r);
    case kCross:
      return std::min(0.28f * r - std::min(ax, ay), r - std::max(ax, ay));
    default:
      return std::min(texture(s, x, y), r - std::max(ax, ay));
  }
}

/// Roughly normal, mean 0, standard deviation 1: four random bytes added. No library function is
/// involved, so that the noise is the same on every machine.
float rough_normal(uint32_t word) {
  const uint32_t sum = (word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24);
  return (static_cast<float>(sum) - 510.0f) * (1.0f / 147.8f);  // 147.8^2 = 4 (256^2 - 1) / 12
}

void paint(const Scene& s, const RandomKey& noise, int64_t side, uint8_t* out) {
  const float middle = 0.5f * static_cast<float>(side);
  Random4 words{};
  uint32_t used = 0;
  for (int64_t y = 0; y < side; ++y) {
    const float fy = static_cast<float>(y) + 0.5f;
    for (int64_t x = 0; x < side; ++x) {
      const float fx = static_cast<float>(x) + 0.5f;
      const float dx = fx - s.centre_x, dy = fy - s.centre_y;
      const float inside =
          depth(s, s.cosine * dx + s.sine * dy, s.cosine * dy - s.sine * dx) + 0.5f;
      const float cover = std::clamp(inside, 0.0f, 1.0f);
      const float shade = s.slope * (fx - middle + fy - middle);
      for (int64_t c = 0; c < 3; ++c, ++used) {
        if (used % 4 == 0) words = noise.block(used / 4);
        const float back = s.back[c] + shade;
        const float value =
            back + cover * (s.fore[c] - back) + s.noise * rough_normal(words.word[used % 4]);
        out[(c * side + y) * side + x] =
            static_cast<uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
      }
    }
  }
}

}  // namespace

Shapes::Shapes(Split split, const ShapesOptions& options)
    : options_(options), first_id_(split == Split::test ? kFirstTestId : 0) {
  check(options.count > 0 && options.count < kFirstTestId,
        "shapes: the number of pictures must be positive; got {}", options.count);
  check(options.side >= 8 && options.side <= 4096,
        "shapes: the side must be 8 to 4096 pixels; got {}", options.side);
}

Example Shapes::get(int64_t i, int64_t /*epoch*/) const {
  check(i >= 0 && i < size(), "shapes: example {} of {}", i, size());
  const int64_t id = first_id_ + i;
  const RandomKey scene_key{options_.seed, stream::synthesise, 0, static_cast<uint64_t>(id)};
  const RandomKey noise_key{options_.seed, stream::synthesise, 1, static_cast<uint64_t>(id)};
  RandomSequence random(scene_key);
  const Scene scene = draw_scene(random, static_cast<double>(options_.side));
  Tensor input = Tensor::empty({3, options_.side, options_.side}, DType::uint8);
  paint(scene, noise_key, options_.side, input.data<uint8_t>());
  return {std::move(input), scene.figure, id, false};
}

const std::vector<std::string>& Shapes::classes() const {
  static const std::vector<std::string> names{"disc",
                                              "square",
                                              "triangle",
                                              "ring",
                                              "cross",
                                              "stripes_horizontal",
                                              "stripes_vertical",
                                              "stripes_diagonal",
                                              "checkerboard",
                                              "dots"};
  return names;
}

}  // namespace minnow
