#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "engine/coefficients.h"
#include "engine/parameter.h"
#include "engine/tape.h"

namespace minnow {

/// How the group gradients of a layer are treated until their coefficients are known.
enum class Strategy {
  automatic,    ///< the cheaper of the next two, layer by layer
  instantiate,  ///< write [K, P], take its norms, sum it up
  norm_only,    ///< norms from tiles that are never written; one weighted product afterwards
  loop,  ///< every group alone through the plain backward pass: slow, and the oracle of the tests
};
Strategy strategy_from(std::string_view name);

/// Losses of the examples [begin, end) of the batch, arranged as Grouping::order() says: one number
/// an example, recorded on the tape. Called once for each wave.
using LossFn = std::function<Var(Tape& tape, int64_t begin, int64_t end)>;

/// How the group gradients of a parameter were treated in one wave of several groups.
struct Treatment {
  const Parameter& parameter;
  double rows;  ///< per group; infinity or 0 where tau does not matter, see ParamGrad::rows
  bool instantiated;
};

struct GroupedOptions {
  Strategy strategy = Strategy::automatic;
  /// Examples that pass through the model at a time; 0: as many whole groups as fit the memory
  /// budget. A group larger than the wave is added up in pieces.
  int64_t wave = 0;
  /// Bytes that the group gradients of one wave may take.
  int64_t memory_budget = int64_t{256} << 20;
  /// Rows per group from which instantiating pays; 0: measured_tau() of the device. See
  /// grouped-gradient costs in the README.
  double tau = 0;
  /// Hears of every use of a parameter in every wave of several groups.
  std::function<void(const Treatment&)> observe = {};
};

/// One step's worth of gradient.
struct GroupedStep {
  std::vector<Tensor> update;  ///< one for each parameter, in its shape; undefined for a frozen one
  Tensor losses;               ///< [B], of the arranged batch
  GroupNorms groups;
};

/// The update of micro-batch clipping, exact for every group. With g_j the gradient of the average
/// loss of group j and n_j its norm: (1/K) sum_j c_j g_j under Reduction::mean, sum_j c_j g_j under
/// Reduction::sum, where K counts the groups that take part. One group is the plain gradient, to
/// the bit, under Rule::none and Rule::min. Source: Wang et al., arXiv 2408.16204, Algorithm 1 and
/// equation 2.
GroupedStep clipped_gradient(const Parameters& parameters, const Grouping& grouping,
                             const LossFn& loss, const ClipRule& rule, ClipState& state,
                             const GroupedOptions& options = {});

/// One step's worth of gradient, still being computed: on a GPU nothing has been waited for.
struct PendingStep {
  std::vector<Tensor> update;  ///< as in GroupedStep; zero where the step is skipped
  Tensor losses;
  GroupReport groups;
};

/// clipped_gradient() for a training loop that keeps its GPU busy: what was seen of the groups is
/// read when it is needed, perhaps a step later.
PendingStep begin_clipped_gradient(const Parameters& parameters, const Grouping& grouping,
                                   const LossFn& loss, const ClipRule& rule, ClipState& state,
                                   const GroupedOptions& options = {});

/// Every group's own gradient: for each parameter [K, shape...]; undefined for a frozen one. For
/// studies of small models: K P numbers are held at once.
std::vector<Tensor> group_gradients(const Parameters& parameters, const Grouping& grouping,
                                    const LossFn& loss);

/// All inner products <g_i, g_j> [K, K] float64 on the device of the model, layer by layer: no more
/// than K times the largest parameter is held.
Tensor gram(const Parameters& parameters, const Grouping& grouping, const LossFn& loss);

/// The same for each parameter alone: gram() is their sum. Undefined for a frozen one. `others` are
/// V gradients of another origin, as clipped_gradient() gives updates: they are the last rows and
/// columns of the [K + V, K + V] products.
std::vector<Tensor> parameter_grams(const Parameters& parameters, const Grouping& grouping,
                                    const LossFn& loss,
                                    const std::vector<std::vector<Tensor>>& others = {});

}  // namespace minnow
