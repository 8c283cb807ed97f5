#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace minnow {

struct ImageFolderOptions {
  int64_t size = 0;                        ///< side of the square pictures, in pixels
  int64_t cache_bytes = int64_t{1} << 30;  ///< decode all pictures at once when they fit here
  int64_t threads = 0;                     ///< for that; 0 = one per processor
};

/// Pictures in one folder per class, PATH/CLASS/*.{jpg,jpeg,png}: [3, size, size] uint8. Classes
/// and files count in the order of their names; a file's id is its place among all files, readable
/// or not.
///
/// The splits are the folders PATH/train and PATH/test (or PATH/val) where they exist. Otherwise a
/// tenth of the pictures, chosen by a hash of the id, is the test split. The classes are those of
/// the train folder.
///
/// Unreadable pictures are left out and named in warnings(). When the data set fits into
/// cache_bytes all of it is decoded by the constructor, which so finds every one. Otherwise only
/// headers and end marks are read then. In place of a picture that is damaged in between, get()
/// gives the next one that is not, and warnings() names it from then on.
class ImageFolder : public Dataset {
 public:
  /// Throws Error when a folder is missing, there are fewer than two classes, or no picture is
  /// readable.
  ImageFolder(const std::string& path, Split split, const ImageFolderOptions& options);

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  Example get(int64_t i, int64_t epoch) const override;
  int64_t id(int64_t i) const override { return files_[static_cast<size_t>(i)].id; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::vector<std::string> warnings() const override;
  /// The file of example i.
  const std::filesystem::path& file(int64_t i) const { return files_[static_cast<size_t>(i)].path; }
  bool cached() const { return cache_.defined(); }

 private:
  struct File {
    std::filesystem::path path;
    int64_t label = 0;
    int64_t id = 0;
  };

  void list_files(const std::filesystem::path& folder, int64_t first_id);
  void check_files(int64_t threads);
  Tensor decode(int64_t i) const;

  int64_t size_;
  std::vector<File> files_;
  std::vector<std::string> classes_;
  mutable std::mutex mutex_;  // guards what get() may add to, the next two
  mutable std::vector<std::string> warnings_;
  mutable std::set<int64_t> damaged_;  // examples
  Tensor cache_;  // [N, 3, size, size] uint8, or undefined; row of example i is rows_[i]
  std::vector<int64_t> rows_;
};

}  // namespace minnow
