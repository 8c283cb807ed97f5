#include "data/image_table.h"

#include <utility>

namespace minnow {

ImageTable::ImageTable(Tensor images, std::vector<int64_t> labels, std::vector<int64_t> ids,
                       std::vector<std::string> classes)
    : images_(std::move(images)),
      labels_(std::move(labels)),
      ids_(std::move(ids)),
      classes_(std::move(classes)) {
  check(images_.rank() == 4 && images_.dim(0) > 0 && images_.dtype() == DType::uint8,
        "image table: images must be uint8 [N, C, H, W] with N > 0; got {} {}",
        to_string(images_.dtype()), to_string(images_.shape()));
  const size_t n = static_cast<size_t>(images_.dim(0));
  check(labels_.size() == n && ids_.size() == n,
        "image table: {} images need as many labels and ids; got {} and {}", n, labels_.size(),
        ids_.size());
  for (int64_t label : labels_) {
    check(label >= 0 && label < static_cast<int64_t>(classes_.size()),
          "image table: labels must be in [0, {}); got {}", classes_.size(), label);
  }
}

Example ImageTable::get(int64_t i, int64_t /*epoch*/) const {
  const Shape& shape = images_.shape();
  const size_t at = static_cast<size_t>(i);
  Tensor input = images_.slice(i, i + 1).reshape({shape[1], shape[2], shape[3]});
  return {std::move(input), labels_[at], ids_[at], false};
}

}  // namespace minnow
