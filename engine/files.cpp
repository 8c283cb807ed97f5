#include "engine/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include "engine/check.h"

namespace minnow {
namespace {

std::string reason(int error) {
  return std::generic_category().message(error);
}

std::filesystem::path directory_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? "." : parent;
}

constexpr std::string_view temporary_prefix = ".minnow-", temporary_suffix = ".tmp";

/// Closes a file descriptor; one below 0 is none.
struct Descriptor {
  explicit Descriptor(int number) : number(number) {}
  ~Descriptor() {
    if (number >= 0) close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int number;
};

/// A name that no other writer of this process uses, and short whatever the length of the final
/// one.
std::filesystem::path temporary_in(const std::filesystem::path& directory) {
  static std::atomic<unsigned> count = 0;
  return directory /
         fmt::format("{}{}-{}{}", temporary_prefix, getpid(), count++, temporary_suffix);
}

/// Whether temporary_in gives such names: .minnow-NUMBER-NUMBER.tmp.
bool is_temporary(std::string_view name) {
  if (!name.starts_with(temporary_prefix) || !name.ends_with(temporary_suffix)) return false;
  name.remove_prefix(temporary_prefix.size());
  name.remove_suffix(std::min(name.size(), temporary_suffix.size()));
  const size_t dash = name.find('-');
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return dash != std::string_view::npos && is_number(name.substr(0, dash)) &&
         is_number(name.substr(dash + 1));
}

/// Waits for the lock that tells remove_leftovers of a living writer. Whether the file still has a
/// name then: between its making and the lock it looked like a leftover.
bool lock_against_removal(int descriptor) {
  while (flock(descriptor, LOCK_EX) != 0 && errno == EINTR) {
  }  // a file system without locks has no removal either
  struct stat info {};
  return fstat(descriptor, &info) != 0 || info.st_nlink > 0;
}

/// The error number of an fsync of the directory, which makes the new name itself durable; 0 for
/// success.
int sync_directory(const std::filesystem::path& directory) {
  const int descriptor = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return 0;  // one may write into a directory that one may not read
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  return error == EINVAL ? 0 : error;  // some file systems have no such operation
}

template <class Container>
Container read_into(const std::filesystem::path& path) {
  const auto require = [&](bool ok) {
    check(ok, "{}: cannot read: {}", path.string(), reason(errno));
  };
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require(descriptor >= 0);
  const Descriptor closer{descriptor};
  struct stat info {};
  require(fstat(descriptor, &info) == 0);

  // The size is a first guess: a pipe has none, and a file may grow while it is read.
  Container content;
  size_t size = 0;
  content.resize(static_cast<size_t>(info.st_size) + 1);
  while (true) {
    const ssize_t count = read(descriptor, content.data() + size, content.size() - size);
    if (count < 0 && errno == EINTR) continue;
    require(count >= 0);
    if (count == 0) break;
    size += static_cast<size_t>(count);
    if (size == content.size()) content.resize(2 * size);
  }
  content.resize(size);
  return content;
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder)
    : descriptor_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ >= 0 && flock(descriptor_, LOCK_EX | LOCK_NB) != 0) held_ = errno != EWOULDBLOCK;
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), held_(other.held_) {}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  while (true) {
    temporary_ = temporary_in(directory_of(path_));
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno == EEXIST) continue;  // of a killed process of the same id
    if (descriptor_ < 0) fail("create a file", errno);
    if (lock_against_removal(descriptor_)) return;
    close(descriptor_);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!renamed_) unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write", errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span(text)));
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) fail("write", errno);
  // The lock lasts until the file has its name.
  const Descriptor lock{fcntl(descriptor_, F_DUPFD_CLOEXEC, 0)};
  // Network file systems report a full disk only here.
  if (close(std::exchange(descriptor_, -1)) != 0) fail("write", errno);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail("put the new file in place", errno);
  renamed_ = true;
  if (const int error = sync_directory(directory_of(path_))) fail("write", error);
}

void AtomicFile::fail(std::string_view action, int error) const {
  throw RunError(fmt::format("{}: cannot {}: {}", path_.string(), action, reason(error)));
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void remove_leftovers(const std::filesystem::path& directory) {
  std::error_code error;  // where there is no folder, nothing was left
  std::filesystem::directory_iterator entry(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!is_temporary(name)) continue;
    const Descriptor file{
        open(entry->path().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    struct stat info {};
    if (file.number < 0 || fstat(file.number, &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (flock(file.number, LOCK_EX | LOCK_NB) == 0) unlink(entry->path().c_str());
  }
}

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  return read_into<std::vector<std::byte>>(path);
}

std::string read_text_file(const std::filesystem::path& path) {
  return read_into<std::string>(path);
}

}  // namespace minnow
