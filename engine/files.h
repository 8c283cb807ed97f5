#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace minnow {

/// A file that appears complete or not at all. The bytes go to a temporary file in the directory of
/// `path`; `commit` puts it in the place of `path`. A reader, or a run that is killed half-way,
/// meets the old file or the new one.
///
/// Every failure (full disk, missing directory, no permission) throws RunError with the path and
/// the system's reason; without a commit the destructor removes the temporary file and leaves
/// `path` as it was.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Flushes to the disk, renames, and flushes the directory. Nothing may be written afterwards.
  void commit();

 private:
  [[noreturn]] void fail(std::string_view action, int error) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

/// Keeps other processes that ask for the same out of a folder for as long as it lives.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;

  /// False where another one has it; true, too, where the file system knows no locks.
  bool held() const { return held_; }

 private:
  int descriptor_ = -1;
  bool held_ = true;
};

/// An AtomicFile of one piece.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// Removes the temporary files that killed writers left in `directory`. Those of living writers,
/// of this and of other processes, stay. What cannot be removed is left alone.
void remove_leftovers(const std::filesystem::path& directory);

/// The whole file. Throws Error with the path and the system's reason where it cannot be read.
std::vector<std::byte> read_file(const std::filesystem::path& path);
/// The same, for text.
std::string read_text_file(const std::filesystem::path& path);

}  // namespace minnow
