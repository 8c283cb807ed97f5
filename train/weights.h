#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/parameter.h"
#include "engine/safetensors.h"

namespace minnow {

/// Copies `source` into the tensors of the same names. Each of `targets` must be there, and nothing
/// else, in the same shape; floating-point numbers of another width are converted. Otherwise one
/// Error that begins with `where` and lists up to five of each kind of fault, and then nothing is
/// changed.
void copy_by_name(std::span<const NamedTensor> targets, std::span<const NamedTensor> source,
                  const std::string& where);

/// The same tensors on the host, copied where they are on a GPU: what can be written to a file.
std::vector<NamedTensor> on_host(std::vector<NamedTensor> tensors);

/// Handles to the parameters' values under their names.
std::vector<NamedTensor> parameter_tensors(const Parameters& parameters);

/// copy_by_name into the parameters, trainable or not.
void load_parameters(const Parameters& parameters, const SafetensorsFile& file,
                     const std::string& where);

}  // namespace minnow
