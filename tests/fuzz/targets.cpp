#include "tests/fuzz/targets.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>

#include "data/audio.h"
#include "data/cifar10.h"
#include "data/log_mel.h"
#include "data/mnist.h"
#include "data/picture.h"
#include "engine/check.h"
#include "engine/safetensors.h"
#include "tests/temporary_folder.h"
#include "train/arpa.h"
#include "train/checkpoint.h"
#include "train/config.h"

namespace minnow::fuzz {
namespace {

namespace fs = std::filesystem;

/// What an input that was taken must fulfil.
void require(bool ok, const std::string& rule) {
  if (!ok) throw std::logic_error(rule);
}

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Where all files of the fuzzer lie: one name a purpose, written anew for every input.
fs::path file_called(const std::string& name) {
  static const TemporaryFolder folder;
  return folder / name;
}

fs::path write(const std::string& name, Bytes bytes) {
  fs::path path = file_called(name);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text_of(bytes);
  file.close();
  require(file.good(), "the fuzzer cannot write " + path.string());
  return path;
}

/// The first `count` bytes of `bytes` (fewer where there are not so many), which are taken off.
Bytes take(Bytes& bytes, size_t count) {
  const Bytes front = bytes.first(std::min(count, bytes.size()));
  bytes = bytes.subspan(front.size());
  return front;
}

/// The next two bytes as a number, little-endian; 0 where they are missing.
uint16_t take_number(Bytes& bytes) {
  const Bytes two = take(bytes, 2);
  return two.size() == 2 ? static_cast<uint16_t>(two[0] | two[1] << 8) : uint16_t{0};
}

bool same(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    const Tensor &s = x.tensor, &t = y.tensor;
    return x.name == y.name && s.dtype() == t.dtype() && s.shape() == t.shape() &&
           std::equal(s.raw(), s.raw() + s.nbytes(), t.raw());
  });
}

std::vector<NamedTensor> by_name(std::vector<NamedTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; });
  return tensors;
}

void read_safetensors(Bytes input) {
  const SafetensorsFile file = load_safetensors(write("in.safetensors", input));
  const fs::path out = file_called("out.safetensors");
  save_safetensors(out, file.tensors, file.metadata);
  const SafetensorsFile again = load_safetensors(out);
  require(same(by_name(file.tensors), by_name(again.tensors)), "tensors survive a round trip");
  require(file.metadata == again.metadata, "metadata survive a round trip");
}

void read_checkpoint(Bytes input) {
  const Checkpoint checkpoint = load_checkpoint(write("in.safetensors", input));
  const fs::path out = file_called("out.safetensors");
  save_checkpoint(out, checkpoint);
  const Checkpoint again = load_checkpoint(out);
  require(same(by_name(checkpoint.parameters), by_name(again.parameters)), "parameters survive");
  require(same(by_name(checkpoint.optimizer), by_name(again.optimizer)), "the optimizer survives");
  require(checkpoint.step == again.step && checkpoint.config == again.config, "the rest survives");
}

/// Looks at every example, at the ends of its pixels too.
void read_all(const Dataset& dataset) {
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const Example example = dataset.get(i, 0);
    require(example.label >= 0 && example.label < std::ssize(dataset.classes()), "labels in range");
    require(example.input.rank() == 3 && example.input.numel() > 0, "an example is a picture");
    const volatile uint8_t* pixels = example.input.data<uint8_t>();
    for (const int64_t at : {int64_t{0}, example.input.numel() - 1}) (void)pixels[at];
  }
}

/// Two bytes say how many bytes after them are the file of pictures; the rest is that of labels.
void read_idx(Bytes input) {
  const size_t count = take_number(input);
  write("train-images-idx3-ubyte", take(input, count));
  const fs::path folder = write("train-labels-idx1-ubyte", input).parent_path();
  read_all(*read_mnist(folder.string(), Split::train));
}

