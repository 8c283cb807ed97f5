#include "data/bytes.h"

#include <cerrno>
#include <cstring>
#include <system_error>

namespace minnow {

InputFile::InputFile(std::string_view who, const std::filesystem::path& path)
    : who_(who), name_(path.string()) {
  std::error_code failure;
  const bool regular = std::filesystem::is_regular_file(path, failure);
  check(!failure, "{}: cannot open {}: {}", who_, name_, failure.message());
  check(regular, "{}: {} is not a file", who_, name_);
  errno = 0;
  stream_.open(path, std::ios::binary);
  check(stream_.is_open(), "{}: cannot open {}: {}", who_, name_, std::strerror(errno));
  size_ = static_cast<int64_t>(std::filesystem::file_size(path, failure));
  check(!failure, "{}: cannot tell the size of {}: {}", who_, name_, failure.message());
}

void InputFile::read(uint8_t* out, int64_t n) {
  stream_.read(reinterpret_cast<char*>(out), n);
  check(stream_.gcount() == n, "{}: {} ended {} bytes early", who_, name_, n - stream_.gcount());
}

}  // namespace minnow
