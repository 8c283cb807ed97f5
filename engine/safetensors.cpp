#include "engine/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "engine/check.h"
#include "engine/files.h"

namespace minnow {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian and are read and written as they are");

using Json = nlohmann::json;

constexpr uint64_t max_header_bytes = 100'000'000;  // the limit of the format's reference reader
constexpr std::string_view metadata_name = "__metadata__";

struct DTypeName {
  std::string_view name;
  DType dtype;
};
constexpr std::array dtype_names = {DTypeName{"F32", DType::float32},
                                    DTypeName{"F64", DType::float64},
                                    DTypeName{"BF16", DType::bfloat16},
                                    DTypeName{"I64", DType::int64}, DTypeName{"U8", DType::uint8}};

std::string_view name_of(DType dtype) {
  return std::find_if(dtype_names.begin(), dtype_names.end(),
                      [&](const DTypeName& d) { return d.dtype == dtype; })
      ->name;
}

/// What the header says of one tensor; bytes [begin, end) of the data that follow the header.
struct Entry {
  std::string name;
  DType dtype = DType::float32;
  Shape shape;
  int64_t begin = 0;
  int64_t end = 0;
};

/// Reads one file; every message begins with its path.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path.string()) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    require(!error, "cannot read: {}", error.message());
    size_ = static_cast<int64_t>(size);
    stream_.open(path, std::ios::binary);
    require(stream_.is_open(), "cannot read: {}", std::generic_category().message(errno));
  }

  SafetensorsFile read() {
    const Json header = parse(read_header());
    SafetensorsFile file;
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.items()) {
      if (name == metadata_name) {
        file.metadata = parse_metadata(value);
      } else {
        entries.push_back(parse_entry(name, value));
      }
    }
    check_layout(entries);
    for (Entry& entry : entries) {
      const Tensor tensor = Tensor::empty(entry.shape, entry.dtype);
      read_bytes(tensor.raw(), tensor.nbytes());
      file.tensors.push_back({std::move(entry.name), tensor});
    }
    return file;
  }

 private:
  template <class... Args>
  void require(bool ok, fmt::format_string<Args...> message, Args&&... args) const {
    if (!ok) throw Error(path_ + ": " + fmt::format(message, std::forward<Args>(args)...));
  }

  void read_bytes(void* destination, int64_t count) {
    stream_.read(static_cast<char*>(destination), count);
    require(stream_.gcount() == count, "cannot read {} bytes: the file ended after {}", count,
            stream_.gcount());
  }

  std::string read_header() {
    constexpr int64_t prefix = 8;
    require(size_ >= prefix,
            "not a safetensors file: {} bytes cannot hold the 8-byte length of the header", size_);
    uint64_t length = 0;
    read_bytes(&length, prefix);
    require(length <= max_header_bytes,
            "not a safetensors file: a header of {} bytes, and the limit is {}", length,
            max_header_bytes);
    data_bytes_ = size_ - prefix - static_cast<int64_t>(length);
    require(data_bytes_ >= 0, "a header of {} bytes in a file of {} bytes; is it complete?", length,
            size_);
    std::string header(length, '\0');
    read_bytes(header.data(), static_cast<int64_t>(length));
    return header;
  }

  /// Rejects what the JSON library would let pass: names that come twice, and nesting that no
  /// header needs.
  Json parse(const std::string& text) const {
    constexpr int deepest = 2;  // header -> tensor -> its shape
    std::array<std::set<std::string>, deepest + 1> names;
    const auto inspect = [&](int depth, Json::parse_event_t event, Json& value) {
      if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
        require(depth <= deepest, "the header is nested too deeply");
        names[static_cast<size_t>(depth)].clear();
      } else if (event == Json::parse_event_t::key) {
        const auto& name = value.get_ref<const std::string&>();
        require(names[static_cast<size_t>(depth - 1)].insert(name).second,
                "the header names {} twice", quoted(name));
      }
      return true;
    };
    try {
      const Json header = Json::parse(text, inspect);
      require(header.is_object(), "the header is not a JSON object");
      return header;
    } catch (const Json::exception& error) {
      constexpr size_t enough = 200;  // the library quotes the last token, however long
      const std::string why = std::string(error.what()).substr(0, enough);
      throw Error(fmt::format("{}: the header is not JSON: {}", path_, why));
    }
  }

  std::map<std::string, std::string> parse_metadata(const Json& value) const {
    require(value.is_object(), "{} must be an object of strings", metadata_name);
    std::map<std::string, std::string> metadata;
    for (const auto& [key, text] : value.items()) {
      require(text.is_string(), "{} must be an object of strings; {} is none", metadata_name,
              quoted(key));
      metadata[key] = text.get<std::string>();
    }
    return metadata;
  }

  Entry parse_entry(const std::string& name, const Json& value) const {
    const std::string who = "tensor " + quoted(name);
    require(value.is_object(), "{}: its description must be an object", who);
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      require(value.contains(field), "{}: {} is missing", who, field);
    }
    require(value.size() == 3, "{}: it has fields beside dtype, shape and data_offsets", who);
    Entry entry;
    entry.name = name;
    entry.dtype = parse_dtype(who, value["dtype"]);
    entry.shape = parse_integers(who, "shape", value["shape"]);
    const Shape offsets = parse_integers(who, "data_offsets", value["data_offsets"]);
    require(offsets.size() == 2, "{}: data_offsets must be [begin, end]; got {} numbers", who,
            offsets.size());
    entry.begin = offsets[0];
    entry.end = offsets[1];
    require(entry.begin <= entry.end, "{}: data_offsets run backwards: {}", who,
            to_string(offsets));
    require(entry.end <= data_bytes_, "{}: data_offsets {} reach beyond the {} bytes of data", who,
            to_string(offsets), data_bytes_);
    const auto bytes = byte_count(entry);
    require(bytes.has_value(), "{}: the shape {} is too large", who, to_string(entry.shape));
    require(*bytes == entry.end - entry.begin, "{}: {} {} takes {} bytes; data_offsets {} hold {}",
            who, to_string(entry.dtype), to_string(entry.shape), *bytes, to_string(offsets),
            entry.end - entry.begin);
    return entry;
  }

  DType parse_dtype(std::string_view who, const Json& value) const {
    require(value.is_string(), "{}: dtype must be a string", who);
    const auto& name = value.get_ref<const std::string&>();
    const auto found = std::find_if(dtype_names.begin(), dtype_names.end(),
                                    [&](const DTypeName& d) { return d.name == name; });
    require(found != dtype_names.end(),
            "{}: dtype {} is not supported; F32, F64, BF16, I64 and U8 are", who, name);
    return found->dtype;
  }

  Shape parse_integers(std::string_view who, std::string_view field, const Json& value) const {
    require(value.is_array(), "{}: {} must be a list of integers", who, field);
    Shape integers;
    for (const Json& number : value) {
      // What is too large for 64 bits reaches us as a floating-point number.
      require(number.is_number_unsigned() && number.get<uint64_t>() <= INT64_MAX,
              "{}: {} must hold integers from 0 to 2^63 - 1; got {}", who, field, number.dump());
      integers.push_back(number.get<int64_t>());
    }
    return integers;
  }

  static std::optional<int64_t> byte_count(const Entry& entry) {
    int64_t bytes = size_of(entry.dtype);
    for (const int64_t extent : entry.shape) {
      if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
    }
    return bytes;
  }

  /// Sorts by offset and checks that each tensor begins where the one before it ends, up to the end
  /// of the file.
  void check_layout(std::vector<Entry>& entries) const {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    int64_t used = 0;
    for (const Entry& entry : entries) {
      require(entry.begin >= used, "tensor {}: overlaps the tensor before it", quoted(entry.name));
      require(entry.begin == used, "tensor {}: {} unused bytes before it", quoted(entry.name),
              entry.begin - used);
      used = entry.end;
    }
    require(used == data_bytes_, "{} bytes after the last tensor belong to none",
            data_bytes_ - used);
  }

  /// A name as JSON writes it, so that no control character of a strange file reaches the terminal.
  static std::string quoted(const std::string& name) { return Json(name).dump(); }

  std::string path_;
  std::ifstream stream_;
  int64_t size_ = 0;
  int64_t data_bytes_ = 0;
};