/// A file of two records: two bytes say by how many it is longer or shorter, two more whether the
/// rest of the input lies at its start or in place of the second record; zeros elsewhere.
void read_cifar(Bytes input) {
  constexpr size_t records = 2, record = 1 + 3 * 32 * 32, length = records * record;
  const auto surplus = static_cast<int16_t>(take_number(input));
  const size_t start = take_number(input) % records * record;
  std::vector<uint8_t> file(length, 0), images(records * (record - 1));
  const Bytes bytes = take(input, length - start);
  std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(start));
  file.resize(static_cast<size_t>(std::max(0, static_cast<int>(length) + surplus)));
  std::vector<int64_t> labels;
  read_cifar10_file(write("test_batch.bin", file), records, images.data(), labels);
  require(labels.size() == records && *std::max_element(labels.begin(), labels.end()) < 10,
          "labels in range");
}

/// A configuration that was taken can be written down, and read again as it was.
void check_round_trip(const Config& config) {
  const std::string text = to_toml(config);
  Config again;
  try {
    apply_toml(again, text, "config.toml");
  } catch (const Error& error) {
    throw std::logic_error(error.what());
  }
  require(to_toml(again) == text, "a configuration survives a round trip");
  check_config(config);
  config.dataset();
  config.optimizer();
  config.clip_rule();
  config.grouped_options();
}

void read_toml(Bytes input) {
  Config config;
  apply_toml(config, text_of(input), "input.toml");
  check_round_trip(config);
}

/// One argument a line.
void read_overrides(Bytes input) {
  std::vector<std::string> arguments{""};
  for (const char c : text_of(input)) {
    if (c == '\n') {
      arguments.emplace_back();
    } else if (c != '\0') {  // ends an argument, so that none can hold it
      arguments.back() += c;
    }
  }
  Config config;
  apply_overrides(config, arguments);
  check_round_trip(config);
}

/// The length of the input chooses the size.
void read_picture(Bytes input) {
  const fs::path path = write("picture", input);
  const auto size = static_cast<int64_t>(1 + input.size() % 8);
  std::vector<uint8_t> pixels(static_cast<size_t>(3 * size * size));
  decode_picture(path, size, pixels.data());
  try {
    inspect_picture(path);
  } catch (const Error& error) {
    throw std::logic_error("what decodes passes the inspection: " + std::string(error.what()));
  }
}

/// What is read is as long as the header says and has features that are numbers.
void read_sound(Bytes input) {
  const fs::path path = write("sound", input);
  Audio audio = read_audio(path, 10);
  const AudioInfo info = audio_info(path);
  require(std::ssize(audio.samples) == info.frames && audio.rate == info.rate,
          "header and sound agree");
  audio.samples.resize(std::max<size_t>(audio.samples.size(), 400));
  for (const float value : log_mel(audio.samples, {}).to_vector<float>()) {
    require(std::isfinite(value), "features are numbers");
  }
}

/// Every word has a probability after every other.
void read_arpa(Bytes input) {
  const NgramModel model = NgramModel::read(write("in.arpa", input));
  std::vector<int64_t> history;
  for (int64_t word = 0; word < std::min<int64_t>(model.size(), 100); ++word) {
    for (const int64_t next : {int64_t{0}, word, model.size() - 1})
      require(std::isfinite(model.score(history, next)), "probabilities are numbers");
    history.push_back(word);
  }
  require(model.id("</s>") < model.size(), "words have numbers");
}

}  // namespace

const std::vector<Target>& targets() {
  static const std::vector<Target> all{
      {"safetensors", read_safetensors},
      {"checkpoint", read_checkpoint},
      {"idx", read_idx},
      {"cifar10", read_cifar},
      {"toml", read_toml},
      {"overrides", read_overrides},
      {"picture", read_picture},
      {"audio", read_sound},
      {"arpa", read_arpa},
  };
  return all;
}

bool run(const Target& target, Bytes input) {
  try {
    target.read(input);
  } catch (const Error&) {
    return false;
  }
  return true;
}

}  // namespace minnow::fuzz
