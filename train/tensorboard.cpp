#include "train/tensorboard.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/check.h"
#include "train/crc.h"
#include "train/norm_buckets.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// The bytes of an integer, the least significant first.
template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xff);
  return bytes;
}

// Fields of protobuf messages: a key (number * 8 + how the value is laid out), and the value.
// https://protobuf.dev/programming-guides/encoding

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string integer_field(uint64_t number, uint64_t value) {
  return varint(number << 3) + varint(value);
}

std::string double_field(uint64_t number, double value) {
  if (value == 0) return {};  // the default is left out
  return varint(number << 3 | 1) + little_endian(std::bit_cast<uint64_t>(value));
}

std::string float_field(uint64_t number, float value) {
  return varint(number << 3 | 5) + little_endian(std::bit_cast<uint32_t>(value));
}

std::string bytes_field(uint64_t number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}

std::string doubles_field(uint64_t number, const std::vector<double>& values) {
  std::string bytes;
  for (const double value : values) bytes += little_endian(std::bit_cast<uint64_t>(value));
  return bytes_field(number, bytes);
}

/// tensorflow.Event with one field besides time and step.
std::string event(double wall_time, int64_t step, const std::string& field) {
  return double_field(1, wall_time) +
         (step == 0 ? "" : integer_field(2, static_cast<uint64_t>(step))) + field;
}

/// tensorflow.HistogramProto of numbers that are not negative; `values` is not empty.
std::string histogram(const std::vector<double>& values) {
  std::map<int, double> counts;
  double sum = 0, squares = 0;
  for (const double value : values) {
    ++counts[norm_bucket(value)];
    sum += value;
    squares += value * value;
  }
  std::vector<double> ends, heights;
  for (const auto& [bucket, count] : counts) {
    if (!ends.empty() && !counts.contains(bucket - 1)) {  // a bucket begins where the last ends
      ends.push_back(norm_bucket_end(bucket - 1));
      heights.push_back(0);
    }
    ends.push_back(norm_bucket_end(bucket));
    heights.push_back(count);
  }
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  return double_field(1, *least) + double_field(2, *greatest) +
         double_field(3, static_cast<double>(values.size())) + double_field(4, sum) +
         double_field(5, squares) + doubles_field(6, ends) + doubles_field(7, heights);
}

/// tensorflow.Summary.Value as a field of a Summary.
std::string summary_value(const std::string& tag, const std::string& value) {
  return bytes_field(1, bytes_field(1, tag) + value);
}

std::vector<double> finite_numbers(const Json& list) {
  std::vector<double> numbers;
  for (const Json& element : list) {
    if (element.is_number() && std::isfinite(element.get<double>())) numbers.push_back(element);
  }
  return numbers;
}

double now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

/// The seconds in the name of an event file; -1 of any other file.
int64_t seconds_in(const std::string& name) {
  constexpr std::string_view prefix = "events.out.tfevents.";
  int64_t seconds = -1;
  if (name.starts_with(prefix))
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), seconds);
  return seconds;
}

std::string new_name(const fs::path& folder) {
  auto seconds = static_cast<int64_t>(now());
  std::error_code ignored;  // what cannot be listed will not be written to either
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    seconds = std::max(seconds, seconds_in(entry.path().filename().string()) + 1);
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  return fmt::format("events.out.tfevents.{:010}.{}.{}.minnow", seconds,
                     host[0] == '\0' ? "host" : host.data(), getpid());
}

}  // namespace

std::string tfrecord(std::string_view bytes) {
  const auto masked = [](std::string_view part) {
    return little_endian(std::rotr(crc32(part, kCrc32c), 15) + 0xa282ead8);
  };
  const std::string length = little_endian(uint64_t{bytes.size()});
  return length + masked(length) + std::string(bytes) + masked(bytes);
}

std::string event_of(const Json& record, double wall_time) {
  const std::string prefix = record.value("kind", "") == "eval" ? "eval/" : "train/";
  std::string summary;
  for (const auto& [name, value] : record.items()) {
    if (name == "norms") {
      const std::vector<double> norms = finite_numbers(value);
      if (!norms.empty()) summary += summary_value(prefix + name, bytes_field(5, histogram(norms)));
    } else if (value.is_number() && name != "step" && name != "epoch" && name != "argmin") {
      summary += summary_value(prefix + name, float_field(2, value.get<float>()));
    }
  }
  if (summary.empty()) return {};
  return event(wall_time, record.value("step", int64_t{0}), bytes_field(5, summary));
}

EventWriter::EventWriter(const fs::path& folder, int64_t first_step)
    : file_(folder / new_name(folder), true) {
  constexpr uint64_t kStart = 1;  // SessionLog.START
  const double time = now();
  file_.append(tfrecord(event(time, 0, bytes_field(3, "brain.Event:2"))) +
               tfrecord(event(time, first_step, bytes_field(7, integer_field(1, kStart)))));
}

void EventWriter::write(const Json& record) {
  const std::string bytes = event_of(record, now());
  if (!bytes.empty()) file_.append(tfrecord(bytes));
}

}  // namespace minnow
