#pragma once

#include <cstdint>

namespace minnow::cpu {

/// losses[r] = -sum_i t_i log p_i with p = softmax(x[r, :]) and t = (1 - s) onehot(labels[r]) + s /
/// C; x [rows, C]. A class of zero weight adds nothing, be its logit -infinity; a NaN among the
/// logits makes the loss NaN, and so does a label outside of [0, C). Overwrites losses [rows] and p
/// [rows, C], which backward reads; p must not be x. Source of the smoothing: Szegedy et al.,
/// "Rethinking the Inception architecture", CVPR 2016.
template <class T>
void cross_entropy_forward(int64_t rows, int64_t classes, T smoothing, const T* x,
                           const int64_t* labels, T* p, T* losses);

/// gx = gy[r] (p - t), NaN in a row whose label lies outside of [0, C). Overwrites gx [rows, C],
/// which may be p.
template <class T>
void cross_entropy_backward(int64_t rows, int64_t classes, T smoothing, const T* p,
                            const int64_t* labels, const T* gy, T* gx);

/// The same with t = (1 - s) targets[r, :] + s / C; a row of targets may add up to any number,
/// and one of zeros has loss 0.
template <class T>
void soft_cross_entropy_forward(int64_t rows, int64_t classes, T smoothing, const T* x,
                                const T* targets, T* p, T* losses);

/// gx = gy[r] (p sum t - t). Overwrites gx [rows, C], which may be p.
template <class T>
void soft_cross_entropy_backward(int64_t rows, int64_t classes, T smoothing, const T* p,
                                 const T* targets, const T* gy, T* gx);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void cross_entropy_forward(int64_t rows, int64_t classes, T smoothing, const T* x,
                           const int64_t* labels, T* p, T* losses);
template <class T>
void cross_entropy_backward(int64_t rows, int64_t classes, T smoothing, const T* p,
                            const int64_t* labels, const T* gy, T* gx);
template <class T>
void soft_cross_entropy_forward(int64_t rows, int64_t classes, T smoothing, const T* x,
                                const T* targets, T* p, T* losses);
template <class T>
void soft_cross_entropy_backward(int64_t rows, int64_t classes, T smoothing, const T* p,
                                 const T* targets, const T* gy, T* gx);

}  // namespace minnow::cuda
