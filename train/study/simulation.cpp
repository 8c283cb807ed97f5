#include "train/study/simulation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/check.h"
#include "kernels/random.h"

namespace minnow::study {
namespace {

using Vector = std::vector<double>;

constexpr double kTwoPi = 6.283185307179586;

/// Random numbers one after the other, without RandomSequence's wish to find each one again.
class Draws {
 public:
  explicit Draws(uint64_t seed) : key_{.seed = seed, .stream = stream::synthesise} {}

  double uniform() {  // in (0, 1)
    if (next_ == 4) {
      words_ = key_.block(block_++);
      if (block_ == 0) ++key_.step;
      next_ = 0;
    }
    return (static_cast<double>(words_.word[next_++]) + 0.5) * 0x1p-32;
  }
  /// Standard normal, two at a time, by Box and Muller.
  double normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    const double radius = std::sqrt(-2 * std::log(uniform())), angle = kTwoPi * uniform();
    spare_ = radius * std::sin(angle);
    has_spare_ = true;
    return radius * std::cos(angle);
  }
  int64_t binomial(int64_t n, double probability) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) count += uniform() < probability ? 1 : 0;
    return count;
  }

 private:
  RandomKey key_;
  Random4 words_{};
  uint32_t block_ = 0;
  int next_ = 4;
  double spare_ = 0;
  bool has_spare_ = false;
};

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double norm(const Vector& a) {
  return std::sqrt(dot(a, a));
}

void add(Vector& to, double factor, const Vector& what) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += factor * what[i];
}

void scale_to_one(Vector& a) {
  const double length = norm(a);
  for (double& x : a) x /= length;
}

Vector curvature_of(const Constants& k, const Vector& given) {
  if (!given.empty()) return given;
  constexpr int dimensions = 10;
  Vector curvature(dimensions);
  for (int i = 0; i < dimensions; ++i)
    curvature[i] = k.L * std::pow(0.1, static_cast<double>(i) / (dimensions - 1));
  return curvature;
}

/// One run.
class Simulation {
 public:
  Simulation(const Problem& problem, Method method, int64_t b, int64_t T, uint64_t seed)
      : problem_(problem),
        k_(problem.constants),
        method_(method),
        b_(method == Method::sgd ? k_.B : b),
        eta_(1 / (k_.L * std::sqrt(static_cast<double>(T)))),
        draws_(seed) {
    check(b >= 1 && k_.B % b == 0, "simulate: b must divide B; got {} and {}", b, k_.B);
    problem_.curvature = curvature_of(k_, problem.curvature);
    const size_t d = problem_.curvature.size();
    for (Vector* v : {&w_, &gradient_, &across_, &mean_, &update_}) v->assign(d, 0.0);
    start();
  }

  /// |g| before the step that is then taken.
  double step() {
    evaluate(problem_, w_, gradient_);
    const double length = norm(gradient_);
    if (length == 0 || !std::isfinite(length)) return length;
    direction_ = gradient_;
    scale_to_one(direction_);
    draw_dragger(length);
    std::fill(update_.begin(), update_.end(), 0.0);
    double rho = std::numeric_limits<double>::infinity();
    const int64_t groups = k_.B / b_;
    for (int64_t j = 0; j < groups; ++j) {
      draw_micro_batch();
      const double n = norm(mean_);
      rho = std::min(rho, n);
      const double factor = method_ == Method::sgd ? 1 : n > 0 ? 1 / n : 0;
      add(update_, factor / static_cast<double>(groups), mean_);
    }
    add(w_, -eta_ * (method_ == Method::min_norm ? rho : 1), update_);
    return length;
  }

 private:
  /// A random direction, so far out that the loss is `gap`.
  void start() {
    for (double& x : w_) x = draws_.normal();
    double low = 0, high = 1;
    const Vector direction = w_;
    const auto loss_at = [&](double length) {
      std::fill(w_.begin(), w_.end(), 0.0);
      add(w_, length, direction);
      return evaluate(problem_, w_, gradient_);
    };
    while (loss_at(high) < k_.gap && high < 1e9) high *= 2;
    check(high < 1e9, "gap: the loss must reach it; {} is more than this loss can be", k_.gap);
    for (int i = 0; i < 200; ++i) {
      const double middle = low + (high - low) / 2;
      (loss_at(middle) < k_.gap ? low : high) = middle;
    }
    loss_at(high);
  }

