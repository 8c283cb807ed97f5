#pragma once

namespace minnow {

/// While it lives, the first SIGINT or SIGTERM is remembered instead of ending the program, so that
/// the step at hand can be finished and saved. The second one ends the program as usual. One at a
/// time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool interrupted() const;
};

}  // namespace minnow
