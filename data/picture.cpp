#include "data/picture.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/bytes.h"
#include "engine/check.h"

// Private copies: only the two formats that are wanted, and nothing that another user of stb could
// clash with.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_FAILURE_USERMSG
// Zeroed: a damaged JPEG may use a table that it never defines, and what stb then reads must not be
// left to chance.
#define STBI_MALLOC(size) std::calloc(1, size)
#define STBI_REALLOC(old, size) std::realloc(old, size)
#define STBI_FREE(old) std::free(old)
// An empty first piece of a PNG is copied to a null pointer, which std::memcpy must not be given.
static void* copy_bytes(void* to, const void* from, size_t count) {
  return count == 0 ? to : std::memcpy(to, from, count);
}
#define memcpy copy_bytes
#include <stb/stb_image.h>
#undef memcpy
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb/stb_image_resize.h>

namespace minnow {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;
constexpr int64_t kMostPixels = int64_t{1} << 28;
constexpr int kLongestSide = 65535;  // as of JPEG; the time to resize grows with it
constexpr int64_t kTailBytes = 1 << 16;
constexpr std::string_view kJpegEnd = "\xff\xd9";
constexpr std::string_view kPngEnd = "IEND";

/// Bytes handed to stb through callbacks: they tell when a decoder runs past the end, which stb
/// itself fills with zeros and calls a success.
struct Source {
  const uint8_t* data = nullptr;
  int64_t size = 0;
  int64_t at = 0;
  bool overrun = false;

  static int read(void* user, char* out, int n) {
    Source& s = *static_cast<Source*>(user);
    const int64_t got = std::min<int64_t>(n, s.size - s.at);
    if (got == 0 && n > 0) s.overrun = true;
    if (got > 0) std::memcpy(out, s.data + s.at, static_cast<size_t>(got));
    s.at += got;
    return static_cast<int>(got);
  }
  static void skip(void* user, int n) {
    Source& s = *static_cast<Source*>(user);
    if (s.at + n > s.size) s.overrun = true;
    s.at = std::clamp<int64_t>(s.at + n, 0, s.size);
  }
  static int eof(void* user) {
    const Source& s = *static_cast<Source*>(user);
    return s.at >= s.size;
  }
};

constexpr stbi_io_callbacks kCallbacks{&Source::read, &Source::skip, &Source::eof};

struct Extent {
  int width = 0, height = 0;
};

std::vector<uint8_t> read_all(const std::filesystem::path& path) {
  InputFile file("picture", path);
  check(file.size() > 0, "{}: the file is empty", file.name());
  check(file.size() <= kMostBytes, "{}: {} bytes are more than a picture may have ({})",
        file.name(), file.size(), kMostBytes);
  std::vector<uint8_t> bytes(static_cast<size_t>(file.size()));
  file.read(bytes.data(), file.size());
  return bytes;
}

/// The version of stb that distributions ship writes past its Huffman tables when one names more
/// than 256 codes, so a file that has such a table must not reach it. `begin` and `end` bound the
/// tables; like stb, this reads the counts of the last one even where they lie beyond.
void check_huffman_tables(const std::string& name, std::span<const uint8_t> bytes, size_t begin,
                          size_t end) {
  while (begin < end) {
    const auto counts = bytes.subspan(begin, std::min<size_t>(17, bytes.size() - begin)).subspan(1);
    const size_t codes = std::accumulate(counts.begin(), counts.end(), size_t{0});
    check(codes < 256, "{}: damaged: a Huffman table with {} codes", name, codes);
    begin += 17 + codes;
  }
}

/// Walks over the segments of a JPEG file and checks their Huffman tables; other files pass.
void check_jpeg_tables(const std::string& name, std::span<const uint8_t> bytes) {
  constexpr uint8_t kStart = 0xd8, kEnd = 0xd9, kTables = 0xc4, kRestart = 0xd0;
  if (bytes.empty() || bytes[0] != 0xff) return;
  size_t at = 0;
  while (true) {
    // Between segments lie padding, coded pixels, and fill bytes 0xff in front of a marker.
    while (at < bytes.size() && bytes[at] != 0xff) ++at;
    while (at < bytes.size() && bytes[at] == 0xff) ++at;
    if (at + 3 > bytes.size() || bytes[at] == kEnd) return;
    const uint8_t marker = bytes[at++];
    // Markers without a segment: the start of the file, and two that stand among coded pixels.
    if (marker == kStart || marker == 0 || (marker & 0xf8) == kRestart) continue;
    const size_t length = std::max<size_t>(bytes[at] * 256u + bytes[at + 1], 2);
    const size_t end = std::min(at + length, bytes.size());
    if (marker == kTables) check_huffman_tables(name, bytes, at + 2, end);
    at = end;
  }
}

/// A file of `size` bytes cannot hold more pixels; a header that says more is answered before the
/// memory is asked for. JPEG spends a bit on each block of 8 x 8, and the finest component may have
/// a quarter of the blocks; PNG packs 8 pixels into a byte and 1032 bytes into one.
int64_t most_pixels(bool jpeg, int64_t size) {
  return size * (jpeg ? 8 * 4 * 64 : 8 * 1032);
}

/// `bytes` are the first ones of a file of `size`.
Extent read_extent(const std::string& name, const std::vector<uint8_t>& bytes, int64_t size) {
  check_jpeg_tables(name, bytes);
  Source source{bytes.data(), static_cast<int64_t>(bytes.size())};
  Extent extent;
  int channels = 0;
  const bool known =
      stbi_info_from_callbacks(&kCallbacks, &source, &extent.width, &extent.height, &channels) != 0;
  check(known, "{}: neither a JPEG nor a PNG picture, or its header is damaged", name);
  check(
      extent.width > 0 && extent.height > 0 && int64_t{extent.width} * extent.height <= kMostPixels,
      "{}: a picture may have up to {} pixels; got {} x {}", name, kMostPixels, extent.width,
      extent.height);
  check(std::max(extent.width, extent.height) <= kLongestSide,
        "{}: the sides of a picture may have up to {} pixels; got {} x {}", name, kLongestSide,
        extent.width, extent.height);
  check(int64_t{extent.width} * extent.height <= most_pixels(bytes[0] == 0xff, size),
        "{}: the picture ends early: {} bytes cannot hold {} x {} pixels", name, size, extent.width,
        extent.height);
  return extent;
}

using Pixels = std::unique_ptr<uint8_t, decltype(&stbi_image_free)>;

/// [height, width, 3]
Pixels decode(const std::string& name, const std::vector<uint8_t>& bytes, Extent& extent) {
  Source source{bytes.data(), static_cast<int64_t>(bytes.size())};
  int channels = 0;
  Pixels pixels(
      stbi_load_from_callbacks(&kCallbacks, &source, &extent.width, &extent.height, &channels, 3),
      &stbi_image_free);
  check(!source.overrun, "{}: the picture ends early", name);
  check(pixels != nullptr, "{}: {}", name, stbi_failure_reason());
  return pixels;
}

/// The middle square of the picture, its side the shorter one, at [size, size, 3].
std::vector<uint8_t> resize_middle(const std::string& name, const uint8_t* pixels, Extent extent,
                                   int64_t size) {
  std::vector<uint8_t> square(static_cast<size_t>(size * size * 3));
  const float side = static_cast<float>(std::min(extent.width, extent.height));
  const float s = 0.5f * side / static_cast<float>(extent.width);
  const float t = 0.5f * side / static_cast<float>(extent.height);
  const int n = static_cast<int>(size);
  const int ok =
      stbir_resize_region(pixels, extent.width, extent.height, 0, square.data(), n, n, 0,
                          STBIR_TYPE_UINT8, 3, STBIR_ALPHA_CHANNEL_NONE, 0, STBIR_EDGE_CLAMP,
                          STBIR_EDGE_CLAMP, STBIR_FILTER_CATMULLROM, STBIR_FILTER_CATMULLROM,
                          STBIR_COLORSPACE_LINEAR, nullptr, 0.5f - s, 0.5f - t, 0.5f + s, 0.5f + t);
  check(ok != 0, "{}: no memory to resize {} x {} pixels", name, extent.width, extent.height);
  return square;
}

/// [*, stride, 3] -> [3, size, size]
void split_channels(const uint8_t* pixels, int64_t stride, int64_t size, uint8_t* out) {
  for (int64_t y = 0; y < size; ++y) {
    const uint8_t* row = pixels + y * stride * 3;
    for (int64_t c = 0; c < 3; ++c) {
      uint8_t* to = out + (c * size + y) * size;
      for (int64_t x = 0; x < size; ++x) to[x] = row[x * 3 + c];
    }
  }
}

}  // namespace

