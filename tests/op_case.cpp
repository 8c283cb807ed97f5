#include "tests/op_case.h"

#include "kernels/random.h"

namespace minnow::test {

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
