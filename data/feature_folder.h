#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>

#include "engine/tensor.h"

namespace minnow {

/// Keeps features made of files in a folder, for later runs; safe from several threads, and several
/// processes may share a folder. Nothing is ever removed: its owner may, at any time.
class FeatureFolder {
 public:
  /// An empty name: keeps nothing. Throws Error where the folder cannot be made. `warn` is told
  /// when something cannot be kept, which ends the keeping.
  FeatureFolder(const std::string& folder, std::function<void(std::string)> warn);

  /// What `make` gives, float32 [T, F]: as kept, or made now. `description` says all that it
  /// depends on but the content of `source`. Made anew where the size of `source`, or the time of
  /// its last change, is another one, and where what was kept is damaged.
  Tensor get(const std::filesystem::path& source, const std::string& description,
             const std::function<Tensor()>& make);

 private:
  void keep(const std::filesystem::path& file, const std::string& head, const Tensor& features);

  std::filesystem::path folder_;
  std::function<void(std::string)> warn_;
  std::atomic<bool> broken_ = false;
};

}  // namespace minnow
