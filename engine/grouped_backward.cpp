#include "engine/grouped_backward.h"

#include <algorithm>
#include <utility>

#include "engine/coefficients.h"
#include "engine/group_sinks.h"
#include "engine/machine.h"
#include "kernels/binary.h"
#include "kernels/launch.h"
#include "kernels/rescaled_sum.h"

namespace minnow {

Strategy strategy_from(std::string_view name) {
  if (name == "automatic") return Strategy::automatic;
  if (name == "instantiate") return Strategy::instantiate;
  if (name == "norm_only") return Strategy::norm_only;
  check(name == "loop", "clip.strategy: one of automatic, instantiate, norm_only, loop; got \"{}\"",
        name);
  return Strategy::loop;
}

namespace {

/// The groups [first, last) that one wave completes, and the pieces of the batch to run for them:
/// one piece, or several where a single group is larger than the wave.
struct Wave {
  int64_t first, last;
  std::vector<int64_t> cuts;  ///< examples cuts[i] .. cuts[i + 1] are one forward and backward pass
};

/// Whole groups in order, as many to a wave as fit `examples` and `groups`; a group larger than
/// that alone, in pieces. `apart`: a wave ends where the domain changes.
std::vector<Wave> pack(const Grouping& grouping, int64_t examples, int64_t groups, bool apart) {
  const auto& bounds = grouping.bounds();
  std::vector<Wave> waves;
  for (int64_t j = 0; j < grouping.groups();) {
    const auto fits = [&](int64_t next) {
      return next < grouping.groups() && next - j < groups &&
             bounds[next + 1] - bounds[j] <= examples &&
             (!apart || grouping.domains()[next] == grouping.domains()[j]);
    };
    Wave wave{j, j + 1, {bounds[j]}};
    while (fits(wave.last)) ++wave.last;
    while (wave.cuts.back() < bounds[wave.last]) {
      wave.cuts.push_back(std::min(wave.cuts.back() + examples, bounds[wave.last]));
    }
    j = wave.last;
    waves.push_back(std::move(wave));
  }
  return waves;
}

int64_t parameter_bytes(const Parameters& parameters) {
  int64_t bytes = 0;
  for (const Parameter* p : parameters) bytes += p->trainable ? p->value.nbytes() : 0;
  return bytes;
}

std::vector<Wave> plan_waves(const Parameters& parameters, const Grouping& grouping,
                             const GroupedOptions& options, int64_t domains) {
  check(options.wave >= 0, "train.wave: must not be negative; got {}", options.wave);
  const int64_t examples = options.wave > 0 ? options.wave : grouping.examples();
  int64_t groups = grouping.groups();
  if (options.wave == 0) {
    groups = options.memory_budget / std::max<int64_t>(parameter_bytes(parameters), 1);
  }
  if (options.strategy == Strategy::loop) groups = 1;
  groups = std::max<int64_t>(groups, 1);
  std::vector<Wave> waves = pack(grouping, examples, groups, false);
  // The sums of different domains have different common factors: no wave may mix them, unless there
  // is only one wave.
  if (waves.size() > 1 && domains > 1) waves = pack(grouping, examples, groups, true);
  return waves;
}

/// The micro-batches of the examples [begin, end), for ops that couple examples.
GroupContext groups_of_piece(const Grouping& grouping, int64_t begin, int64_t end) {
  const auto& bounds = grouping.bounds();
  const auto first = std::lower_bound(bounds.begin(), bounds.end(), begin);
  const auto last = std::lower_bound(first, bounds.end(), end);
  GroupContext context{.groups = nullptr, .step_examples = grouping.examples(), .complete = false};
  if (first == bounds.end() || *first != begin || last == bounds.end() || *last != end) {
    return context;
  }
  context.groups = std::make_shared<const Grouping>(
      grouping.subset(first - bounds.begin(), last - bounds.begin()));
  context.complete = true;
  return context;
}

/// Runs the examples [begin, end) forward and backward. Each loss is seeded with 1 / size of its
/// group, so that a group's gradient is that of its average loss.
void run_piece(const Grouping& grouping, int64_t begin, int64_t end, const LossFn& loss,
               GradSink& sink, Tensor& losses) {
  Tape tape;
  tape.set_groups(groups_of_piece(grouping, begin, end));
  Var root = loss(tape, begin, end);
  check(root.shape() == Shape{end - begin},
        "backward: the loss of {} examples must have shape [{}]; got {}", end - begin, end - begin,
        to_string(root.shape()));
  if (!losses.defined()) {
    losses = Tensor::empty({grouping.examples()}, root.dtype(), root.device());
  }
  losses.slice(begin, end).copy_from(root.value());
  const Tensor weights = Tensor::empty(root.shape(), root.dtype());
  dispatch_wide("backward", weights, [&](auto zero) {
    using T = decltype(zero);
    T* s = weights.data<T>();
    const auto& bounds = grouping.bounds();
    int64_t j = std::upper_bound(bounds.begin(), bounds.end(), begin) - bounds.begin() - 1;
    for (int64_t i = begin; i < end; ++i) {
      while (i >= bounds[j + 1]) ++j;
      s[i - begin] = T(1) / static_cast<T>(grouping.size(j));
    }
  });
  tape.backward(root, weights.to(root.device()), sink);
}

std::unique_ptr<GroupSource> run_wave(const Parameters& parameters, const Grouping& grouping,
                                      const Wave& wave, const LossFn& loss,
                                      const GroupedOptions& options, Tensor& losses) {
  std::unique_ptr<GroupSource> source;
  if (wave.last - wave.first == 1) {
    source = std::make_unique<OneGroup>(parameters);
  } else {
    GroupedOptions known = options;
    if (known.tau <= 0) known.tau = measured_tau(device_of(parameters));
    source =
        std::make_unique<ManyGroups>(parameters, grouping.subset(wave.first, wave.last), known);
  }
  for (size_t i = 0; i + 1 < wave.cuts.size(); ++i) {
    run_piece(grouping, wave.cuts[i], wave.cuts[i + 1], loss, *source, losses);
  }
  return source;
}

/// sums[l] (+)= sum over the wave's groups of factor g_j; with `final`, of their whole weights.
void add_wave(const Parameters& parameters, const Coefficients& coefficients, const Wave& wave,
              bool final, GroupSource& source, std::vector<Tensor>& sums) {
  for (int64_t l = 0; l < std::ssize(parameters); ++l) {
    if (!parameters[l]->trainable) continue;
    const double* c =
        final ? coefficients.weights(l, wave.first) : coefficients.factors(l, wave.first);
    source.weighted_sum(l, c, sums[l], sums[l].defined());
  }
}

/// sum over the domains of (its common number) x (its sum), gathered in the first.
std::vector<Tensor> join(const Coefficients& coefficients, std::vector<std::vector<Tensor>> sums) {
  for (int64_t d = 0; d < std::ssize(sums); ++d) {
    for (int64_t l = 0; l < std::ssize(sums[d]); ++l) {
      const Tensor x = sums[d][l];
      if (!x.defined()) continue;
      const double* common = coefficients.common(l, d);
      dispatch_wide("rescaled sum", x, [&](auto zero) {
        using T = decltype(zero);
        T* data = x.data<T>();
        if (d > 0 && sums[0][l].defined()) {
          MINNOW_ON(x.device(), add_scaled_by<T>)
          (x.numel(), common, data, sums[0][l].data<T>());
        } else {
          MINNOW_ON(x.device(), scale_by<T>)(x.numel(), common, data, data);
          sums[0][l] = x;
        }
      });
    }
  }
  return std::move(sums[0]);
}

/// Keeps the gradients of all groups, and after them rows for V others.
class KeepAll final : public GradSink {
 public:
  KeepAll(const Parameters& parameters, const Grouping& grouping, int64_t others = 0)
      : grouping_(grouping), index_(parameters), others_(others), gradients(parameters.size()) {}

