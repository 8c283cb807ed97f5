#include "engine/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/paths.h"
#include "tests/temporary_folder.h"

namespace minnow {
namespace {

std::filesystem::path golden(const std::string& name) {
  return test::source_path("tests/golden") / name;
}

std::string with_length(uint64_t length, const std::string& rest) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + rest;
}

/// A file of this header and `data_bytes` zeros.
std::string file_of(const std::string& header, size_t data_bytes) {
  return with_length(header.size(), header + std::string(data_bytes, '\0'));
}

/// A description of one tensor called `t`.
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"t\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets +
         "}}";
}

/// Without the flush to disk of write_file_atomically: these tests write thousands of files.
void write_plainly(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::vector<std::byte> bytes_of(const Tensor& t) {
  return {t.raw(), t.raw() + t.nbytes()};
}

std::vector<NamedTensor> one_of_each_dtype() {
  return {{"bytes", Tensor::from(std::vector<uint8_t>{1, 2, 255}, {3})},
          {"wide", Tensor::from(std::vector<double>{1e300, -0.0}, {1, 2})},
          {"plain", Tensor::from(std::vector<float>{1.5f, std::nanf("")}, {2, 1})},
          {"short", Tensor::full({3}, 0.75, DType::bfloat16)},
          {"long", Tensor::from(std::vector<int64_t>{INT64_MIN, INT64_MAX}, {2})},
          {"empty", Tensor::zeros({0, 4})},
          {"scalar", Tensor::full({}, 42)}};
}

TEST(Safetensors, RoundTrip) {
  const TemporaryFolder folder;
  const auto tensors = one_of_each_dtype();
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"note", "é \"\n"}};
  save_safetensors(folder / "file", tensors, metadata);
  const SafetensorsFile file = load_safetensors(folder / "file");
  EXPECT_EQ(file.metadata, metadata);
  EXPECT_EQ(file.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const Tensor* loaded = file.find(name);
    ASSERT_NE(loaded, nullptr) << name;
    EXPECT_EQ(loaded->dtype(), tensor.dtype()) << name;
    EXPECT_EQ(loaded->shape(), tensor.shape()) << name;
    EXPECT_EQ(bytes_of(*loaded), bytes_of(tensor)) << name;
  }
  EXPECT_EQ(file.find("other"), nullptr);
}

TEST(Safetensors, OrderIsKeptAmongTensorsOfOneWidth) {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> tensors = {{"z", Tensor::zeros({1})},
                                            {"b8", Tensor::zeros({3}, DType::uint8)},
                                            {"a", Tensor::zeros({2})},
                                            {"d", Tensor::zeros({1}, DType::float64)},
                                            {"m", Tensor::zeros({1})}};
  save_safetensors(folder / "file", tensors);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : load_safetensors(folder / "file").tensors) {
    names.push_back(name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"d", "z", "a", "m", "b8"}));
}

TEST(Safetensors, NoTensorsAtAll) {
  const TemporaryFolder folder;
  save_safetensors(folder / "file", {});
  EXPECT_TRUE(load_safetensors(folder / "file").tensors.empty());
  write_plainly(folder / "padded", file_of("{}      ", 0));
  EXPECT_TRUE(load_safetensors(folder / "padded").tensors.empty());
}

TEST(Safetensors, ReadsWhatPythonWrites) {
  const SafetensorsFile file = load_safetensors(golden("python_safetensors.safetensors"));
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"made by", "make_golden.py"}}));
  EXPECT_EQ(file.tensors.size(), 8u);
  const auto at = [&](const char* name) {
    const Tensor* tensor = file.find(name);
    check(tensor != nullptr, "no tensor {}", name);
    return *tensor;
  };
  EXPECT_EQ(at("f32").shape(), (Shape{2, 3}));
  EXPECT_EQ(at("f32").to_vector<float>(),
            (std::vector<float>{1.5f, -2.25f, std::numeric_limits<float>::infinity(), 0.0f,
                                0x1p-149f, std::numeric_limits<float>::max()}));
  EXPECT_EQ(at("f64").to_vector<double>(), (std::vector<double>{3.141592653589793, -1e-310}));
  EXPECT_EQ(at("bf16").to(DType::float32).to_vector<float>(),
            (std::vector<float>{1.0f, -0.5f, 3.140625f}));
  EXPECT_EQ(at("i64").to_vector<int64_t>(), (std::vector<int64_t>{INT64_MIN, INT64_MAX}));
  EXPECT_EQ(at("u8").to_vector<uint8_t>(), (std::vector<uint8_t>{0, 7, 255}));
  EXPECT_EQ(at("empty").shape(), (Shape{0, 3}));
  EXPECT_EQ(at("scalar").item(), 42);
  EXPECT_EQ(at("näme \"quoted\"").item(), 1);
}

