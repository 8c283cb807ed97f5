#pragma once

#include "engine/tensor.h"

namespace minnow {

/// Throws Error, naming `op`, the argument and the example, unless lengths is int64 [batch] with
/// values in [0, most], `axis` being the letter of the axis that they lie along. On a GPU nobody
/// waits for the values: one that is out of range stands for the nearest in range (live_tokens() of
/// kernels/lengths.h), and only ctc_loss, which has something to show it in, makes the example's
/// loss NaN.
inline void check_lengths(std::string_view op, const Tensor& lengths, int64_t batch, int64_t most,
                          std::string_view argument = "lengths", std::string_view axis = "T") {
  check(lengths.dtype() == DType::int64 && lengths.shape() == Shape{batch},
        "{}: {} must be int64 [B] with B = {}; got {} {}", op, argument, batch,
        to_string(lengths.dtype()), to_string(lengths.shape()));
  for (int64_t b = 0; lengths.device().is_cpu() && b < batch; ++b) {
    const int64_t length = lengths.data<int64_t>()[b];
    check(length >= 0 && length <= most,
          "{}: {} must lie in [0, {}] with {} = {}; got {} for example {}", op, argument, axis,
          axis, most, length, b);
  }
}

}  // namespace minnow
