#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace minnow::data_test {

using Bytes = std::vector<uint8_t>;

/// A new folder that is gone, with all that is in it, at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string string() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// Makes the folders above the file too.
void write_file(const std::filesystem::path& path, const Bytes& bytes);

/// `pixels` is [height, width, channels]; 1 or 3 channels.
Bytes png(int width, int height, int channels, const Bytes& pixels);
Bytes jpeg(int width, int height, int channels, const Bytes& pixels);
/// [side, side, 3] of one colour.
Bytes plain(int side, uint8_t r, uint8_t g, uint8_t b);

/// Expects `action` to throw Error with every one of `parts` in its message.
void expect_error(const std::function<void()>& action, const std::vector<std::string>& parts);

/// Whether every tensor and mark of two batches is the same, bit for bit.
bool same(const Batch& a, const Batch& b);
/// All bytes of a tensor.
Bytes bytes_of(const Tensor& tensor);

}  // namespace minnow::data_test
