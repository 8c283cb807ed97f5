#include "tests/data/files.h"

#include <unistd.h>

#include <cstring>
#include <fstream>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>

namespace minnow::data_test {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "minnow-data-XXXXXX").string();
  check(mkdtemp(name.data()) != nullptr, "test: cannot make a folder like {}", name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void write_file(const fs::path& path, const Bytes& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  check(file.good(), "test: cannot write {}", path.string());
}

namespace {

void append(void* to, void* data, int size) {
  const uint8_t* begin = static_cast<const uint8_t*>(data);
  static_cast<Bytes*>(to)->insert(static_cast<Bytes*>(to)->end(), begin, begin + size);
}

}  // namespace

Bytes png(int width, int height, int channels, const Bytes& pixels) {
  Bytes out;
  stbi_write_png_to_func(append, &out, width, height, channels, pixels.data(), width * channels);
  return out;
}

Bytes jpeg(int width, int height, int channels, const Bytes& pixels) {
  Bytes out;
  stbi_write_jpg_to_func(append, &out, width, height, channels, pixels.data(), 95);
  return out;
}

Bytes plain(int side, uint8_t r, uint8_t g, uint8_t b) {
  Bytes pixels;
  for (int i = 0; i < side * side; ++i) pixels.insert(pixels.end(), {r, g, b});
  return pixels;
}

void expect_error(const std::function<void()>& action, const std::vector<std::string>& parts) {
  try {
    action();
  } catch (const Error& error) {
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "message: " << error.what() << "\nlacks: " << part;
    }
    return;
  }
  ADD_FAILURE() << "no Error was thrown; expected one with: " << (parts.empty() ? "" : parts[0]);
}

Bytes bytes_of(const Tensor& tensor) {
  const uint8_t* begin = reinterpret_cast<const uint8_t*>(tensor.raw());
  return {begin, begin + tensor.nbytes()};
}

bool same(const Batch& a, const Batch& b) {
  const auto equal = [](const Tensor& x, const Tensor& y) {
    if (!x.defined() || !y.defined()) return x.defined() == y.defined();
    return x.shape() == y.shape() && x.dtype() == y.dtype() && bytes_of(x) == bytes_of(y);
  };
  return equal(a.inputs, b.inputs) && equal(a.labels, b.labels) && equal(a.ids, b.ids) &&
         equal(a.lengths, b.lengths) && equal(a.targets, b.targets) &&
         equal(a.target_lengths, b.target_lengths) && a.domains == b.domains &&
         a.marked == b.marked;
}

}  // namespace minnow::data_test
