#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/files.h"
#include "tests/device.h"
#include "tests/paths.h"

namespace minnow::test {

/// What a finished program left: its exit status (128 + the signal that ended it) and all that it
/// printed.
struct Ended {
  int status = -1;
  std::string out, err;
};

/// The `minnow` of this build, run in a folder of the test's.
class Program {
 public:
  Program(const std::filesystem::path& folder, std::vector<std::string> arguments)
      : out_(folder / ".stdout"), err_(folder / ".stderr") {
    arguments.insert(arguments.begin(), test::program_path().string());
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ > 0) return;
    const bool ready = chdir(folder.c_str()) == 0 && redirect(out_, 1) && redirect(err_, 2);
    if (ready) execv(argv[0], argv.data());
    _exit(127);
  }

  pid_t pid() const { return pid_; }
  Ended wait() const {
    int status = 0;
    waitpid(pid_, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text_file(out_),
            read_text_file(err_)};
  }

 private:
  static bool redirect(const std::filesystem::path& file, int descriptor) {
    const int opened = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    return opened >= 0 && dup2(opened, descriptor) == descriptor;
  }

  std::filesystem::path out_, err_;
  pid_t pid_ = -1;
};

inline Ended run_minnow(const std::filesystem::path& folder, std::vector<std::string> arguments) {
  return Program(folder, std::move(arguments)).wait();
}

/// Settings of a run that takes a fraction of a second: 96 pictures of 8 x 8 and a two-layer
/// perceptron, on the test device. 32 a batch make 3 steps an epoch.
inline std::vector<std::string> tiny(std::vector<std::string> more = {}) {
  std::vector<std::string> all{"data.image=8",      "data.train_size=96",
                               "data.test_size=40", "model.name=mlp",
                               "model.hidden=[16]", "train.batch=32",
                               "clip.tau=32",       "device=" + std::string(test_device().name())};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace minnow::test
