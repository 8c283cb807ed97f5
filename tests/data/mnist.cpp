#include "data/mnist.h"

#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

namespace fs = std::filesystem;

void append_word(Bytes& bytes, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<uint8_t>(value >> shift));
}

Bytes images(uint32_t n, uint32_t h, uint32_t w, size_t stored, uint32_t magic = 0x803) {
  Bytes bytes;
  for (uint32_t word : {magic, n, h, w}) append_word(bytes, word);
  for (size_t i = 0; i < stored; ++i) bytes.push_back(static_cast<uint8_t>(i));
  return bytes;
}

Bytes labels(uint32_t n, const Bytes& stored, uint32_t magic = 0x801) {
  Bytes bytes;
  append_word(bytes, magic);
  append_word(bytes, n);
  bytes.insert(bytes.end(), stored.begin(), stored.end());
  return bytes;
}

class Mnist : public testing::Test {
 protected:
  void write(const Bytes& image_file, const Bytes& label_file) {
    write_file(root() / "train-images-idx3-ubyte", image_file);
    write_file(root() / "train-labels-idx1-ubyte", label_file);
  }
  std::shared_ptr<const Dataset> open(Split split = Split::train) {
    return read_mnist(root().string(), split);
  }
  fs::path root() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

TEST_F(Mnist, ReadsPicturesAndLabels) {
  write(images(3, 2, 5, 30), labels(3, {7, 0, 9}));
  const auto set = open();
  ASSERT_EQ(set->size(), 3);
  EXPECT_EQ(set->classes().size(), 10u);
  const Example last = set->get(2, 0);
  EXPECT_EQ(last.input.shape(), (Shape{1, 2, 5}));
  EXPECT_EQ(bytes_of(last.input), (Bytes{20, 21, 22, 23, 24, 25, 26, 27, 28, 29}));
  EXPECT_EQ(last.label, 9);
  EXPECT_EQ(last.id, 2);
}

TEST_F(Mnist, ReadsOtherFileNames) {
  write_file(root() / "MNIST/raw/t10k-images.idx3-ubyte", images(1, 1, 1, 1));
  write_file(root() / "MNIST/raw/t10k-labels.idx1-ubyte", labels(1, {4}));
  EXPECT_EQ(open(Split::test)->get(0, 0).id, kFirstTestId);
}

TEST_F(Mnist, HostileFiles) {
  const Bytes good_images = images(3, 2, 5, 30), good_labels = labels(3, {7, 0, 9});
  const auto opens = [this] { open(); };
  for (const size_t length : {0, 3, 15, 16, 45}) {
    write(Bytes(good_images.begin(), good_images.begin() + static_cast<std::ptrdiff_t>(length)),
          good_labels);
    expect_error(opens, {"mnist", "train-images-idx3-ubyte", std::to_string(length)});
  }
  for (const size_t length : {0, 7, 8, 10}) {
    write(good_images,
          Bytes(good_labels.begin(), good_labels.begin() + static_cast<std::ptrdiff_t>(length)));
    expect_error(opens, {"train-labels-idx1-ubyte", std::to_string(length)});
  }
  write(images(3, 2, 5, 31), good_labels);
  expect_error(opens, {"must have 46 bytes", "it has 47"});
  write(images(3, 2, 5, 30, 0x801), good_labels);
  expect_error(opens, {"0x00000803", "0x00000801"});
  write(good_images, labels(3, {7, 0, 9}, 0x803));
  expect_error(opens, {"train-labels", "0x00000801", "0x00000803"});
  write(good_images, labels(3, {7, 10, 9}));
  expect_error(opens, {"train-labels", "label 1 is 10"});
  write(good_images, labels(2, {7, 0}));
  expect_error(opens, {"3 pictures", "2 labels"});
  for (const auto& [n, h, w] : {std::array<uint32_t, 3>{0, 2, 5},
                                {3, 0, 5},
                                {3, 2, 0},
                                {0xffffffff, 0xffffffff, 0xffffffff}}) {
    write(images(n, h, w, 30), good_labels);
    expect_error(opens, {"train-images", std::to_string(n)});
  }
  write(images(0xffffffff, 4096, 4096, 30), good_labels);
  expect_error(opens, {"train-images", "it has 46"});
}

TEST_F(Mnist, MissingAndCompressedFiles) {
  expect_error([this] { open(); }, {"no file", "train-images-idx3-ubyte"});
  write_file(root() / "train-images-idx3-ubyte.gz", {1});
  expect_error([this] { open(); }, {"compressed", "gunzip"});
  expect_error([] { read_mnist("", Split::train); }, {"data.path"});
  expect_error([this] { read_mnist((root() / "gone").string(), Split::train); }, {"no folder"});
}

}  // namespace
}  // namespace minnow::data_test
