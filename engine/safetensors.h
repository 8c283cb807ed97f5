#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor.h"

namespace minnow {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// The content of a file in the safetensors format (huggingface.co/docs/safetensors): 8 bytes of
/// header length, a header in JSON, and the elements of all tensors, little-endian and row-major,
/// without gaps.
struct SafetensorsFile {
  std::vector<NamedTensor> tensors;             ///< in the order of their bytes in the file
  std::map<std::string, std::string> metadata;  ///< free text of whoever wrote the file

  /// nullptr where there is no tensor of this name.
  const Tensor* find(std::string_view name) const;
};

/// Reads F32, F64, BF16, I64 and U8 tensors. The file is not trusted: anything that breaks the
/// format (a header that is too long or no JSON, sizes that do not fit, overlaps, holes, bytes left
/// over, a name that comes twice) throws Error with the path, the tensor and the reason.
SafetensorsFile load_safetensors(const std::filesystem::path& path);

/// Writes atomically (RunError where the disk refuses). Tensors keep their order, except that wider
/// elements go first so that every tensor is aligned in the file. Names must be UTF-8, distinct and
/// not "__metadata__".
void save_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace minnow
