#pragma once

#include <algorithm>
#include <cmath>

namespace minnow {

// Histograms of norms: buckets an eighth of an octave wide, the same in every step and run.

/// The bucket of a finite number that is not negative; zero and what is tiny share the lowest.
inline int norm_bucket(double norm) {
  return static_cast<int>(std::max(std::floor(8 * std::log2(norm)), -400.0));  // of 0: -infinity
}

/// Where bucket `b` ends and b + 1 begins.
inline double norm_bucket_end(int b) {
  return std::exp2((b + 1) / 8.0);
}

}  // namespace minnow
