#include "data/cifar10.h"

#include <filesystem>
#include <vector>

#include "data/bytes.h"
#include "data/image_table.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPixels = 3 * 32 * 32;
constexpr int64_t kRecord = 1 + kPixels;
constexpr int64_t kRecordsPerFile = 10000;

fs::path find_folder(const std::string& path) {
  check(!path.empty(),
        "cifar10: needs data.path, the folder with data_batch_1.bin ... "
        "test_batch.bin");
  check(fs::is_directory(path), "cifar10: no folder at {}", path);
  const fs::path inner = fs::path(path) / "cifar-10-batches-bin";
  const fs::path folder = fs::is_directory(inner) ? inner : fs::path(path);
  const bool pickled =
      fs::exists(folder / "data_batch_1") || fs::exists(folder / "cifar-10-batches-py");
  check(!pickled || fs::exists(folder / "data_batch_1.bin"),
        "cifar10: {} holds the Python version of the data; the binary version is needed "
        "(cifar-10-binary.tar.gz)",
        folder.string());
  return folder;
}

}  // namespace

void read_cifar10_file(const fs::path& path, int64_t records, uint8_t* images,
                       std::vector<int64_t>& labels) {
  InputFile file("cifar10", path);
  check(file.size() == records * kRecord,
        "cifar10: {} must have {} bytes ({} records of {}); it has {}", file.name(),
        records * kRecord, records, kRecord, file.size());
  for (int64_t i = 0; i < records; ++i) {
    uint8_t label = 0;
    file.read(&label, 1);
    check(label < 10, "cifar10: {}: record {} has the label {}; labels are 0 to 9", file.name(), i,
          label);
    labels.push_back(label);
    file.read(images + i * kPixels, kPixels);
  }
}

std::shared_ptr<const Dataset> read_cifar10(const std::string& path, Split split) {
  const fs::path folder = find_folder(path);
  std::vector<std::string> names{"test_batch.bin"};
  if (split == Split::train) {
    names = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
             "data_batch_5.bin"};
  }
  const int64_t count = static_cast<int64_t>(names.size()) * kRecordsPerFile;
  Tensor images = Tensor::empty({count, 3, 32, 32}, DType::uint8);
  std::vector<int64_t> labels, ids;
  uint8_t* out = images.data<uint8_t>();
  for (const std::string& name : names) {
    read_cifar10_file(folder / name, kRecordsPerFile, out, labels);
    out += kRecordsPerFile * kPixels;
  }
  for (int64_t i = 0; i < count; ++i) ids.push_back(split == Split::test ? kFirstTestId + i : i);
  return std::make_shared<ImageTable>(
      images, std::move(labels), std::move(ids),
      std::vector<std::string>{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog",
                               "horse", "ship", "truck"});
}

}  // namespace minnow
