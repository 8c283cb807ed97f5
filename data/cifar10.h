#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace minnow {

/// CIFAR-10 in its binary version (data_batch_1..5.bin, test_batch.bin): [3, 32, 32], 10 classes.
/// `path` is the folder that holds the files, or the one above it. Format:
/// https://www.cs.toronto.edu/~kriz/cifar.html Throws Error naming the file when one is missing,
/// has not its 30,730,000 bytes, or holds a label above 9.
std::shared_ptr<const Dataset> read_cifar10(const std::string& path, Split split);

/// One file of `records` pictures: the pixels go to `images` [records, 3, 32, 32], the labels to
/// the end of `labels`. Throws Error as read_cifar10() does.
void read_cifar10_file(const std::filesystem::path& path, int64_t records, uint8_t* images,
                       std::vector<int64_t>& labels);

}  // namespace minnow