struct Malformed {
  const char* what;
  std::string content;
  std::string message;  ///< must be part of the error
};

void PrintTo(const Malformed& malformed, std::ostream* out) {
  *out << malformed.what;
}

class MalformedSafetensors : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedSafetensors, IsRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "bad";
  write_plainly(path, GetParam().content);
  expect_error([&] { load_safetensors(path); }, {path.string() + ": ", GetParam().message});
}

const std::string good = R"("dtype":"U8","shape":[2],"data_offsets":[0,2])";

std::string pair_of(const std::string& second_offsets) {
  return R"({"a":{)" + good + R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" +
         second_offsets + "}}";
}

INSTANTIATE_TEST_SUITE_P(
    Header, MalformedSafetensors,
    testing::Values(
        Malformed{"empty file", "", "0 bytes cannot hold"},
        Malformed{"seven bytes", "1234567", "7 bytes cannot hold"},
        Malformed{"no header", with_length(0, ""), "not JSON"},
        Malformed{"header beyond the file", with_length(100, "{}"),
                  "header of 100 bytes in a file of 10"},
        Malformed{"header beyond the limit", with_length(100'000'001, "{}"),
                  "the limit is 100000000"},
        Malformed{"header of all ones", with_length(UINT64_MAX, "{}"), "the limit is 100000000"},
        Malformed{"not JSON", file_of("{\"t\":", 0), "not JSON"},
        Malformed{"text after JSON", file_of("{} {}", 0), "not JSON"},
        Malformed{"not UTF-8", file_of("{\"\xff\":1}", 0), "not JSON"},
        Malformed{"a list", file_of("[]", 0), "not a JSON object"},
        Malformed{"null", file_of("null", 0), "not a JSON object"},
        Malformed{"deep lists", file_of(std::string(1'000'000, '['), 0), "nested too deeply"},
        Malformed{"deep objects", file_of(R"({"t":{"dtype":{"a":{}}}})", 0), "nested too deeply"},
        Malformed{"a name twice", file_of("{\"t\":{" + good + "},\"t\":{" + good + "}}", 2),
                  "\"t\" twice"},
        Malformed{"a field twice", file_of("{\"t\":{\"dtype\":\"F32\"," + good + "}}", 2),
                  "\"dtype\" twice"},
        Malformed{"metadata is text", file_of(R"({"__metadata__":"x"})", 0), "object of strings"},
        Malformed{"metadata holds a number", file_of(R"({"__metadata__":{"n":1}})", 0),
                  "\"n\" is none"}));

