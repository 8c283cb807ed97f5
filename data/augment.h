#pragma once

#include <string_view>

#include "data/picture_ops.h"
#include "kernels/random.h"

namespace minnow {

enum class Augment {
  none,
  crop_flip,  ///< pad every side, crop at random to the size before, mirror left-right half of the
              ///< time
  deit,       ///< crop and mirror, RandAugment, random erasing: arXiv 2012.12877
};
/// "none", "crop_flip" or "deit"; throws Error for any other name.
Augment augment_from(std::string_view name);

enum class Crop {
  automatic,  ///< pad up to 64 pixels, resized above
  pad,        ///< as crop_flip
  resized,    ///< a part of random area and shape, enlarged
};
/// "auto", "pad" or "resized"; throws Error for any other name.
Crop crop_from(std::string_view name);

enum class Padding { zero, reflect };

struct AugmentOptions {
  Augment augment = Augment::none;
  Padding padding = Padding::zero;  ///< zero: black
  int64_t pad = 4;                  ///< pixels on every side
  // Of deit alone:
  Crop crop = Crop::automatic;
  int64_t randaug_ops = 2;        ///< operations, one after another
  int64_t randaug_magnitude = 9;  ///< their strength, 0 .. 30
  double erasing = 0.25;          ///< chance of a rectangle of noise
};

/// A uint8 picture [C, H, W] after what is random about it, its size as before; itself where
/// nothing is. `random` also serves erase_part afterwards.
Tensor augmented(const Tensor& picture, const AugmentOptions& options, RandomSequence& random);

/// With that chance fills a rectangle of a normalised float32 picture [C, H, W] with standard
/// normal noise: its area is 0.02 to 1/3 of the picture's, height / width is 0.3 to 1 / 0.3, and it
/// ends before the picture does (arXiv 1708.04896, as DeiT has it).
void erase_part(Tensor& picture, double chance, RandomSequence& random);

}  // namespace minnow
