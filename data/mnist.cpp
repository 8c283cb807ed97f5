#include "data/mnist.h"

#include <filesystem>
#include <numeric>
#include <vector>

#include "data/bytes.h"
#include "data/image_table.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLongestSide = 4096;  // keeps the product of hostile sizes within 64 bits

uint32_t read_big_endian(InputFile& file) {
  uint8_t b[4];
  file.read(b, 4);
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | uint32_t{b[3]};
}

fs::path find_folder(const std::string& path) {
  check(!path.empty(), "mnist: needs data.path, the folder with train-images-idx3-ubyte ...");
  check(fs::is_directory(path), "mnist: no folder at {}", path);
  const fs::path inner = fs::path(path) / "MNIST" / "raw";
  return fs::is_directory(inner) ? inner : fs::path(path);
}

/// `stem` is "train-images"; the files go by two names, with a hyphen or a dot before the kind.
fs::path find_file(const fs::path& folder, const std::string& stem, const std::string& kind) {
  const fs::path hyphen = folder / (stem + "-" + kind);
  const fs::path dot = folder / (stem + "." + kind);
  if (fs::exists(hyphen)) return hyphen;
  if (fs::exists(dot)) return dot;
  for (const fs::path& plain : {hyphen, dot}) {
    const std::string packed = plain.string() + ".gz";
    check(!fs::exists(packed),
          "mnist: {} is compressed and is not read as it is; unpack it with: "
          "gunzip -k {}",
          packed, packed);
  }
  check(false, "mnist: no file {}", hyphen.string());
  return {};
}

void check_magic(InputFile& file, uint32_t magic, int64_t header) {
  check(file.size() >= header, "mnist: {} must start with a header of {} bytes; it has {} bytes",
        file.name(), header, file.size());
  const uint32_t found = read_big_endian(file);
  check(found == magic, "mnist: {} must start with the number {:#010x}; it starts with {:#010x}",
        file.name(), magic, found);
}

void check_length(const InputFile& file, int64_t expected) {
  check(file.size() == expected, "mnist: by its header {} must have {} bytes; it has {}",
        file.name(), expected, file.size());
}

/// [N, 1, H, W]
Tensor read_images(const fs::path& path) {
  InputFile file("mnist", path);
  check_magic(file, 0x00000803, 16);
  const int64_t n = read_big_endian(file);
  const int64_t h = read_big_endian(file);
  const int64_t w = read_big_endian(file);
  check(n > 0 && h > 0 && w > 0 && h <= kLongestSide && w <= kLongestSide,
        "mnist: {} must hold pictures of 1 to {} pixels a side; its header says {} of {} x {}",
        file.name(), kLongestSide, n, h, w);
  check_length(file, 16 + n * h * w);
  Tensor images = Tensor::empty({n, 1, h, w}, DType::uint8);
  file.read(images.data<uint8_t>(), images.numel());
  return images;
}

std::vector<int64_t> read_labels(const fs::path& path) {
  InputFile file("mnist", path);
  check_magic(file, 0x00000801, 8);
  const int64_t n = read_big_endian(file);
  check_length(file, 8 + n);
  std::vector<uint8_t> bytes(static_cast<size_t>(n));
  file.read(bytes.data(), n);
  for (size_t i = 0; i < bytes.size(); ++i) {
    check(bytes[i] < 10, "mnist: {}: label {} is {}; labels are 0 to 9", file.name(), i, bytes[i]);
  }
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::shared_ptr<const Dataset> read_mnist(const std::string& path, Split split) {
  const fs::path folder = find_folder(path);
  const std::string part = split == Split::train ? "train" : "t10k";
  const fs::path image_file = find_file(folder, part + "-images", "idx3-ubyte");
  const fs::path label_file = find_file(folder, part + "-labels", "idx1-ubyte");
  Tensor images = read_images(image_file);
  std::vector<int64_t> labels = read_labels(label_file);
  check(static_cast<int64_t>(labels.size()) == images.dim(0),
        "mnist: {} holds {} pictures, but {} holds {} labels", image_file.string(), images.dim(0),
        label_file.string(), labels.size());
  std::vector<int64_t> ids(labels.size());
  std::iota(ids.begin(), ids.end(), split == Split::test ? kFirstTestId : 0);
  return std::make_shared<ImageTable>(
      images, std::move(labels), std::move(ids),
      std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
}

}  // namespace minnow
