#pragma once

#include "engine/tensor.h"

namespace minnow {

/// Throws Error, naming `op` and the example, unless lengths is int64 [batch] with values in
/// [0, tokens]; on a GPU the values are not looked at.
inline void check_lengths(std::string_view op, const Tensor& lengths, int64_t batch,
                          int64_t tokens) {
  check(lengths.dtype() == DType::int64 && lengths.shape() == Shape{batch},
        "{}: lengths must be int64 [B] with B = {}; got {} {}", op, batch,
        to_string(lengths.dtype()), to_string(lengths.shape()));
  for (int64_t b = 0; lengths.device().is_cpu() && b < batch; ++b) {
    const int64_t length = lengths.data<int64_t>()[b];
    check(length >= 0 && length <= tokens,
          "{}: lengths must lie in [0, T] with T = {}; got {} for example {}", op, tokens, length,
          b);
  }
}

}  // namespace minnow
