#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/random.h"

/// Each scalar function and its derivative, once, for both compilers. The float32 versions have no
/// branches and call nothing, so that loops over them become vector code; float64 is for checks and
/// uses the standard library.
namespace minnow {

/// e^x to 2 units in the last place; 0 below the smallest normal number, infinity above the
/// largest, NaN for NaN.
MINNOW_HOST_DEVICE inline float fast_exp(float x) {
  constexpr float low = -87.3f, high = 88.72f;
  const float clamped = x > high ? high : (x < low ? low : x);  // in this order a NaN stays
  // x = n ln 2 + r with |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to an integer in the low bits.
  const float shifted = clamped * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  // Taylor's series to r^7: the remainder is below 1e-8 of the value.
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // 2^n as two factors, since 2^128 has no float; n is the low part of the shifted number's bits.
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - 0x4B400000;
  const int32_t half = exponent >> 1;
  const float scale1 = std::bit_cast<float>((half + 127) << 23);
  const float scale2 = std::bit_cast<float>((exponent - half + 127) << 23);
  const float result = p * scale1 * scale2;
  return x < low ? 0.0f : (x > high ? HUGE_VALF : result);
}
MINNOW_HOST_DEVICE inline double fast_exp(double x) {
  return std::exp(x);
}

/// The normal distribution function Phi and e^(-x^2/2), from which both its density and GELU
/// follow.
template <class T>
struct NormalCdf {
  T phi;
  T bell;
};

/// Phi(-|x|) = e^(-x^2/2) t P(t) with t = 1 / (1 + 0.46 |x| / sqrt 2); P is our own least-maximum
/// fit of erfcx(u) / (2t), good to 2e-9 before rounding and to 2 eps absolute after.
MINNOW_HOST_DEVICE inline NormalCdf<float> normal_cdf(float x) {
  const float a = x < 0 ? -x : x;
  const float t = 1.0f / (1.0f + 0.325269119f * a);
  float p = 0.0446003415f;
  p = p * t - 0.224852234f;
  p = p * t + 0.355998933f;
  p = p * t - 0.112372518f;
  p = p * t + 0.190602764f;
  p = p * t + 0.115074567f;
  p = p * t + 0.130948141f;
  const float bell = fast_exp(-0.5f * x * x);
  const float tail = p * t * bell;
  return {x < 0 ? tail : 1.0f - tail, bell};
}
MINNOW_HOST_DEVICE inline NormalCdf<double> normal_cdf(double x) {
  return {0.5 * std::erfc(-x * 0.70710678118654752440), std::exp(-0.5 * x * x)};
}

template <class T>
MINNOW_HOST_DEVICE T sigmoid_of(T x) {
  return T(1) / (T(1) + fast_exp(-x));
}

/// tanh x = 2 sigmoid(2x) - 1, to 2 eps absolute.
template <class T>
MINNOW_HOST_DEVICE T tanh_of(T x) {
  return T(2) * sigmoid_of(T(2) * x) - T(1);
}

/// max(x, 0); a NaN stays a NaN.
struct Relu {
  template <class T>
  MINNOW_HOST_DEVICE static T value(T x) {
    return x < T(0) ? T(0) : x;
  }
  template <class T>
  MINNOW_HOST_DEVICE static T slope(T x) {
    return x > T(0) ? T(1) : T(0);
  }
};

/// x Phi(x). Source: Hendrycks, Gimpel, "Gaussian error linear units", 2016.
struct Gelu {
  template <class T>
  MINNOW_HOST_DEVICE static T value(T x) {
    return x * normal_cdf(x).phi;
  }
  template <class T>
  MINNOW_HOST_DEVICE static T slope(T x) {
    const NormalCdf<T> n = normal_cdf(x);
    return n.phi + x * n.bell * T(0.39894228040143267794);
  }
};

/// x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, the approximation of the same paper.
struct GeluTanh {
  template <class T>
  MINNOW_HOST_DEVICE static T value(T x) {
    return x * sigmoid_of(T(2) * inner(x));
  }
  template <class T>
  MINNOW_HOST_DEVICE static T slope(T x) {
    const T s = sigmoid_of(T(2) * inner(x));
    const T inner_slope = T(0.79788456080286535588) * (T(1) + T(3 * 0.044715) * x * x);
    return s + T(2) * x * s * (T(1) - s) * inner_slope;
  }

 private:
  template <class T>
  MINNOW_HOST_DEVICE static T inner(T x) {
    return T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
  }
};

/// x sigmoid(x).
struct Silu {
  template <class T>
  MINNOW_HOST_DEVICE static T value(T x) {
    return x * sigmoid_of(x);
  }
  template <class T>
  MINNOW_HOST_DEVICE static T slope(T x) {
    const T s = sigmoid_of(x);
    return s * (T(1) + x * (T(1) - s));
  }
};

struct Sigmoid {
  template <class T>
  MINNOW_HOST_DEVICE static T value(T x) {
    return sigmoid_of(x);
  }
  template <class T>
  MINNOW_HOST_DEVICE static T slope(T x) {
    const T s = sigmoid_of(x);
    return s * (T(1) - s);
  }
};

/// Every function above that unary.cpp compiles a kernel for.
#define MINNOW_UNARY_FUNCTIONS(X) X(Relu) X(Gelu) X(GeluTanh) X(Silu) X(Sigmoid)

}  // namespace minnow
