#pragma once

#include <memory>
#include <string>

#include "data/dataset.h"

namespace minnow {

/// MNIST, or another set of 10 classes in its IDX files (train-images-idx3-ubyte,
/// train-labels-idx1-ubyte, t10k-...): [1, H, W] with the H and W of the file, 28 for MNIST. `path`
/// is the folder that holds the files, or one with them in MNIST/raw. Format:
/// http://yann.lecun.com/exdb/mnist/ Throws Error naming the file when one is missing or still
/// compressed, when its magic number, its sizes or its length are wrong, when the counts of
/// pictures and labels differ, or a label is above 9.
std::shared_ptr<const Dataset> read_mnist(const std::string& path, Split split);

}  // namespace minnow
