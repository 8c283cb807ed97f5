#pragma once

#include <filesystem>
#include <string_view>

namespace minnow {

/// A file that grows by whole pieces. Every piece is in the file when `append` returns, so that
/// others can follow a run, and a run that is killed loses nothing.
class AppendFile {
 public:
  /// Opens or makes the file; `empty`: without what is there. RunError naming it where the system
  /// refuses.
  AppendFile(std::filesystem::path path, bool empty);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// RunError naming the file where the disk refuses; the pieces before stay whole.
  void append(std::string_view piece);
  /// Waits until all pieces are on the disk, and would outlive a power failure.
  void sync();

 private:
  [[noreturn]] void fail(std::string_view action, int error) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace minnow
