#include <gtest/gtest.h>

#include "tests/op_harness.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  minnow::test::register_op_tests();
  return RUN_ALL_TESTS();
}
