#include "tests/golden.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "tests/paths.h"

namespace minnow::test {

Golden::Golden(const std::string& name)
    : name_(name), file_(load_safetensors(source_path("tests/golden") / (name + ".safetensors"))) {}

Tensor Golden::at(const std::string& name) const {
  const Tensor* found = file_.find(name);
  check(found != nullptr, "golden file {}: no tensor {}", name_, name);
  return *found;
}

std::vector<std::string> Golden::cases_of(const std::string& family) const {
  const std::string mark = ".dy";  // which every operation has
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file_.tensors) {
    if (name.starts_with(family + ".") && name.ends_with(mark)) {
      names.push_back(name.substr(0, name.size() - mark.size()));
    }
  }
  check(!names.empty(), "golden file {}: no cases of {}", name_, family);
  return names;
}

double relative_error(const Tensor& actual, const Tensor& expected) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (!actual.defined() || actual.shape() != expected.shape()) return infinity;
  const Tensor a = actual.to(Device::cpu()).to(DType::float64), e = expected.to(DType::float64);
  double error = 0, magnitude = 0;
  for (int64_t i = 0; i < e.numel(); ++i) {
    const double difference = std::abs(a.data<double>()[i] - e.data<double>()[i]);
    if (std::isnan(difference)) return infinity;
    error = std::max(error, difference);
    magnitude = std::max(magnitude, std::abs(e.data<double>()[i]));
  }
  return error == 0 ? 0 : error / magnitude;
}

}  // namespace minnow::test
