#pragma once

#include <memory>

#include "engine/tensor.h"

namespace minnow {

/// A copy of a tensor on its way to the host: started without waiting, and waited for when it is
/// needed, so that a GPU goes on meanwhile. A tensor that is on the host already is cloned.
class HostCopy {
 public:
  HostCopy() = default;
  explicit HostCopy(const Tensor& source);
  /// One that nobody waited for is waited for here: its memory may not be given to others before.
  ~HostCopy();
  HostCopy(HostCopy&&) = default;
  HostCopy& operator=(HostCopy&& other) noexcept;
  bool started() const { return tensor_.defined(); }
  /// The elements, when everything that was asked of the device before the copy is done.
  const Tensor& wait();

 private:
  Tensor tensor_;
  std::shared_ptr<void> event_;  // passed when the copy is done; null: it is
};

}  // namespace minnow
