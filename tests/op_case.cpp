#include "tests/op_case.h"

#include <cstdlib>

#include "kernels/random.h"

namespace minnow::test {

Device test_device() {
  static const Device device = [] {
    const char* name = std::getenv("MINNOW_TEST_DEVICE");
    const std::string_view text = name == nullptr ? "cpu" : name;
    check(text == "cpu" || text == "cuda", "MINNOW_TEST_DEVICE: cpu or cuda; got {}", text);
    return text == "cpu" ? Device::cpu() : Device::cuda();
  }();
  return device;
}

std::vector<OpCase>& op_cases() {
  static std::vector<OpCase> cases;
  return cases;
}

Tensor random_normal(const Shape& shape, uint64_t seed, DType dtype) {
  Tensor x = Tensor::empty(shape, DType::float64);
  RandomSequence random(RandomKey{seed, 77, 0, 0});
  for (int64_t i = 0; i < x.numel(); ++i) x.data<double>()[i] = random.normal();
  return x.to(dtype);
}

Parameter random_parameter(const std::string& name, const Shape& shape, uint64_t seed,
                           DType dtype) {
  return Parameter{.name = name, .value = random_normal(shape, seed, dtype)};
}

Tensor map(const Tensor& x, const std::function<double(double)>& f) {
  Tensor y = Tensor::empty(x.shape(), DType::float64);
  for (int64_t i = 0; i < x.numel(); ++i) y.data<double>()[i] = f(x.data<double>()[i]);
  return y;
}

}  // namespace minnow::test
