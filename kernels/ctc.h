#pragma once

#include <cstdint>

#include "kernels/random.h"

namespace minnow {

/// Logits [batch, frames, classes], class 0 the blank; targets [batch, labels], padded.
struct CtcShape {
  int64_t batch = 0, frames = 0, classes = 0, labels = 0;
};

/// The frames of an example that are read and get a gradient: all, where its length is out of range
/// and the gradient therefore NaN.
MINNOW_HOST_DEVICE inline int64_t ctc_frames(const CtcShape& shape, int64_t length) {
  return length < 0 || length > shape.frames ? shape.frames : length;
}

/// One number for each state of a frame: blank[i] stands before label i, or after the last, and
/// label[i + 1] for label i; label[0] and label[labels + 1] are states that nothing reaches.
struct CtcStates {
  double *blank, *label;

  MINNOW_HOST_DEVICE static int64_t numbers(int64_t labels) { return 2 * labels + 3; }
  MINNOW_HOST_DEVICE static CtcStates at(double* memory, int64_t labels) {
    return {memory, memory + labels + 1};
  }
};

}  // namespace minnow

namespace minnow::cpu {

/// losses[b] = -log of the sum, over all alignments of example b, of prod_t softmax(x[b, t,
/// :])[k_t] for t < lengths[b]: an alignment k gives each frame a class so that, with runs of one
/// class drawn together and the blanks then left out, the labels targets[b, :target_lengths[b]]
/// remain. With gx, overwrites it with d losses[b] / d x = softmax - posterior, 0 from frame
/// lengths[b] on; null: not wanted.
///
/// Where no alignment has a probability above 0, most often because the labels and a blank between
/// each pair of equal ones need more frames than there are, the loss is infinite and its gradient
/// NaN; a NaN among its logits makes an example's loss and gradient NaN, and so does a length or a
/// label outside of its range, [0, frames], [0, labels] and [1, classes). None of that touches
/// another example.
///
/// Of the float32 pass only the softmax is in float32. Log-probabilities are sums in float64: some
/// 16 roundings a frame of numbers up to the loss, 16 lengths[b] losses[b] 2^-53 in all, which is
/// what an alignment loses. A loss is besides as exact as the log sum e^x of its frames; a
/// posterior does not depend on that, and is off by twice that share of itself, once for each
/// direction.
///
/// Source: Graves et al., "Connectionist temporal classification", ICML 2006, section 4.
template <class T>
void ctc_forward(const CtcShape& shape, const T* x, const int64_t* lengths, const int64_t* targets,
                 const int64_t* target_lengths, T* losses, T* gx);

/// gx [batch, frames, classes] *= gy[b] in the first lengths[b] frames of each example; the others
/// stay 0.
template <class T>
void ctc_backward(const CtcShape& shape, const int64_t* lengths, const T* gy, T* gx);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void ctc_forward(const CtcShape& shape, const T* x, const int64_t* lengths, const int64_t* targets,
                 const int64_t* target_lengths, T* losses, T* gx);
template <class T>
void ctc_backward(const CtcShape& shape, const int64_t* lengths, const T* gy, T* gx);

}  // namespace minnow::cuda
