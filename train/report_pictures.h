#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "data/dataset.h"

namespace minnow {

/// RFC 4648, with padding.
std::string base64(std::string_view bytes);

/// A picture [1 or 3, H, W] of uint8 as the bytes of a BMP file with 24 bits a pixel; its longer
/// side is brought down to `side` pixels, by the mean of what falls together.
std::string bmp_thumbnail(const Tensor& picture, int64_t side = 64);

/// The place in a data set, whose ids ascend, of the example with that id; nothing where there is
/// none.
std::optional<int64_t> place_of(const Dataset& dataset, int64_t id);

}  // namespace minnow
