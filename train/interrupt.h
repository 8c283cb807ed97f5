#pragma once

namespace minnow {

/// Blocks SIGINT, SIGTERM and, unless the program was started to ignore it (nohup), SIGHUP in the
/// calling thread, and so in every thread that it starts, and leaves them to a thread of their own.
/// The program calls this before anything else: no signal handler may run on a thread that
/// computes, because oneDNN's generated products (2.6) keep data where the kernel puts a handler's
/// frame; an interrupted product corrupts the heap.
void watch_signals();

/// While it lives, the first of those signals is remembered instead of ending the program, so that
/// the step at hand can be finished and saved. The second one ends the program as usual. SIGPIPE
/// does nothing meanwhile: a run outlives whoever reads what it prints. One guard at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool interrupted() const;

 private:
  void (*on_pipe_)(int);  // what SIGPIPE did before
};

}  // namespace minnow
