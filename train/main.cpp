#include "train/commands.h"
#include "train/interrupt.h"

int main(int argc, char** argv) {
  minnow::watch_signals();
  return minnow::run_program(argc, argv);
}
