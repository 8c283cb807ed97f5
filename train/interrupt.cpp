#include "train/interrupt.h"

#include <csignal>

namespace minnow {
namespace {

volatile std::sig_atomic_t signalled = 0;

constexpr int kSignals[] = {SIGINT, SIGTERM};

void set_handlers(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // a signal must not break a write
  for (int signal : kSignals) sigaction(signal, &action, nullptr);
}

void remember(int) {
  signalled = 1;
  set_handlers(SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  signalled = 0;
  set_handlers(remember);
}

InterruptGuard::~InterruptGuard() {
  set_handlers(SIG_DFL);
}

bool InterruptGuard::interrupted() const {
  return signalled != 0;
}

}  // namespace minnow