  void take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form, bool) override {
    Tensor& sums = gradients[index_.at(parameter)];
    const bool accumulate = sums.defined();
    if (!accumulate) sums = rows(parameter.value, grouping_.groups() + others_);
    form->group_sums(grouping_, sums.slice(0, grouping_.groups()), accumulate, nullptr);
  }

  static Tensor rows(const Tensor& value, int64_t count) {
    Shape shape = value.shape();
    shape.insert(shape.begin(), count);
    return Tensor::empty(shape, value.dtype(), value.device());
  }

 private:
  const Grouping& grouping_;
  ParameterIndex index_;
  int64_t others_;

 public:
  std::vector<Tensor> gradients;
};

/// Adds each parameter's inner products to `products`, of one tensor for each, and lets its
/// gradients go, unless further uses are to come.
class Gram final : public GradSink {
 public:
  Gram(const Parameters& parameters, const Grouping& grouping, std::vector<Tensor> products,
       std::vector<std::vector<Tensor>> others = {})
      : kept_(parameters, grouping, std::ssize(others)),
        parameters_(parameters),
        index_(parameters),
        added_(parameters.size(), false),
        products_(std::move(products)),
        others_(std::move(others)) {}

  void take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form,
            bool shared) override {
    kept_.take(parameter, std::move(form), shared);
    if (!shared) add(index_.at(parameter));
  }

