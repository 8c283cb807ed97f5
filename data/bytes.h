#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "engine/check.h"

namespace minnow {

/// A file opened to be read in pieces; every failure is an Error that starts with `who` and names
/// the file.
class InputFile {
 public:
  InputFile(std::string_view who, const std::filesystem::path& path);

  int64_t size() const { return size_; }
  const std::string& name() const { return name_; }
  /// The next n bytes into `out`; throws Error when the file ends before.
  void read(uint8_t* out, int64_t n);
  void seek(int64_t offset) { stream_.seekg(offset); }

 private:
  std::string who_;
  std::string name_;
  std::ifstream stream_;
  int64_t size_ = 0;
};

}  // namespace minnow
