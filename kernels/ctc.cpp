#include "kernels/ctc.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/launch.h"
#include "kernels/log_add.h"
#include "kernels/softmax.h"

namespace minnow::cpu {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// The forward and the backward recursion of one example after another, in memory that they share.
template <class T>
class Alignments {
 public:
  explicit Alignments(const CtcShape& shape) : classes_(shape.classes), row_(shape.classes) {}

  /// The loss; p, where it is wanted, becomes the softmax of the example's frames.
  double forward(int64_t frames, int64_t labels, const int64_t* target, const T* x, T* p) {
    frames_ = frames, labels_ = labels, target_ = target, x_ = x;
    prepare(p == nullptr ? 2 : frames + 1);
    for (int64_t t = 0; t < frames; ++t) {
      lse_[t] = normalise(x + t * classes_, p == nullptr ? row_.data() : p + t * classes_);
      advance(alpha(t), alpha(t + 1), emissions(t));
    }
    const CtcStates last = alpha(frames);
    return -log_add(last.blank[labels], last.label[labels]);
  }

  /// Subtracts the posteriors from p, which forward() has filled.
  void backward(double loss, T* p) {
    CtcStates ahead = CtcStates::at(ahead_.data(), labels_),
              here = CtcStates::at(here_.data(), labels_);
    ahead.blank[labels_] = 0;  // what comes after the last frame
    for (int64_t t = frames_ - 1; t >= 0; --t) {
      retreat(ahead, here);
      subtract_posterior(alpha(t + 1), here, loss, p + t * classes_);
      const double blank = emissions(t);
      for (int64_t i = 0; i <= labels_; ++i) ahead.blank[i] = here.blank[i] + blank;
      for (int64_t i = 0; i < labels_; ++i) ahead.label[i + 1] = here.label[i + 1] + emission_[i];
    }
  }

 private:
  /// alpha_t[s]: the logarithm of the probability of all beginnings, up to frame t - 1 included,
  /// that end in state s.
  CtcStates alpha(int64_t t) {
    return CtcStates::at(alpha_.data() + t % rows_ * CtcStates::numbers(labels_), labels_);
  }

  void prepare(int64_t rows) {
    rows_ = rows;
    const auto states = static_cast<size_t>(CtcStates::numbers(labels_));
    lse_.resize(static_cast<size_t>(frames_));
    alpha_.assign(static_cast<size_t>(rows) * states, log_zero);
    ahead_.assign(states, log_zero);
    here_.assign(states, log_zero);
    emission_.resize(static_cast<size_t>(labels_));
    skip_.assign(static_cast<size_t>(labels_) + 1, log_zero);
    for (int64_t i = 1; i < labels_; ++i) {
      if (target_[i] != target_[i - 1]) skip_[i] = 0;
    }
    alpha(0).blank[0] = 0;
  }

  /// log sum e^x of a row; p becomes its softmax.
  double normalise(const T* x, T* p) {
    const T most = row_max(classes_, x), sum = exp_row(classes_, x, most, p), scale = T(1) / sum;
#pragma omp simd
    for (int64_t i = 0; i < classes_; ++i) p[i] *= scale;
    return static_cast<double>(most) + std::log(static_cast<double>(sum));
  }

  /// The log-probabilities of the labels in a frame, in emission_; returns that of the blank.
  double emissions(int64_t t) {
    const T* row = x_ + t * classes_;
    for (int64_t i = 0; i < labels_; ++i) {
      emission_[i] = static_cast<double>(row[target_[i]]) - lse_[t];
    }
    return static_cast<double>(row[0]) - lse_[t];
  }

  void advance(CtcStates from, CtcStates to, double blank) {
    const double *emission = emission_.data(), *skip = skip_.data();
#pragma omp simd
    for (int64_t i = 0; i <= labels_; ++i) {
      to.blank[i] = blank + log_add(from.blank[i], from.label[i]);
    }
#pragma omp simd
    for (int64_t i = 0; i < labels_; ++i) {
      to.label[i + 1] =
          emission[i] + log_add(from.label[i + 1], from.blank[i], from.label[i] + skip[i]);
    }
  }

