#include "train/weights.h"

#include <map>
#include <unordered_set>

namespace minnow {
namespace {

/// Counts faults of one kind and keeps the first few.
class Faults {
 public:
  explicit Faults(std::string kind) : kind_(std::move(kind)) {}

  void add(const std::string& fault) {
    constexpr int64_t most = 5;
    if (count_++ < most) listed_ += (listed_.empty() ? "" : ", ") + fault;
    more_ = count_ - most;
  }
  bool none() const { return count_ == 0; }
  /// "\n  3 missing: a [2], b [3], c [4]", or nothing.
  std::string to_string() const {
    if (none()) return {};
    const std::string rest = more_ > 0 ? fmt::format(", and {} more", more_) : "";
    return fmt::format("\n  {} {}: {}{}", count_, kind_, listed_, rest);
  }

 private:
  std::string kind_;
  std::string listed_;
  int64_t count_ = 0;
  int64_t more_ = 0;
};

bool convertible(DType from, DType to) {
  const auto real = [](DType d) {
    return d == DType::float32 || d == DType::float64 || d == DType::bfloat16;
  };
  return from == to || (real(from) && real(to));
}

using ByName =
    std::map<std::string_view, const Tensor*>;  // sorted, so that messages are the same every time

/// Throws unless every target has its source, and every source its target.
void check_fit(std::span<const NamedTensor> targets, const ByName& source,
               const std::string& where) {
  Faults missing("missing"), unexpected("unexpected"), shapes("of another shape"),
      dtypes("of another type");
  std::unordered_set<std::string_view> wanted;
  for (const auto& [name, target] : targets) {
    wanted.insert(name);
    const auto found = source.find(name);
    if (found == source.end()) {
      missing.add(name + " " + to_string(target.shape()));
      continue;
    }
    const Tensor& given = *found->second;
    if (given.shape() != target.shape()) {
      shapes.add(fmt::format("{} {} instead of {}", name, to_string(given.shape()),
                             to_string(target.shape())));
    } else if (!convertible(given.dtype(), target.dtype())) {
      dtypes.add(fmt::format("{} {} instead of {}", name, to_string(given.dtype()),
                             to_string(target.dtype())));
    }
  }
  for (const auto& [name, given] : source) {
    if (name.ends_with(".num_batches_tracked")) continue;  // PyTorch's, which no model here reads
    if (!wanted.contains(name)) unexpected.add(std::string(name) + " " + to_string(given->shape()));
  }
  check(missing.none() && unexpected.none() && shapes.none() && dtypes.none(),
        "{}: the tensors do not fit{}{}{}{}", where, missing.to_string(), unexpected.to_string(),
        shapes.to_string(), dtypes.to_string());
}

}  // namespace

void copy_by_name(std::span<const NamedTensor> targets, std::span<const NamedTensor> source,
                  const std::string& where) {
  ByName by_name;
  for (const auto& [name, tensor] : source) {
    check(by_name.emplace(name, &tensor).second, "{}: there are two tensors '{}'", where, name);
  }
  check_fit(targets, by_name, where);
  for (const auto& [name, target] : targets) {
    target.copy_from(by_name.at(name)->to(target.dtype()));
  }
}

std::vector<NamedTensor> on_host(std::vector<NamedTensor> tensors) {
  for (NamedTensor& named : tensors) named.tensor = named.tensor.to(Device::cpu());
  return tensors;
}

std::vector<NamedTensor> parameter_tensors(const Parameters& parameters) {
  std::vector<NamedTensor> tensors;
  for (const Parameter* p : parameters) tensors.push_back({p->name, p->value});
  return tensors;
}

void load_parameters(const Parameters& parameters, const SafetensorsFile& file,
                     const std::string& where) {
  copy_by_name(parameter_tensors(parameters), file.tensors, where);
}

}  // namespace minnow
