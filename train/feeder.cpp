#include "train/feeder.h"

#include <utility>

#if MINNOW_CUDA
#include "kernels/runtime.h"
#endif

namespace minnow {
namespace {

#if MINNOW_CUDA

/// A tensor like `from` on the GPU, on its way there through pinned memory, which `staged` keeps.
Tensor upload(const Tensor& from, Tensor& staged) {
  staged = Tensor::pinned(from.shape(), from.dtype());
  staged.copy_from(from);
  Tensor to = Tensor::empty(from.shape(), from.dtype(), Device::cuda());
  cuda::start_upload(to.raw(), staged.raw(), staged.nbytes());
  return to;
}

Feeder::Fed send(const Batch& batch) {
  Feeder::Fed fed;
  try {
    fed.batch.inputs = upload(batch.inputs, fed.staged.inputs);
    fed.batch.labels = upload(batch.labels, fed.staged.labels);
    fed.batch.ids = upload(batch.ids, fed.staged.ids);
    if (batch.targets.defined()) {
      fed.batch.targets = upload(batch.targets, fed.staged.targets);
      fed.batch.target_lengths = upload(batch.target_lengths, fed.staged.target_lengths);
    }
  } catch (...) {
    cuda::finish_upload();  // the memory of those that are on their way goes to others now
    throw;
  }
  fed.batch.marked = batch.marked;
  fed.batch.domains = batch.domains;
  fed.batch.lengths = batch.lengths;  // the host computes with them
  return fed;
}

#endif

}  // namespace

void Feeder::drop_ahead() {
#if MINNOW_CUDA
  if (ahead_) cuda::finish_upload();  // what is written next to its memory comes after it
#endif
  ahead_.reset();
  failure_ = nullptr;
  fetched_ = false;
}

void Feeder::start_epoch(int64_t epoch, int64_t first_batch) {
  drop_ahead();
  loader_->start_epoch(epoch, first_batch);
}

void Feeder::prefetch() {
#if MINNOW_CUDA
  if (device_.is_cpu() || fetched_) return;
  fetched_ = true;
  try {
    if (const auto batch = loader_->next()) ahead_ = send(*batch);
  } catch (...) {
    failure_ = std::current_exception();
  }
#endif
}

std::optional<Feeder::Fed> Feeder::next() {
  if (device_.is_cpu()) {
    auto batch = loader_->next();
    if (!batch) return std::nullopt;
    return Fed{std::move(*batch), {}};
  }
  prefetch();
  fetched_ = false;
  if (failure_ != nullptr) std::rethrow_exception(std::exchange(failure_, nullptr));
#if MINNOW_CUDA
  cuda::finish_upload();
#endif
  return std::exchange(ahead_, std::nullopt);
}

}  // namespace minnow