void decode_picture(const std::filesystem::path& path, int64_t size, uint8_t* out) {
  check(size > 0, "picture: the side must be positive; got {}", size);
  const std::string name = path.string();
  const std::vector<uint8_t> bytes = read_all(path);
  Extent extent = read_extent(name, bytes, std::ssize(bytes));
  const Pixels pixels = decode(name, bytes, extent);
  if (std::min(extent.width, extent.height) == size) {
    const int64_t left = (extent.width - size) / 2, top = (extent.height - size) / 2;
    split_channels(pixels.get() + (top * extent.width + left) * 3, extent.width, size, out);
  } else {
    split_channels(resize_middle(name, pixels.get(), extent, size).data(), size, size, out);
  }
}

void inspect_picture(const std::filesystem::path& path) {
  InputFile file("picture", path);
  check(file.size() > 0, "{}: the file is empty", file.name());
  // Metadata before the size of a JPEG can be long, so a head that is too short is followed by the
  // whole file.
  std::vector<uint8_t> bytes(static_cast<size_t>(std::min(file.size(), kTailBytes)));
  file.read(bytes.data(), static_cast<int64_t>(bytes.size()));
  try {
    read_extent(file.name(), bytes, file.size());
  } catch (const Error&) {
    if (file.size() <= kTailBytes) throw;
    read_extent(file.name(), read_all(path), file.size());
  }
  file.seek(file.size() - static_cast<int64_t>(bytes.size()));
  const std::string_view end = bytes[0] == 0xff ? kJpegEnd : kPngEnd;
  file.read(bytes.data(), static_cast<int64_t>(bytes.size()));
  const std::string_view tail(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  check(tail.find(end) != std::string_view::npos, "{}: the picture ends early", file.name());
}

}  // namespace minnow
