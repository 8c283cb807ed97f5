#include "train/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

namespace minnow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Metadata = std::map<std::string, std::string>;

// Names in the file. No parameter has a slash in its name, so that the two kinds of tensors stay
// apart.
const std::string optimizer_prefix = "optimizer/";
const std::string average_prefix = "ema/";
const std::string thresholds_name = "clip/thresholds";
const std::string state_key = "minnow.checkpoint";
const std::string config_key = "minnow.config";
const std::string checksum_key = "minnow.checksum";
const std::string extra_prefix = "minnow.extra.";
constexpr int version = 1;

/// 64 bits that change with any change within one 8-byte word: each round is a bijection of the
/// state for a given word, and of the word for a given state. It finds accidents; it is no
/// protection against forgery.
class Checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    add_word(bytes.size());
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) add_word(load(bytes.first(8)));
    if (!bytes.empty()) add_word(load(bytes));
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  std::string to_string() const { return fmt::format("{:016x}", state_); }

 private:
  static uint64_t load(std::span<const std::byte> bytes) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), bytes.size());
    return word;
  }
  void add_word(uint64_t word) {
    state_ = (state_ ^ word) * 0x9E3779B97F4A7C15u;  // odd
    state_ ^= state_ >> 32;
  }

  uint64_t state_ = 0x6D696E6E6F77;
};

/// Of the whole content: names, types, shapes, elements and metadata, whatever order they come in.
std::string checksum_of(std::vector<NamedTensor> tensors, const Metadata& metadata) {
  std::sort(tensors.begin(), tensors.end(),
            [](const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; });
  Checksum sum;
  for (const auto& [name, tensor] : tensors) {
    sum.add(name);
    sum.add(to_string(tensor.dtype()));
    sum.add(to_string(tensor.shape()));
    sum.add({tensor.raw(), static_cast<size_t>(tensor.nbytes())});
  }
  for (const auto& [key, text] : metadata) {
    if (key == checksum_key) continue;
    sum.add(key);
    sum.add(text);
  }
  return sum.to_string();
}

std::vector<NamedTensor> tensors_of(const Checkpoint& checkpoint) {
  std::vector<NamedTensor> tensors = checkpoint.parameters;
  for (const NamedTensor& t : tensors) {
    check(t.name.find('/') == std::string::npos, "checkpoint: parameter '{}' has a / in its name",
          t.name);
  }
  for (const auto& [name, tensor] : checkpoint.optimizer) {
    tensors.push_back({optimizer_prefix + name, tensor});
  }
  for (const auto& [name, tensor] : checkpoint.average) {
    tensors.push_back({average_prefix + name, tensor});
  }
  const auto& thresholds = checkpoint.clip_thresholds;
  tensors.push_back(
      {thresholds_name, Tensor::from(thresholds, {static_cast<int64_t>(thresholds.size())})});
  return tensors;
}

Metadata metadata_of(const Checkpoint& checkpoint) {
  const Json state = {{"version", version},
                      {"step", checkpoint.step},
                      {"epoch", checkpoint.epoch},
                      {"batch_in_epoch", checkpoint.batch_in_epoch},
                      {"seed", checkpoint.seed}};
  Metadata metadata = {{state_key, state.dump()}, {config_key, checkpoint.config}};
  for (const auto& [key, text] : checkpoint.extra) metadata[extra_prefix + key] = text;
  return metadata;
}

void read_state(const std::string& text, const std::string& where, Checkpoint& checkpoint) {
  try {
    const Json state = Json::parse(text);
    const auto found = state.at("version").get<int64_t>();
    check(found == version, "{}: a checkpoint of version {}; this program reads {}", where, found,
          version);
    state.at("step").get_to(checkpoint.step);
    state.at("epoch").get_to(checkpoint.epoch);
    state.at("batch_in_epoch").get_to(checkpoint.batch_in_epoch);
    state.at("seed").get_to(checkpoint.seed);
  } catch (const Json::exception& error) {
    throw Error(fmt::format("{}: the state of the run cannot be read: {}", where, error.what()));
  }
}

void read_metadata(const Metadata& metadata, const std::string& where, Checkpoint& checkpoint) {
  for (const auto& [key, text] : metadata) {
    if (key == state_key) read_state(text, where, checkpoint);
    if (key == config_key) checkpoint.config = text;
    if (key.starts_with(extra_prefix)) checkpoint.extra[key.substr(extra_prefix.size())] = text;
  }
}

bool is_checkpoint(const SafetensorsFile& file) {
  return file.metadata.contains(state_key);
}

Checkpoint to_checkpoint(SafetensorsFile file, const std::string& where) {
  check(is_checkpoint(file), "{}: is no checkpoint of a run; it may hold weights alone", where);
  Checkpoint checkpoint;
  read_metadata(file.metadata, where, checkpoint);  // its version comes before all else
  const auto sum = file.metadata.find(checksum_key);
  check(sum != file.metadata.end() && sum->second == checksum_of(file.tensors, file.metadata),
        "{}: the checkpoint is damaged: its checksum does not fit its content", where);
  for (auto& [name, tensor] : file.tensors) {
    if (name.starts_with(optimizer_prefix)) {
      checkpoint.optimizer.push_back({name.substr(optimizer_prefix.size()), tensor});
    } else if (name.starts_with(average_prefix)) {
      checkpoint.average.push_back({name.substr(average_prefix.size()), tensor});
    } else if (name == thresholds_name) {
      checkpoint.clip_thresholds = tensor.to_vector<double>();
    } else {
      checkpoint.parameters.push_back({name, tensor});
    }
  }
  return checkpoint;
}

/// In the place of the parameters of these names; a frozen one has no average.
void put_averages(const std::vector<NamedTensor>& averages, std::vector<NamedTensor>& parameters) {
  std::map<std::string, Tensor> by_name;
  for (const auto& [name, tensor] : averages) by_name.emplace(name, tensor);
  for (auto& [name, tensor] : parameters) {
    if (const auto found = by_name.find(name); found != by_name.end()) tensor = found->second;
  }
}

}  // namespace

void save_checkpoint(const fs::path& path, const Checkpoint& checkpoint) {
  const std::vector<NamedTensor> tensors = tensors_of(checkpoint);
  Metadata metadata = metadata_of(checkpoint);
  metadata[checksum_key] = checksum_of(tensors, metadata);
  if (path.has_parent_path()) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error) {
      throw RunError(fmt::format("{}: cannot make the folder: {}", path.parent_path().string(),
                                 error.message()));
    }
  }
  save_safetensors(path, tensors, metadata);
}

Checkpoint load_checkpoint(const fs::path& path) {
  return to_checkpoint(load_safetensors(path), path.string());
}

SafetensorsFile load_weights(const fs::path& path, bool raw) {
  SafetensorsFile file = load_safetensors(path);
  std::vector<NamedTensor> averages;
  if (is_checkpoint(file)) {
    Checkpoint checkpoint = to_checkpoint(std::move(file), path.string());
    file = {std::move(checkpoint.parameters), {}};
    averages = std::move(checkpoint.average);
  }
  check(!raw || !averages.empty(),
        "{}: holds one set of weights only; raw ones stand beside averages in checkpoints of runs "
        "with train.ema",
        path.string());
  if (!raw) put_averages(averages, file.tensors);
  return file;
}

}  // namespace minnow