  void draw_dragger(double length) {
    for (double& x : across_) x = draws_.normal();
    add(across_, -dot(across_, direction_), direction_);
    scale_to_one(across_);
    const double ratio = k_.c + (k_.C - k_.c) * draws_.uniform();
    const double size = problem_.dragger_norm > 0 ? problem_.dragger_norm : ratio * length;
    dragger_ = across_;
    for (double& x : dragger_) x *= size * std::sqrt(1 - problem_.cosine * problem_.cosine);
    add(dragger_, size * problem_.cosine, direction_);
  }

  /// The mean of b gradients into mean_: only the number of draggers and the sum of the noise are
  /// drawn.
  void draw_micro_batch() {
    const int64_t draggers = draws_.binomial(b_, k_.epsilon), benign = b_ - draggers;
    const auto b = static_cast<double>(b_), n = static_cast<double>(benign);
    add_noise(benign);
    for (double& x : mean_) x /= b;
    add(mean_, n / b, gradient_);
    add(mean_, static_cast<double>(draggers) / b, dragger_);
  }

  /// The sum of the noise of `count` benign examples into mean_; orthogonal to across_.
  void add_noise(int64_t count) {
    std::fill(mean_.begin(), mean_.end(), 0.0);
    if (count == 0 || k_.sigma == 0) return;
    const auto n = static_cast<double>(count);
    if (problem_.noise == Noise::normal) {
      for (double& x : mean_) x = draws_.normal();
      add(mean_, -dot(mean_, across_), across_);
      const double sd = k_.sigma * std::sqrt(n / (static_cast<double>(mean_.size()) - 1));
      for (double& x : mean_) x *= sd;
      return;
    }
    const double q = problem_.noise == Noise::two_point ? 0.5 : 0.1;
    const auto high = static_cast<double>(draws_.binomial(count, q));
    const double up = k_.sigma * std::sqrt((1 - q) / q), down = k_.sigma * std::sqrt(q / (1 - q));
    add(mean_, high * up - (n - high) * down, direction_);
  }

  Problem problem_;
  Constants k_;
  Method method_;
  int64_t b_;
  double eta_;
  Draws draws_;
  Vector w_, gradient_, direction_, across_, dragger_, mean_, update_;
};

}  // namespace

double evaluate(const Problem& problem, const Vector& w, Vector& gradient) {
  double loss = 0;
  if (problem.loss == Loss::norm) {
    const double length = norm(w), L = problem.constants.L;
    for (size_t i = 0; i < w.size(); ++i) gradient[i] = length == 0 ? 0 : L * w[i] / length;
    return L * length;
  }
  for (size_t i = 0; i < w.size(); ++i) {
    const double h = problem.curvature[i], square = w[i] * w[i];
    // The second derivative of w^2 / (1 + w^2) lies in [-1/2, 2].
    const double flat = problem.loss == Loss::nonconvex ? 1 + square : 1;
    loss += h / 2 * square / flat;
    gradient[i] = h * w[i] / (flat * flat);
  }
  return loss;
}

Course simulate(const Problem& problem, Method method, int64_t b, int64_t T, uint64_t seed) {
  Simulation run(problem, method, b, T, seed);
  Course course;
  const int64_t stretch = std::max<int64_t>(1, T / 100), last = std::max<int64_t>(1, T / 10);
  double recent = 0;
  for (int64_t t = 0; t < T; ++t) {
    const double length = run.step();
    course.average += length / static_cast<double>(T);
    if (t >= T - last) course.last += length / static_cast<double>(last);
    recent += length / static_cast<double>(stretch);
    if ((t + 1) % stretch != 0) continue;
    course.stretches.push_back(recent);
    recent = 0;
  }
  return course;
}

}  // namespace minnow::study
