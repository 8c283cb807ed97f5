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

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
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

InterruptGuard::InterruptGuard() {
  watch_signals();
  signalled = false;
  guarded = true;
}

InterruptGuard::~InterruptGuard() {
  guarded = false;
}

bool InterruptGuard::interrupted() const {
  return signalled;
}

}  // namespace minnow
