#include "data/dataset.h"

#include <cstring>

namespace minnow {

Batch make_batch(const Dataset& dataset, std::span<const int64_t> indices, int64_t epoch) {
  const int64_t B = static_cast<int64_t>(indices.size());
  check(B > 0, "batch: needs at least one example");
  Batch batch;
  batch.labels = Tensor::empty({B}, DType::int64);  // [B]
  batch.ids = Tensor::empty({B}, DType::int64);     // [B]
  batch.marked.reserve(indices.size());
  Shape first;
  int64_t first_id = 0;
  for (int64_t b = 0; b < B; ++b) {
    const Example example = dataset.get(indices[static_cast<size_t>(b)], epoch);
    if (b == 0) {
      first = example.input.shape();
      first_id = example.id;
      Shape shape{B};
      shape.insert(shape.end(), first.begin(), first.end());
      batch.inputs = Tensor::empty(shape, example.input.dtype());  // [B, ...]
    }
    check(example.input.shape() == first && example.input.dtype() == batch.inputs.dtype(),
          "batch: inputs must agree in shape and dtype; got {} {} of example {} and {} {} of "
          "example {}",
          to_string(batch.inputs.dtype()), to_string(first), first_id,
          to_string(example.input.dtype()), to_string(example.input.shape()), example.id);
    const int64_t row = example.input.nbytes();
    std::memcpy(batch.inputs.raw() + b * row, example.input.raw(), static_cast<size_t>(row));
    batch.labels.data<int64_t>()[b] = example.label;
    batch.ids.data<int64_t>()[b] = example.id;
    batch.marked.push_back(example.marked);
  }
  return batch;
}

}  // namespace minnow
