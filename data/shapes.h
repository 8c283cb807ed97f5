#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace minnow {

struct ShapesOptions {
  int64_t count = 10000;  ///< number of pictures
  int64_t side = 32;      ///< pixels, at least 8
  uint64_t seed = 0;
};

/// A built-in data set that needs no files: drawn pictures [3, side, side] of one figure each, in
/// 10 classes. Colours, place, size, turn and noise are random, keyed by (seed, id) alone, so that
/// a picture is the same whatever `count` is.
class Shapes : public Dataset {
 public:
  Shapes(Split split, const ShapesOptions& options);

  int64_t size() const override { return options_.count; }
  Example get(int64_t i, int64_t epoch) const override;
  int64_t id(int64_t i) const override { return first_id_ + i; }
  const std::vector<std::string>& classes() const override;

 private:
  ShapesOptions options_;
  int64_t first_id_;
};

}  // namespace minnow
