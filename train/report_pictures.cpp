#include "train/report_pictures.h"

#include <algorithm>

namespace minnow {
namespace {

void append_number(std::string& bytes, int64_t value, int size) {
  for (int i = 0; i < size; ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xff);
}

/// The headers of a BMP file of 24 bits a pixel whose pixels take that many bytes.
std::string bmp_header(int64_t width, int64_t height, int64_t pixel_bytes) {
  constexpr int64_t file_header = 14, info_header = 40;
  std::string bytes = "BM";
  append_number(bytes, file_header + info_header + pixel_bytes, 4);
  append_number(bytes, 0, 4);
  append_number(bytes, file_header + info_header, 4);  // where the pixels begin
  append_number(bytes, info_header, 4);
  append_number(bytes, width, 4);
  append_number(bytes, height, 4);  // positive: the lowest row comes first
  append_number(bytes, 1, 2);       // plane
  append_number(bytes, 24, 2);
  append_number(bytes, 0, 4);  // not compressed
  append_number(bytes, pixel_bytes, 4);
  bytes.append(16, '\0');  // resolution and palette: none given
  return bytes;
}

/// The mean of rows [top, bottom) and columns [left, right) of one channel.
uint8_t mean_of(const uint8_t* channel, int64_t width, int64_t top, int64_t bottom, int64_t left,
                int64_t right) {
  int64_t sum = 0;
  for (int64_t y = top; y < bottom; ++y)
    for (int64_t x = left; x < right; ++x) sum += channel[y * width + x];
  const int64_t count = (bottom - top) * (right - left);
  return static_cast<uint8_t>((sum + count / 2) / count);
}

}  // namespace

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k)
      word = word << 8 | (k < count ? static_cast<uint8_t>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) text += k <= count ? digits[(word >> (18 - 6 * k)) & 63] : '=';
  }
  return text;
}

std::string bmp_thumbnail(const Tensor& picture, int64_t side) {
  check(picture.rank() == 3 && picture.dtype() == DType::uint8 &&
            (picture.dim(0) == 1 || picture.dim(0) == 3),
        "thumbnail: the picture must be uint8 [1 or 3, H, W]; got {} {}",
        to_string(picture.dtype()), to_string(picture.shape()));
  const int64_t C = picture.dim(0), H = picture.dim(1), W = picture.dim(2);
  const int64_t longer = std::max({H, W, side});
  const int64_t height = std::max<int64_t>(1, H * side / longer),
                width = std::max<int64_t>(1, W * side / longer);
  const int64_t row_bytes = (3 * width + 3) / 4 * 4;
  std::string bytes = bmp_header(width, height, row_bytes * height);
  for (int64_t y = height - 1; y >= 0; --y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 2; c >= 0; --c) {  // blue, green, red
        const uint8_t* channel = picture.data<uint8_t>() + (C == 1 ? 0 : c) * H * W;
        bytes += static_cast<char>(mean_of(channel, W, y * H / height, (y + 1) * H / height,
                                           x * W / width, (x + 1) * W / width));
      }
    }
    bytes.append(static_cast<size_t>(row_bytes - 3 * width), '\0');
  }
  return bytes;
}

std::optional<int64_t> place_of(const Dataset& dataset, int64_t id) {
  // Where nothing was left out, ids follow one another.
  const int64_t guess = std::min(id - dataset.get(0, 0).id, dataset.size() - 1);
  if (guess >= 0 && dataset.get(guess, 0).id == id) return guess;
  int64_t low = 0, high = dataset.size();  // the first whose id is not below lies in [low, high]
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (dataset.get(middle, 0).id < id) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == dataset.size() || dataset.get(low, 0).id != id) return std::nullopt;
  return low;
}

}  // namespace minnow
