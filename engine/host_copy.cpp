#include "engine/host_copy.h"

#include <utility>

#if MINNOW_CUDA
#include "kernels/runtime.h"
#endif

namespace minnow {

HostCopy::HostCopy(const Tensor& source) {
#if MINNOW_CUDA
  if (source.device().is_cuda()) {
    tensor_ = Tensor::pinned(source.shape(), source.dtype());
    cuda::copy_to_pinned(tensor_.raw(), source.raw(), source.nbytes());
    auto event = std::make_shared<cuda::Event>();
    event->record();
    event_ = std::move(event);
    return;
  }
#endif
  tensor_ = source.clone();
}

HostCopy::~HostCopy() {
  try {
    wait();
  } catch (...) {  // the device has failed: nothing is on its way any more
  }
}

HostCopy& HostCopy::operator=(HostCopy&& other) noexcept {
  std::swap(tensor_, other.tensor_);
  std::swap(event_, other.event_);
  return *this;
}

const Tensor& HostCopy::wait() {
#if MINNOW_CUDA
  if (event_ != nullptr) {
    static_cast<const cuda::Event*>(event_.get())->wait();
    event_.reset();
  }
#endif
  return tensor_;
}

}  // namespace minnow
