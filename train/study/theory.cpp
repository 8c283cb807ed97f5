#include "train/study/theory.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace minnow::study {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double square(double x) {
  return x * x;
}

bool says_nothing(const Constants& k, double b) {
  return b * k.epsilon <= 1 - k.epsilon;
}

}  // namespace

double plain_bound(const Constants& k, double T) {
  return std::sqrt(2 * k.L * k.gap + square(k.sigma) / static_cast<double>(k.B)) /
         std::pow(T, 0.25);
}

double sgd_bound(const Constants& k, double T) {
  const double benign = 1 - k.epsilon;
  return std::sqrt(4 * k.L / square(benign) * k.gap +
                   2 * square(k.sigma) / (benign * static_cast<double>(k.B))) /
         std::pow(T, 0.25);
}

double sgd_dragger_limit(const Constants& k, double T) {
  // The paper's C for eta = 1 / (L sqrt T); L cancels.
  const double benign = 1 - k.epsilon;
  return std::sqrt(std::max(0.0, 2 * benign * std::sqrt(T) - square(benign)) / 2) / k.epsilon;
}

double sgd_dragger_limit_counted(const Constants& k, double T) {
  const double benign = 1 - k.epsilon;
  const double spread = k.epsilon * benign / static_cast<double>(k.B);
  const double room = 2 * std::sqrt(T) * (benign - square(benign) / 4) - square(benign) - spread;
  return std::sqrt(std::max(0.0, room) / (square(k.epsilon) + spread));
}

double clipped_bias(const Constants& k, double b) {
  if (says_nothing(k, b)) return kInfinity;
  return k.sigma /
         ((std::sqrt(b) * k.epsilon - std::sqrt(k.epsilon * (1 - k.epsilon))) * (1 + k.c));
}

double clipped_transient(const Constants& k, double b, double T) {
  if (says_nothing(k, b)) return kInfinity;
  const double root = std::sqrt(b * k.epsilon);
  return 1 / std::sqrt(T) * root / (root - std::sqrt(1 - k.epsilon)) * 2 * k.L *
         (1 + 2 * k.epsilon * k.C) / (1 - k.epsilon) * (k.gap + 1 / (2 * k.L));
}

double clipped_bound(const Constants& k, double b, double T) {
  return clipped_bias(k, b) + clipped_transient(k, b, T);
}

double repaired_bound(const Constants& k, double b, double T) {
  const double benign = 1 - k.epsilon;
  return k.sigma / std::sqrt(benign * b) +
         std::max(2.0, k.C) / (benign * std::sqrt(T)) * k.L * (k.gap + 1 / (2 * k.L));
}

double star(double epsilon, double dragger, double along) {
  const double benign = 1 - epsilon;
  return (benign + along) / std::hypot(benign + along, dragger) +
         (benign - along) / std::hypot(benign - along, dragger);
}

double star_claim(double epsilon, double dragger, double along) {
  return (1 - epsilon) / (1 - epsilon + dragger + std::abs(along));
}

}  // namespace minnow::study
