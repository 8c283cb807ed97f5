#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "kernels/random.h"

/// Sums of probabilities that are held as logarithms, in float64. Like the functions of
/// elementwise.h these have no branches and call nothing, so that loops over them become vector
/// code.
namespace minnow {

/// The logarithm of 0.
inline constexpr double log_zero = -std::numeric_limits<double>::infinity();

/// e^min(x, 0), to 2 units in the last place: a sum of log-probabilities that is 0 but for its
/// roundings may lie above. 0 below e^-708, where numbers are still normal; NaN for NaN.
MINNOW_HOST_DEVICE inline double exp_below(double x) {
  constexpr double low = -708;
  const double most = x > 0 ? 0 : x;               // in this order a NaN stays,
  const double clamped = most < low ? low : most;  // here, too
  // x = n ln 2 + r with |r| <= ln 2 / 2; adding 1.5 * 2^52 rounds to an integer in the low bits.
  const double shifted = clamped * 1.4426950408889634 + 6755399441055744.0;
  const double n = shifted - 6755399441055744.0;
  const double r = (clamped - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  // Taylor's series to r^13: the remainder is below 1e-17 of the value.
  double p = 1.0 / 6227020800;
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  // n + 1023 moves from the low bits into the exponent, and what stands above n out of the number.
  const uint64_t bits = (std::bit_cast<uint64_t>(shifted) + 1023) << 52;
  return x < low ? 0.0 : p * std::bit_cast<double>(bits);
}

/// log s for s in [1, 3], to 2^-52 absolute.
MINNOW_HOST_DEVICE inline double log_to_3(double s) {
  // log s = log c + 2 artanh r with r = (s - c) / (s + c), c = 1 or 2, |r| <= 1 / 5; its series to
  // r^21 has a remainder below 2e-17 of the value.
  const bool large = s > 1.4142135623730951;
  const double c = large ? 2.0 : 1.0, r = (s - c) / (s + c), q = r * r;
  double p = 1.0 / 21;
  p = p * q + 1.0 / 19;
  p = p * q + 1.0 / 17;
  p = p * q + 1.0 / 15;
  p = p * q + 1.0 / 13;
  p = p * q + 1.0 / 11;
  p = p * q + 1.0 / 9;
  p = p * q + 1.0 / 7;
  p = p * q + 1.0 / 5;
  p = p * q + 1.0 / 3;
  p = p * q + 1.0;
  return 2 * r * p + (large ? 0.69314718055994530942 : 0.0);
}

/// log(e^a + e^b), rounded as numbers of the size of the larger one are; log_zero is 0 exactly.
/// No argument may be +infinity. A NaN stays a NaN beside anything but log_zero.
MINNOW_HOST_DEVICE inline double log_add(double a, double b) {
  const double most = b > a ? b : a, least = b > a ? a : b;
  const double sum = most + log_to_3(1 + exp_below(least - most));
  return most == log_zero ? log_zero : sum;
}

/// log(e^a + e^b + e^c), likewise.
MINNOW_HOST_DEVICE inline double log_add(double a, double b, double c) {
  const double ab = b > a ? b : a, most = c > ab ? c : ab;
  const double sum =
      most + log_to_3(exp_below(a - most) + exp_below(b - most) + exp_below(c - most));
  return most == log_zero ? log_zero : sum;
}

}  // namespace minnow
