#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "data/dataset.h"

namespace minnow {

struct LoaderOptions {
  int64_t batch = 64;
  bool shuffle = false;
  uint64_t seed = 0;    ///< of the order
  int64_t workers = 0;  ///< threads that prepare batches; 0 = the calling thread does it in next()
  bool drop_last = false;  ///< leave out a last batch that is not full
  int64_t prefetch = 4;    ///< batches that the workers may be ahead; at least 1
  /// Repeated augmentation (arXiv 1902.05509): copies of an example that come together. An epoch
  /// keeps its length and so shows one in `repeats` of the examples; needs `shuffle`, which decides
  /// which. In a batch all first copies come before all second ones, so that copies of an example
  /// are apart from each other.
  int64_t repeats = 1;
  /// Batches of examples of about the same length, where the data set is ragged: the shuffled order
  /// is sorted by length within each run of kSortedBatches batches, and the full batches of the
  /// epoch are then shuffled. Needs `shuffle`, and no repeats.
  bool by_length = false;
  /// Batches of as many examples, `batch` at most, as have so many frames together once they are
  /// padded (by Dataset::length, that of recordings at their own speed; a longer example is a batch
  /// of its own); 0: batches of `batch`. The examples are sorted by length and cut in the same
  /// places in every epoch; the shuffle decides on the order of the batches, and between examples
  /// of one length, to which lengths are rounded up by 4 % at most. Needs `shuffle`, a ragged data
  /// set, and no repeats; no batch is dropped.
  int64_t frames = 0;
  /// What else is done to a batch, by whoever prepares it; called from several threads at once.
  std::function<void(Batch&, int64_t epoch)> finish = {};
};

/// More of them leave less padding, and make the batches less random.
inline constexpr int64_t kSortedBatches = 20;

/// Delivers the batches of one epoch after another. The order of epoch e is keyed by (seed, e);
/// with the data set's own keys, batch k of epoch e is the same bits whatever the workers and
/// wherever the run was resumed.
///
/// One thread calls the members; the workers only prepare. Destruction stops them after the batch
/// they are at.
class Loader {
 public:
  /// Throws Error when an option is out of range, or the data set yields no batch; RunError when
  /// the system gives no more threads.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Number of batches in an epoch.
  int64_t batches() const { return batches_; }
  const Dataset& dataset() const { return *dataset_; }
  /// How many batches of an epoch have no more examples than that.
  int64_t batches_of_at_most(int64_t examples) const;
  /// Begins epoch `epoch` at batch `first_batch` of [0, batches()]; what was left of another epoch
  /// is dropped.
  void start_epoch(int64_t epoch, int64_t first_batch = 0);
  /// The next batch, or nothing at the end of the epoch. What the data set throws for a batch is
  /// thrown here when it is that batch's turn; the call after it delivers the batch that follows.
  std::optional<Batch> next();

 private:
  /// One run through the data, from start_epoch to its end; a worker that is late keeps the one
  /// that it began with.
  struct Pass {
    int64_t epoch = 0;
    std::vector<int64_t> order;
    std::vector<int64_t> bounds;  // batch k is order[bounds[k]] to order[bounds[k + 1]]
  };
  struct Result {
    std::optional<Batch> batch;
    std::exception_ptr failure;
  };

  int64_t examples() const { return dataset_->size() / options_.repeats; }  // of an epoch
  Pass pass_of(int64_t epoch) const;
  std::vector<int64_t> order_of(int64_t epoch) const;
  std::vector<int64_t> arranged_by_length(std::vector<int64_t> order, int64_t epoch) const;
  /// Where batches of options_.frames end in `sorted`, examples from the shortest to the longest.
  std::vector<int64_t> cuts(const std::vector<int64_t>& sorted) const;
  void sort_by_length(std::span<int64_t> examples) const;
  Result prepare(const Pass& pass, int64_t index) const;
  void work();
  void stop();

  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  int64_t batches_ = 0;           // of an epoch
  std::vector<int64_t> lengths_;  // of the examples, where they are sorted by them

  std::mutex mutex_;
  std::condition_variable wanted_;  // a worker may take a batch, or must stop
  std::condition_variable done_;    // a batch is ready
  // All below is guarded by mutex_ while workers run.
  std::shared_ptr<const Pass> pass_;
  int64_t delivered_ = 0;  // batches of the pass that next() has handed out or passed over
  int64_t taken_ = 0;      // batches of the pass that workers have begun
  std::map<int64_t, Result> ready_;  // of the pass, by batch number; at most `prefetch` of them
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace minnow
