#include "train/study/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "engine/check.h"

namespace minnow::study {
namespace {

constexpr const char* kProgram = "/proc/self/exe";

/// In the child, where other threads may have held locks when it came to be: system calls only.
[[noreturn]] void become(char* const* argv, const char* log, pid_t parent) {
  // A group of its own: Ctrl-C in a terminal reaches the parent alone, which passes it on once. The
  // second signal would end the run before its state is saved.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(127);  // it has died meanwhile
  const int in = open("/dev/null", O_RDONLY);
  const int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (in >= 0 && out >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2)
    execv(kProgram, argv);
  _exit(127);
}

}  // namespace

Child::Child(std::vector<std::string> arguments, const std::filesystem::path& log) {
  arguments.insert(arguments.begin(), "minnow");
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) become(argv.data(), log.c_str(), parent);
  if (pid_ < 0)
    throw RunError(fmt::format("cannot start another process: {}", std::strerror(errno)));
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), status_(other.status_), asked_(other.asked_) {}

Child::~Child() {
  if (pid_ < 0 || status_) return;
  interrupt();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::optional<int> Child::ended() {
  int status = 0;
  if (status_ || waitpid(pid_, &status, WNOHANG) != pid_) return status_;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

void Child::interrupt() {
  if (!asked_ && !status_) kill(pid_, SIGTERM);
  asked_ = true;
}

}  // namespace minnow::study
