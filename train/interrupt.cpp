#include "train/interrupt.h"

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <thread>

namespace minnow {
namespace {

std::atomic<bool> guarded = false;
std::atomic<bool> signalled = false;

bool is_ignored(int signal) {
  struct sigaction action {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  if (!is_ignored(SIGHUP)) sigaddset(&set, SIGHUP);
  return set;
}

/// Ends the program the way the signal would have.
void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  const sigset_t set = watched();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  std::raise(signal);
}

void watch() {
  const sigset_t set = watched();
  for (int signal = 0; sigwait(&set, &signal) == 0;) {
    if (!guarded || signalled.exchange(true)) end_by(signal);
  }
}

}  // namespace

void watch_signals() {
  static std::once_flag once;
  std::call_once(once, [] {
    const sigset_t set = watched();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::thread(watch).detach();
  });
}

InterruptGuard::InterruptGuard() : on_pipe_(std::signal(SIGPIPE, SIG_IGN)) {
  watch_signals();
  signalled = false;
  guarded = true;
}

InterruptGuard::~InterruptGuard() {
  guarded = false;
  std::signal(SIGPIPE, on_pipe_);
}

bool InterruptGuard::interrupted() const {
  return signalled;
}

}  // namespace minnow
