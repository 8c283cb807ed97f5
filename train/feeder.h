#pragma once

#include <exception>
#include <memory>
#include <optional>

#include "data/loader.h"

namespace minnow {

/// Brings a loader's batches to the device that trains. On a GPU the next batch travels, from
/// pinned memory and beside the kernels, while the step at hand computes.
class Feeder {
 public:
  Feeder(std::unique_ptr<Loader> loader, Device device)
      : loader_(std::move(loader)), device_(device) {}
  ~Feeder() { drop_ahead(); }
  Feeder(const Feeder&) = delete;
  Feeder& operator=(const Feeder&) = delete;

  /// A batch on the device; its lengths stay on the host.
  struct Fed {
    Batch batch;
    Batch staged;  ///< its pinned source: to be kept until the device has used the batch
  };

  int64_t batches() const { return loader_->batches(); }
  /// As Loader::start_epoch; a batch that is on its way is dropped.
  void start_epoch(int64_t epoch, int64_t first_batch = 0);
  /// The next batch of the epoch, as Loader::next.
  std::optional<Fed> next();
  /// Sends the batch after it on its way. It travels beside the kernels that are started after this
  /// call, and only when those before it are done: to be called before the step at hand. On the CPU
  /// there is nothing to do.
  void prefetch();

 private:
  void drop_ahead();

  std::unique_ptr<Loader> loader_;
  Device device_;
  std::optional<Fed> ahead_;
  std::exception_ptr failure_;  // of the batch ahead, for its turn
  bool fetched_ = false;        // whether the two above say what comes next
};

}  // namespace minnow
