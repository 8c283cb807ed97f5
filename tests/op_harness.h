#pragma once

namespace minnow::test {

/// Registers with GoogleTest every test that follows from the op cases linked into the program.
void register_op_tests();

}  // namespace minnow::test
