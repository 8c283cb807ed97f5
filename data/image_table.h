#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace minnow {

/// Pictures held in memory.
class ImageTable : public Dataset {
 public:
  /// `images` [N, C, H, W] uint8, N >= 1; `labels` and `ids` have N entries, every label indexes
  /// `classes`.
  ImageTable(Tensor images, std::vector<int64_t> labels, std::vector<int64_t> ids,
             std::vector<std::string> classes);

  int64_t size() const override { return images_.dim(0); }
  /// The input is a view of the table: nothing is copied.
  Example get(int64_t i, int64_t epoch) const override;
  int64_t id(int64_t i) const override { return ids_[static_cast<size_t>(i)]; }
  const std::vector<std::string>& classes() const override { return classes_; }

 private:
  Tensor images_;
  std::vector<int64_t> labels_;
  std::vector<int64_t> ids_;
  std::vector<std::string> classes_;
};

}  // namespace minnow