  void finish() {
    for (int64_t l = 0; l < std::ssize(products_); ++l) {
      if (added_[l] || !products_[l].defined()) continue;
      Tensor& sums = kept_.gradients[l];
      if (!sums.defined()) {  // the loss does not reach it
        if (others_.empty()) continue;
        sums = KeepAll::rows(parameters_[l]->value, products_[l].dim(0));
        sums.fill(0);
      }
      add(l);
    }
  }

 private:
  void add(int64_t l) {
    added_[l] = true;
    const Tensor x = std::exchange(kept_.gradients[l], Tensor());
    const int64_t rows = x.dim(0), groups = rows - std::ssize(others_);
    for (int64_t v = 0; v < std::ssize(others_); ++v) {
      const Tensor& other = others_[v][l];
      x.slice(groups + v, groups + v + 1).copy_from(other.reshape(x.slice(0, 1).shape()));
    }
    dispatch_wide("gram", x, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_ON(x.device(), gram<T>)
      (rows, x.numel() / rows, x.data<T>(), products_[l].data<double>());
    });
  }

  KeepAll kept_;
  const Parameters& parameters_;
  ParameterIndex index_;
  std::vector<bool> added_;
  std::vector<Tensor> products_;
  std::vector<std::vector<Tensor>> others_;
};

}  // namespace

PendingStep begin_clipped_gradient(const Parameters& parameters, const Grouping& grouping,
                                   const LossFn& loss, const ClipRule& rule, ClipState& state,
                                   const GroupedOptions& options) {
  PendingStep step;
  Coefficients coefficients(std::ssize(parameters), grouping, rule, state, device_of(parameters));
  const std::vector<Wave> waves = plan_waves(parameters, grouping, options, coefficients.domains());
  const bool one_wave = waves.size() == 1;
  std::vector<std::vector<Tensor>> sums(static_cast<size_t>(coefficients.domains()),
                                        std::vector<Tensor>(parameters.size()));
  for (const Wave& wave : waves) {
    const auto source = run_wave(parameters, grouping, wave, loss, options, step.losses);
    coefficients.see(wave.first, wave.last, source->sumsq(), step.losses);
    if (one_wave) step.groups = coefficients.finish();
    const int64_t d = one_wave ? 0 : coefficients.domain(wave.first);
    add_wave(parameters, coefficients, wave, one_wave, *source, sums[d]);
  }
  if (!one_wave) step.groups = coefficients.finish();
  step.update = one_wave ? std::move(sums[0]) : join(coefficients, std::move(sums));
  return step;
}

GroupedStep clipped_gradient(const Parameters& parameters, const Grouping& grouping,
                             const LossFn& loss, const ClipRule& rule, ClipState& state,
                             const GroupedOptions& options) {
  PendingStep step = begin_clipped_gradient(parameters, grouping, loss, rule, state, options);
  return {.update = std::move(step.update),
          .losses = std::move(step.losses),
          .groups = step.groups.read()};
}

std::vector<Tensor> group_gradients(const Parameters& parameters, const Grouping& grouping,
                                    const LossFn& loss) {
  KeepAll sink(parameters, grouping);
  Tensor losses;
  run_piece(grouping, 0, grouping.examples(), loss, sink, losses);
  for (size_t l = 0; l < parameters.size(); ++l) {
    if (!parameters[l]->trainable || sink.gradients[l].defined()) continue;
    sink.gradients[l] = KeepAll::rows(parameters[l]->value, grouping.groups());
    sink.gradients[l].fill(0);
  }
  return std::move(sink.gradients);
}

Tensor gram(const Parameters& parameters, const Grouping& grouping, const LossFn& loss) {
  const Tensor products =
      Tensor::zeros({grouping.groups(), grouping.groups()}, DType::float64, device_of(parameters));
  Gram sink(parameters, grouping, std::vector<Tensor>(parameters.size(), products));
  Tensor losses;
  run_piece(grouping, 0, grouping.examples(), loss, sink, losses);
  sink.finish();
  return products;
}

std::vector<Tensor> parameter_grams(const Parameters& parameters, const Grouping& grouping,
                                    const LossFn& loss,
                                    const std::vector<std::vector<Tensor>>& others) {
  const int64_t n = grouping.groups() + std::ssize(others);
  std::vector<Tensor> products(parameters.size());
  for (size_t l = 0; l < parameters.size(); ++l) {
    if (!parameters[l]->trainable) continue;
    products[l] = Tensor::zeros({n, n}, DType::float64, device_of(parameters));
  }
  Gram sink(parameters, grouping, products, others);
  Tensor losses;
  run_piece(grouping, 0, grouping.examples(), loss, sink, losses);
  sink.finish();
  return products;
}

}  // namespace minnow