INSTANTIATE_TEST_SUITE_P(
    Fields, MalformedSafetensors,
    testing::Values(
        Malformed{"entry is a number", file_of(R"({"t":1})", 0), "tensor \"t\": its description"},
        Malformed{"dtype missing", file_of(R"({"t":{"shape":[2],"data_offsets":[0,2]}})", 2),
                  "dtype is missing"},
        Malformed{"shape missing", file_of(R"({"t":{"dtype":"U8","data_offsets":[0,2]}})", 2),
                  "shape is missing"},
        Malformed{"offsets missing", file_of(R"({"t":{"dtype":"U8","shape":[2]}})", 2),
                  "data_offsets is missing"},
        Malformed{"another field", file_of("{\"t\":{\"x\":1," + good + "}}", 2), "fields beside"},
        Malformed{"dtype is a number", file_of(one("1", "[2]", "[0,2]"), 2),
                  "dtype must be a string"},
        Malformed{"dtype F16", file_of(one("\"F16\"", "[1]", "[0,2]"), 2),
                  "F16 is not supported; F32, F64, BF16, I64 and U8 are"},
        Malformed{"shape is a number", file_of(one("\"U8\"", "2", "[0,2]"), 2),
                  "shape must be a list"},
        Malformed{"shape of text", file_of(one("\"U8\"", "[\"2\"]", "[0,2]"), 2),
                  "shape must hold integers"},
        Malformed{"shape of a fraction", file_of(one("\"U8\"", "[2.0]", "[0,2]"), 2),
                  "shape must hold integers"},
        Malformed{"negative shape", file_of(one("\"U8\"", "[-1,-2]", "[0,2]"), 2), "got -1"},
        Malformed{"shape beyond int64", file_of(one("\"U8\"", "[9223372036854775808]", "[0,2]"), 2),
                  "got 9223372036854775808"},
        Malformed{"shape beyond uint64",
                  file_of(one("\"U8\"", "[18446744073709551617]", "[0,2]"), 2),
                  "shape must hold integers"},
        Malformed{"product overflows to the right size",
                  file_of(one("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0), "too large"},
        Malformed{"bytes overflow to the right size",
                  file_of(one("\"F64\"", "[2305843009213693952]", "[0,0]"), 0), "too large"},
        Malformed{"one offset", file_of(one("\"U8\"", "[2]", "[0]"), 2), "[begin, end]; got 1"},
        Malformed{"negative offset", file_of(one("\"U8\"", "[2]", "[-2,0]"), 2), "got -2"}));

INSTANTIATE_TEST_SUITE_P(
    Layout, MalformedSafetensors,
    testing::Values(
        Malformed{"offsets backwards", file_of(one("\"U8\"", "[2]", "[2,0]"), 2), "backwards"},
        Malformed{"beyond the data", file_of(one("\"U8\"", "[3]", "[0,3]"), 2),
                  "beyond the 2 bytes"},
        Malformed{"size too small", file_of(one("\"F32\"", "[2]", "[0,4]"), 4), "takes 8 bytes"},
        Malformed{"size too large", file_of(one("\"F32\"", "[2]", "[0,12]"), 12), "takes 8 bytes"},
        Malformed{"scalar of no bytes", file_of(one("\"F32\"", "[]", "[0,0]"), 0), "takes 4 bytes"},
        Malformed{"the same bytes twice", file_of(pair_of("[0,2]"), 2), "tensor \"b\": overlaps"},
        Malformed{"overlap", file_of(pair_of("[1,3]"), 3), "tensor \"b\": overlaps"},
        Malformed{"hole", file_of(pair_of("[3,5]"), 5), "1 unused bytes"},
        Malformed{"hole at the start", file_of(one("\"U8\"", "[2]", "[1,3]"), 3), "1 unused bytes"},
        Malformed{"bytes left over", file_of(one("\"U8\"", "[2]", "[0,2]"), 5),
                  "3 bytes after the last"},
        Malformed{"bytes but no tensor", file_of("{}", 1), "1 bytes after the last"}));

TEST(Safetensors, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  save_safetensors(folder / "whole", one_of_each_dtype(), {{"key", "value"}});
  const std::string whole = read_text_file(folder / "whole");
  for (size_t size = 0; size < whole.size(); ++size) {
    write_plainly(folder / "cut", whole.substr(0, size));
    EXPECT_THROW(load_safetensors(folder / "cut"), Error) << size << " of " << whole.size();
  }
}

// Whatever single byte is damaged, the reader throws Error or returns tensors; it never reads out
// of bounds (the sanitizer build sees that) and never throws anything else.
TEST(Safetensors, ADamagedHeaderIsAnErrorOrAnotherFile) {
  const TemporaryFolder folder;
  save_safetensors(folder / "whole", one_of_each_dtype(), {{"key", "value"}});
  const std::string whole = read_text_file(folder / "whole");
  const size_t data_bytes = 3 + 16 + 8 + 6 + 16 + 4;
  for (size_t i = 0; i < whole.size() - data_bytes; ++i) {
    for (const int flip : {0x01, 0x10, 0x80}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      write_plainly(folder / "damaged", damaged);
      try {
        load_safetensors(folder / "damaged");
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("damaged"), std::string::npos);
      }
    }
  }
}

TEST(Safetensors, WhatCannotBeReadIsNamed) {
  const TemporaryFolder folder;
  const auto missing = folder / "missing";
  expect_error([&] { load_safetensors(missing); }, {missing.string(), "No such file"});
  expect_error([&] { load_safetensors(folder.path()); }, {folder.path().string(), "directory"});
}

TEST(Safetensors, WhatCannotBeWrittenIsNamed) {
  const TemporaryFolder folder;
  const Tensor t = Tensor::zeros({1});
  const auto save = [&](std::vector<NamedTensor> tensors) {
    save_safetensors(folder / "file", tensors);
  };
  expect_error([&] { save({{"t", t}, {"t", t}}); }, {"two tensors are called 't'"});
  expect_error([&] { save({{"__metadata__", t}}); }, {"__metadata__"});
  expect_error([&] { save({{"u", Tensor()}}); }, {"'u' is undefined"});
  expect_error([&] { save({{"\xff", t}}); }, {"UTF-8"});
  EXPECT_FALSE(std::filesystem::exists(folder / "file"));
  expect_error<RunError>([&] { save_safetensors(folder / "no/file", {}); }, {"no/file"});
}

}  // namespace
}  // namespace minnow