  /// to[s]: the logarithm of the probability of all ends after a frame in state s, from `from`, the
  /// same for the next frame with that frame itself.
  void retreat(CtcStates from, CtcStates to) {
    const double* skip = skip_.data();
#pragma omp simd
    for (int64_t i = 0; i <= labels_; ++i) {
      to.blank[i] = log_add(from.blank[i], from.label[i + 1]);
    }
#pragma omp simd
    for (int64_t i = 0; i < labels_; ++i) {
      to.label[i + 1] =
          log_add(from.label[i + 1], from.blank[i + 1], from.label[i + 2] + skip[i + 1]);
    }
  }

  void subtract_posterior(CtcStates alpha, CtcStates beta, double loss, T* p) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i <= labels_; ++i) sum += exp_below(alpha.blank[i] + beta.blank[i] + loss);
    p[0] -= static_cast<T>(sum);
    double* each = emission_.data();
#pragma omp simd
    for (int64_t i = 0; i < labels_; ++i) {
      each[i] = exp_below(alpha.label[i + 1] + beta.label[i + 1] + loss);
    }
    for (int64_t i = 0; i < labels_; ++i) p[target_[i]] -= static_cast<T>(each[i]);
  }

  int64_t classes_, frames_ = 0, labels_ = 0, rows_ = 0;
  const int64_t* target_ = nullptr;
  const T* x_ = nullptr;
  std::vector<T> row_;                   // the softmax of a frame, where nobody wants it
  std::vector<double> lse_;              // [frames] log sum e^x
  std::vector<double> alpha_;            // [rows, states]
  std::vector<double> emission_, skip_;  // [labels], [labels + 1]: 0 where label i may follow i - 1
  std::vector<double> ahead_, here_;     // [states]
};

bool in_range(const CtcShape& s, int64_t frames, int64_t labels, const int64_t* target) {
  return frames >= 0 && frames <= s.frames && labels >= 0 && labels <= s.labels &&
         std::all_of(target, target + labels, [&](int64_t k) { return k > 0 && k < s.classes; });
}

}  // namespace

template <class T>
void ctc_forward(const CtcShape& shape, const T* x, const int64_t* lengths, const int64_t* targets,
                 const int64_t* target_lengths, T* losses, T* gx) {
  parallel_for(shape.batch, 1, [=](int64_t begin, int64_t end) {
    Alignments<T> alignments(shape);
    const int64_t example = shape.frames * shape.classes;
    for (int64_t b = begin; b < end; ++b) {
      const int64_t* target = targets + b * shape.labels;
      T* g = gx == nullptr ? nullptr : gx + b * example;
      const int64_t frames = ctc_frames(shape, lengths[b]);
      double loss = nan;
      if (in_range(shape, lengths[b], target_lengths[b], target)) {
        loss = alignments.forward(frames, target_lengths[b], target, x + b * example, g);
      }
      losses[b] = static_cast<T>(loss);
      if (g == nullptr) continue;
      std::fill(g + frames * shape.classes, g + example, T(0));
      if (std::isfinite(loss)) {
        alignments.backward(loss, g);
      } else {
        std::fill_n(g, frames * shape.classes, static_cast<T>(nan));
      }
    }
  });
}

template <class T>
void ctc_backward(const CtcShape& shape, const int64_t* lengths, const T* gy, T* gx) {
  const int64_t example = shape.frames * shape.classes;
  parallel_for(shape.batch, element_grain / (example + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      T* g = gx + b * example;
#pragma omp simd
      for (int64_t i = 0; i < ctc_frames(shape, lengths[b]) * shape.classes; ++i) g[i] *= gy[b];
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                                             \
  template void ctc_forward<T>(const CtcShape&, const T*, const int64_t*, const int64_t*, \
                               const int64_t*, T*, T*);                                   \
  template void ctc_backward<T>(const CtcShape&, const int64_t*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
