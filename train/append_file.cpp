#include "train/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "engine/check.h"

namespace minnow {

AppendFile::AppendFile(std::filesystem::path path, bool empty) : path_(std::move(path)) {
  descriptor_ =
      open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (empty ? O_TRUNC : 0), 0666);
  if (descriptor_ < 0) fail("open", errno);
}

AppendFile::~AppendFile() {
  close(descriptor_);
}

void AppendFile::append(std::string_view piece) {
  struct stat before {};
  if (fstat(descriptor_, &before) != 0) fail("write", errno);
  size_t done = 0;
  while (done < piece.size()) {
    const ssize_t count = ::write(descriptor_, piece.data() + done, piece.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      // Half a piece would be in the way of whoever reads on; where this fails too, it is the
      // reader's to drop it.
      if (done > 0 && ftruncate(descriptor_, before.st_size) != 0) fail("write", error);
      fail("write", error);
    }
    done += static_cast<size_t>(count);
  }
}

void AppendFile::sync() {
  if (fsync(descriptor_) != 0 && errno != EINVAL) fail("write", errno);  // a pipe has no disk
}

void AppendFile::fail(std::string_view action, int error) const {
  throw RunError(fmt::format("{}: cannot {}: {}", path_.string(), action,
                             std::generic_category().message(error)));
}

}  // namespace minnow
