#pragma once

#include <string>
#include <vector>

#include "engine/safetensors.h"

namespace minnow::test {

/// A file of tests/golden, whose make_*.py says what is in it.
class Golden {
 public:
  explicit Golden(const std::string& name);

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  /// Throws Error naming the tensor where there is none.
  Tensor at(const std::string& name) const;
  /// The operations FAMILY.NAME of the file, by these names; Error where there are none.
  std::vector<std::string> cases_of(const std::string& family) const;
  const SafetensorsFile& file() const { return file_; }

 private:
  std::string name_;
  SafetensorsFile file_;
};

/// max |actual - expected| / max |expected|, in float64; infinite where shapes disagree or a value
/// is not a number.
double relative_error(const Tensor& actual, const Tensor& expected);

}  // namespace minnow::test
