#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "engine/tensor.h"

namespace minnow {

/// Keeps tensors up to a number of bytes, the first ones that come; safe from several threads.
class FeatureCache {
 public:
  using Key = std::pair<int64_t, double>;  ///< an id, and the speed of the sound

  explicit FeatureCache(int64_t most_bytes) : most_bytes_(most_bytes) {}

  /// What `make` gives, which depends on the key only: as kept, or made now.
  Tensor get(Key key, const std::function<Tensor()>& make) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = kept_.find(key);
      if (found != kept_.end()) return found->second;
    }
    Tensor made = make();
    const std::lock_guard lock(mutex_);
    if (bytes_ + made.nbytes() <= most_bytes_ && kept_.emplace(key, made).second) {
      bytes_ += made.nbytes();
    }
    return made;
  }

 private:
  int64_t most_bytes_;
  std::mutex mutex_;  // guards the next two
  int64_t bytes_ = 0;
  std::map<Key, Tensor> kept_;
};

}  // namespace minnow
