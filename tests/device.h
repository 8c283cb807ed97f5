#pragma once

#include "engine/tensor.h"

namespace minnow::test {

/// Where ops and models are tested: the environment variable MINNOW_TEST_DEVICE, cpu or cuda.
Device test_device();

/// The same tensor there.
inline Tensor on_device(const Tensor& x) {
  return x.to(test_device());
}
/// The same tensor where tests can read it.
inline Tensor on_cpu(const Tensor& x) {
  return x.to(Device::cpu());
}

/// x[i] = value, on any device.
template <class T>
void set_element(const Tensor& x, int64_t i, T value) {
  x.reshape({-1}).slice(i, i + 1).copy_from(Tensor::from(std::vector<T>{value}, {1}));
}

}  // namespace minnow::test
