#pragma once

#include <memory>
#include <string>

#include "data/dataset.h"

namespace minnow {

/// CIFAR-10 in its binary version (data_batch_1..5.bin, test_batch.bin): [3, 32, 32], 10 classes.
/// `path` is the folder that holds the files, or the one above it. Format:
/// https://www.cs.toronto.edu/~kriz/cifar.html Throws Error naming the file when one is missing,
/// has not its 30,730,000 bytes, or holds a label above 9.
std::shared_ptr<const Dataset> read_cifar10(const std::string& path, Split split);

}  // namespace minnow