std::string make_header(std::span<const NamedTensor> tensors,
                        const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[std::string(metadata_name)] = metadata;
  int64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    check(tensor.defined(), "safetensors: tensor '{}' is undefined", name);
    check(name != metadata_name, "safetensors: a tensor cannot be called {}", metadata_name);
    check(!header.contains(name), "safetensors: two tensors are called '{}'", name);
    header[name] = {{"dtype", name_of(tensor.dtype())},
                    {"shape", tensor.shape()},
                    {"data_offsets", {offset, offset + tensor.nbytes()}}};
    offset += tensor.nbytes();
  }
  try {
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begins aligned
    return text;
  } catch (const Json::exception& error) {
    throw Error(fmt::format("safetensors: a name or metadata is not UTF-8: {}", error.what()));
  }
}

}  // namespace

const Tensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &found->tensor;
}

SafetensorsFile load_safetensors(const std::filesystem::path& path) {
  return Reader(path).read();
}

void save_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<NamedTensor> ordered(tensors.begin(), tensors.end());
  std::stable_sort(ordered.begin(), ordered.end(), [](const NamedTensor& a, const NamedTensor& b) {
    return size_of(a.tensor.dtype()) > size_of(b.tensor.dtype());
  });
  const std::string header = make_header(ordered, metadata);
  const uint64_t length = header.size();
  check(length <= max_header_bytes, "safetensors: a header of {} bytes, and the limit is {}",
        length, max_header_bytes);

  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const auto& [name, tensor] : ordered) {
    file.write(std::span<const std::byte>(tensor.raw(), static_cast<size_t>(tensor.nbytes())));
  }
  file.commit();
}

}  // namespace minnow
