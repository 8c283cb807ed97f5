#include "train/commands.h"

int main(int argc, char** argv) {
  return minnow::run_program(argc, argv);
}
