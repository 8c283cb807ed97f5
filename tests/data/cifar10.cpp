#include "data/cifar10.h"

#include <set>

#include "data/imagefolder.h"
#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRecord = 3073;

/// 10,000 records; record i has the label i % 10 and pixels that count from i.
Bytes batch_file() {
  Bytes bytes(10000 * kRecord);
  for (size_t i = 0; i < 10000; ++i) {
    bytes[i * kRecord] = static_cast<uint8_t>(i % 10);
    for (size_t p = 1; p < kRecord; ++p) bytes[i * kRecord + p] = static_cast<uint8_t>(i + p);
  }
  return bytes;
}

TEST(Cifar10, ReadsBothSplits) {
  const TemporaryFolder folder;
  const fs::path inner = folder.path() / "cifar-10-batches-bin";
  write_file(inner / "test_batch.bin", batch_file());
  for (int k = 1; k <= 5; ++k) {
    fs::create_symlink("test_batch.bin", inner / fmt::format("data_batch_{}.bin", k));
  }
  const auto test = read_cifar10(inner.string(), Split::test);
  const auto train = read_cifar10(folder.string(), Split::train);  // the folder above will do
  EXPECT_EQ(test->size(), 10000);
  EXPECT_EQ(train->size(), 50000);
  EXPECT_EQ(train->classes().size(), 10u);
  EXPECT_EQ(train->classes()[9], "truck");
  const Example example = train->get(20123, 0);
  EXPECT_EQ(example.input.shape(), (Shape{3, 32, 32}));
  EXPECT_EQ(example.input.dtype(), DType::uint8);
  EXPECT_EQ(example.label, 3);
  EXPECT_EQ(example.id, 20123);
  EXPECT_EQ(example.input.data<uint8_t>()[0], (123 + 1) % 256);
  EXPECT_EQ(example.input.data<uint8_t>()[3071], (123 + 3072) % 256);
  EXPECT_EQ(test->get(7, 0).id, kFirstTestId + 7);
}

TEST(Cifar10, HostileFiles) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "test_batch.bin";
  const auto open = [&] { read_cifar10(folder.string(), Split::test); };
  expect_error(open, {"cifar10", "test_batch.bin"});
  Bytes bytes = batch_file();
  for (const size_t length :
       {size_t{0}, size_t{1}, kRecord, bytes.size() - 1, bytes.size() - kRecord}) {
    write_file(file, Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)));
    expect_error(open, {"test_batch.bin", "30730000", fmt::format("it has {}", length)});
  }
  bytes[4321 * kRecord] = 10;
  write_file(file, bytes);
  expect_error(open, {"test_batch.bin", "record 4321", "label 10"});
  bytes.push_back(0);
  write_file(file, bytes);
  expect_error(open, {"it has 30730001"});
}

TEST(Cifar10, WrongFolders) {
  const TemporaryFolder folder;
  expect_error([&] { read_cifar10("", Split::train); }, {"data.path"});
  expect_error([&] { read_cifar10(folder.string() + "/gone", Split::train); },
               {"no folder", "gone"});
  write_file(folder.path() / "cifar-10-batches-py" / "data_batch_1", {1});
  expect_error([&] { read_cifar10(folder.string(), Split::train); }, {"Python version", "binary"});
}

/// The real pictures, as JPEG files in train/CLASS and test/CLASS.
TEST(Cifar10Jpeg, CountsAndClasses) {
  const char* data = std::getenv("MINNOW_DATA");
  if (data == nullptr) GTEST_SKIP() << "MINNOW_DATA is not set: no real data to read";
  const fs::path path = fs::path(data) / "cifar10-jpg";
  if (!fs::exists(path)) GTEST_SKIP() << path << " does not exist";
  // Only heads and ends of the large split are read; the small one is decoded.
  const ImageFolder train(path.string(), Split::train, {.size = 32, .cache_bytes = 0});
  const ImageFolder test(path.string(), Split::test, {.size = 32});
  EXPECT_EQ(train.size(), 50000);
  EXPECT_EQ(test.size(), 10000);
  EXPECT_TRUE(test.cached());
  EXPECT_TRUE(train.warnings().empty());
  EXPECT_TRUE(test.warnings().empty());
  const std::vector<std::string> classes{"airplane", "automobile", "bird",  "cat",  "deer",
                                         "dog",      "frog",       "horse", "ship", "truck"};
  EXPECT_EQ(train.classes(), classes);
  EXPECT_EQ(test.classes(), classes);
  std::vector<int> count(10);
  double sum = 0;
  for (int64_t i = 0; i < test.size(); ++i) {
    const Example example = test.get(i, 0);
    ++count[static_cast<size_t>(example.label)];
    const uint8_t* pixels = example.input.data<uint8_t>();
    for (int64_t p = 0; p < example.input.numel(); ++p) sum += pixels[p];
  }
  EXPECT_EQ(count, std::vector<int>(10, 1000));
  // The mean of CIFAR-10's channels is 0.473; that of the test split lies within 0.005 of it.
  EXPECT_NEAR(sum / (255.0 * 10000 * 3072), 0.473, 0.005);
  std::set<Bytes> distinct;
  for (int64_t i = 0; i < 500; ++i) distinct.insert(bytes_of(train.get(i * 100, 0).input));
  EXPECT_GE(distinct.size(), 490u);  // the data set is known to hold a few pictures twice
}

}  // namespace
}  // namespace minnow::data_test
