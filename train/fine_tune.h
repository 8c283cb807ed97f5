#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "engine/parameter.h"
#include "train/config.h"

/// What training on from given weights asks for.
namespace minnow {

/// Reads the weights that init.from names, if any, into the parameters; with init.new_head all but
/// the classifier's, which stays as it is and may have any shape in the file, or be absent. The
/// position embedding of a vit is resized where it belongs to another grid (see resize_positions).
/// Error that names what does not fit.
void start_from(const Parameters& parameters, const Config& config, const Dataset& dataset);

/// Parameters whose name begins with one of `prefixes` are not trained: they have no gradient and
/// no share in any norm. Error for a prefix that no name begins with, and where nothing is left.
void freeze(const Parameters& parameters, std::span<const std::string> prefixes);

/// Layer-wise decay of the learning rate: each parameter's, decay^(last - layer). The layers of vit
/// are 0 for tokens, positions and patches, i + 1 for block i, and depth + 1, the last one, for the
/// final norm and the head; of other models each block, or module outside of one, in their order.
/// Source: Bao et al., "BEiT", ICLR 2022, its fine-tuning code.
std::vector<double> layer_rates(const Parameters& parameters, std::string_view model, double decay);

}  // namespace minnow
