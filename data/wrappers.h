#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/augment.h"
#include "data/dataset.h"
#include "kernels/random.h"

namespace minnow {

/// A data set around another one; what it does not change it passes on.
class Wrapper : public Dataset {
 public:
  explicit Wrapper(std::shared_ptr<const Dataset> base);

  int64_t size() const override { return base_->size(); }
  const std::vector<std::string>& classes() const override { return base_->classes(); }
  std::vector<std::string> warnings() const override { return base_->warnings(); }
  std::vector<std::string> notices() const override { return base_->notices(); }
  bool ragged() const override { return base_->ragged(); }
  bool transcribed() const override { return base_->transcribed(); }
  int64_t id(int64_t i) const override { return base_->id(i); }
  int64_t length(int64_t i) const override { return base_->length(i); }
  int64_t vocabulary() const override { return base_->vocabulary(); }
  std::string vocabulary_mark() const override { return base_->vocabulary_mark(); }
  std::vector<int64_t> transcript(int64_t i) const override { return base_->transcript(i); }
  std::vector<std::string> domains() const override { return base_->domains(); }

  const Dataset& base() const { return *base_; }

 private:
  std::shared_ptr<const Dataset> base_;
};

struct TransformOptions {
  std::vector<double> mean{0.5};  ///< one number, or one per channel, of pictures in 0..1
  std::vector<double> std{0.5};   ///< likewise; positive
  AugmentOptions augment = {};
  uint64_t seed = 0;  ///< of the augmentation
};

/// uint8 pictures become float32, (x / 255 - mean) / std, after an augmentation keyed by (seed,
/// epoch, id): the same whatever the batch, the order or the worker.
class Transformed : public Wrapper {
 public:
  /// Throws Error when the pictures are not uint8 [C, H, W], or an option does not fit them.
  Transformed(std::shared_ptr<const Dataset> base, TransformOptions options);

  Example get(int64_t i, int64_t epoch) const override;

 private:
  TransformOptions options_;
  std::vector<std::array<float, 256>> tables_;  // of each channel: byte -> normalised value
};

/// Every example `repeats` times in a row, with other random changes and another id each time: copy
/// k in epoch e is what the example is in epoch e * repeats + k.
class Repeated : public Wrapper {
 public:
  Repeated(std::shared_ptr<const Dataset> base, int64_t repeats);

  int64_t size() const override { return base().size() * repeats_; }
  int64_t id(int64_t i) const override {
    return base().id(i / repeats_) + (i % repeats_ << kCopyShift);
  }
  int64_t length(int64_t i) const override { return base().length(i / repeats_); }
  std::vector<int64_t> transcript(int64_t i) const override {
    return base().transcript(i / repeats_);
  }
  Example get(int64_t i, int64_t epoch) const override;

 private:
  int64_t repeats_;
};

/// The examples `indices` of a data set, in that order.
class Subset : public Wrapper {
 public:
  Subset(std::shared_ptr<const Dataset> base, std::vector<int64_t> indices);

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  int64_t id(int64_t i) const override { return base().id(indices_[static_cast<size_t>(i)]); }
  int64_t length(int64_t i) const override {
    return base().length(indices_[static_cast<size_t>(i)]);
  }
  std::vector<int64_t> transcript(int64_t i) const override {
    return base().transcript(indices_[static_cast<size_t>(i)]);
  }
  Example get(int64_t i, int64_t epoch) const override;

 private:
  std::vector<int64_t> indices_;
};

/// n examples drawn without replacement, in the order of the data set; the same ones in every run.
/// (The first n of a data set that is sorted by class would all be of one class.) All of it where
/// it has no more than n.
std::shared_ptr<const Dataset> limit_to(std::shared_ptr<const Dataset> base, int64_t n);

/// A share of the examples, drawn without replacement and the same in every run, or what that
/// leaves for training. Error where either would be empty.
std::shared_ptr<const Dataset> held_out(std::shared_ptr<const Dataset> base, double share);
std::shared_ptr<const Dataset> without_held_out(std::shared_ptr<const Dataset> base, double share);

}  // namespace minnow
