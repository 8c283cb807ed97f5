#include "data/loader.h"

#include <algorithm>
#include <numeric>
#include <system_error>
#include <utility>

#include "data/permutation.h"
#include "data/wrappers.h"

namespace minnow {
namespace {

/// To the next of 1, 2, ..., 26, 27, 28, ... whose steps are 4 % from 25 on.
int64_t rounded_up(int64_t length) {
  int64_t edge = 1;
  while (edge < length) edge = std::max(edge + 1, edge * 26 / 25);
  return edge;
}

}  // namespace

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options)
    : dataset_(std::move(dataset)), options_(std::move(options)) {
  check(dataset_ != nullptr && dataset_->size() > 0, "loader: the data set is empty");
  check(options_.batch > 0, "loader: the batch size must be positive; got {}", options_.batch);
  check(options_.workers >= 0, "loader: workers must not be negative; got {}", options_.workers);
  check(options_.repeats == 1 || (options_.repeats > 1 && options_.shuffle),
        "loader: repeats must be positive, and 1 where the order is not shuffled; got {}",
        options_.repeats);
  if (options_.repeats > 1) dataset_ = std::make_shared<Repeated>(dataset_, options_.repeats);
  check(!options_.by_length || (options_.shuffle && options_.repeats == 1),
        "loader: by_length needs a shuffled order without repeats");
  check(options_.frames >= 0, "loader: frames must not be negative; got {}", options_.frames);
  check(options_.frames == 0 || (options_.shuffle && options_.repeats == 1 && dataset_->ragged()),
        "loader: batches of frames need sequences in a shuffled order without repeats");
  check(options_.prefetch > 0, "loader: prefetch must be positive; got {}", options_.prefetch);
  if (dataset_->ragged() && (options_.by_length || options_.frames > 0)) {
    for (int64_t i = 0; i < dataset_->size(); ++i) {
      const int64_t length = dataset_->length(i);
      lengths_.push_back(options_.frames > 0 ? rounded_up(length) : length);
    }
  }
  batches_ = std::ssize(pass_of(0).bounds) - 1;
  check(batches() > 0, "loader: {} examples fill no batch of {}, and drop_last leaves out the rest",
        examples(), options_.batch);
  try {
    for (int64_t i = 0; i < options_.workers; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error& failure) {
    stop();
    throw RunError(fmt::format("loader: cannot start {} workers: {}", options_.workers,
                               failure.code().message()));
  }
}

Loader::~Loader() {
  stop();
}

void Loader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wanted_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

int64_t Loader::batches_of_at_most(int64_t examples) const {
  const std::vector<int64_t> bounds = pass_of(0).bounds;
  int64_t count = 0;
  for (size_t k = 1; k < bounds.size(); ++k) count += bounds[k] - bounds[k - 1] <= examples;
  return count;
}

Loader::Pass Loader::pass_of(int64_t epoch) const {
  Pass pass{.epoch = epoch, .order = order_of(epoch), .bounds = {0}};
  if (options_.frames > 0) {
    sort_by_length(pass.order);
    const std::vector<int64_t> ends = cuts(pass.order);
    std::vector<int64_t> order;
    for (const int64_t k : permutation(std::ssize(ends) - 1, {options_.seed, stream::shuffle,
                                                              static_cast<uint64_t>(epoch), 1})) {
      order.insert(order.end(), pass.order.begin() + ends[static_cast<size_t>(k)],
                   pass.order.begin() + ends[static_cast<size_t>(k) + 1]);
      pass.bounds.push_back(std::ssize(order));
    }
    pass.order = std::move(order);
    return pass;
  }
  const int64_t n = examples(), batch = options_.batch;
  for (int64_t end = batch; end <= n; end += batch) pass.bounds.push_back(end);
  if (!options_.drop_last && n % batch != 0) pass.bounds.push_back(n);
  return pass;
}

std::vector<int64_t> Loader::order_of(int64_t epoch) const {
  const int64_t n = examples(), repeats = options_.repeats;
  if (!options_.shuffle) {
    std::vector<int64_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    return order;
  }
  const std::vector<int64_t> shuffled =
      permutation(n, {options_.seed, stream::shuffle, static_cast<uint64_t>(epoch), 0});
  if (options_.frames > 0) return shuffled;
  if (options_.by_length && dataset_->ragged()) return arranged_by_length(shuffled, epoch);
  std::vector<int64_t> order;
  for (int64_t begin = 0; begin < n; begin += options_.batch) {
    for (int64_t copy = 0; copy < repeats; ++copy) {
      for (int64_t i = begin; i < std::min(begin + options_.batch, n); ++i) {
        if (i % repeats == copy) {
          order.push_back(shuffled[static_cast<size_t>(i / repeats)] * repeats + copy);
        }
      }
    }
  }
  return order;
}

/// A last batch that is not full stays as the shuffle made it, and last: else it, or what is
/// dropped in its place, would be of the longest examples.
std::vector<int64_t> Loader::arranged_by_length(std::vector<int64_t> order, int64_t epoch) const {
  const int64_t batch = options_.batch, full = std::ssize(order) / batch;
  for (int64_t first = 0; first < full; first += kSortedBatches) {
    const int64_t end = std::min(first + kSortedBatches, full);
    sort_by_length({order.begin() + first * batch, order.begin() + end * batch});
  }
  std::vector<int64_t> arranged;
  for (const int64_t k :
       permutation(full, {options_.seed, stream::shuffle, static_cast<uint64_t>(epoch), 1})) {
    arranged.insert(arranged.end(), order.begin() + k * batch, order.begin() + (k + 1) * batch);
  }
  arranged.insert(arranged.end(), order.begin() + full * batch, order.end());
  return arranged;
}

void Loader::sort_by_length(std::span<int64_t> examples) const {
  std::stable_sort(examples.begin(), examples.end(), [&](int64_t a, int64_t b) {
    return lengths_[static_cast<size_t>(a)] < lengths_[static_cast<size_t>(b)];
  });
}

std::vector<int64_t> Loader::cuts(const std::vector<int64_t>& sorted) const {
  std::vector<int64_t> ends{0};
  for (int64_t i = 1; i < std::ssize(sorted); ++i) {
    const int64_t count = i + 1 - ends.back();  // with example i, which is the longest of them
    if (count > options_.batch ||
        count * lengths_[static_cast<size_t>(sorted[static_cast<size_t>(i)])] > options_.frames) {
      ends.push_back(i);
    }
  }
  ends.push_back(std::ssize(sorted));
  return ends;
}

void Loader::start_epoch(int64_t epoch, int64_t first_batch) {
  check(epoch >= 0, "loader: epochs count from 0; got {}", epoch);
  check(first_batch >= 0 && first_batch <= batches(),
        "loader: an epoch starts at batch 0 to {}; got {}", batches(), first_batch);
  auto pass = std::make_shared<Pass>(pass_of(epoch));
  {
    const std::lock_guard lock(mutex_);
    pass_ = std::move(pass);
    delivered_ = taken_ = first_batch;
    ready_.clear();
  }
  wanted_.notify_all();
}

Loader::Result Loader::prepare(const Pass& pass, int64_t index) const {
  const int64_t begin = pass.bounds[static_cast<size_t>(index)];
  const int64_t end = pass.bounds[static_cast<size_t>(index) + 1];
  const std::span<const int64_t> order(pass.order);
  try {
    Batch batch = make_batch(*dataset_, order.subspan(begin, end - begin), pass.epoch);
    if (options_.finish) options_.finish(batch, pass.epoch);
    return {std::move(batch), nullptr};
  } catch (...) {
    return {std::nullopt, std::current_exception()};
  }
}

void Loader::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wanted_.wait(lock, [this] {
      return stop_ || (pass_ && taken_ < batches() && taken_ < delivered_ + options_.prefetch);
    });
    if (stop_) return;
    const std::shared_ptr<const Pass> pass = pass_;
    const int64_t index = taken_++;
    lock.unlock();
    Result result = prepare(*pass, index);
    lock.lock();
    if (pass != pass_) continue;  // start_epoch came in between
    ready_.emplace(index, std::move(result));
    done_.notify_one();
  }
}

std::optional<Batch> Loader::next() {
  std::unique_lock lock(mutex_);
  check(pass_ != nullptr, "loader: call start_epoch before next");
  if (delivered_ == batches()) return std::nullopt;
  const int64_t index = delivered_++;
  Result result;
  if (workers_.empty()) {
    result = prepare(*pass_, index);
  } else {
    wanted_.notify_one();  // there is room for one batch more
    done_.wait(lock, [&] { return ready_.contains(index); });
    result = std::move(ready_.extract(index).mapped());
  }
  if (result.failure) std::rethrow_exception(result.failure);
  return std::move(result.batch);
}

}  // namespace minnow
