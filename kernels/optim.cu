#include <cmath>
#include <vector>

#include "kernels/device.h"
#include "kernels/optim.h"

namespace minnow::cuda {
namespace {

/// What the device alone knows of a step: written by one thread, read by all that follow.
template <class T>
struct StepNow {
  bool skip;
  T step_size, scale2;  ///< Adam's rates; an average's step_size is ema_rest
};

/// Counts the step where it is taken, and asks the rule for what depends on its number.
template <class T, class Rule>
__global__ void begin_step_kernel(StepGate gate, Rule rule, StepNow<T>* now) {
  *now = {gate.skip != nullptr && *gate.skip != 0, 0, 0};
  if (!now->skip) rule.begin(++*gate.taken, *now);
}

/// The steps themselves, on one element: g its gradient, p, m and v read and overwritten. `begin`
/// is called once, before them.
template <class T>
struct Sgd {
  T lr, momentum;
  T of_d, of_m;  ///< of d and the new m, how much of each moves p
  __device__ void begin(int64_t, StepNow<T>&) const {}
  __device__ void operator()(const OptimTensor<T>& t, const StepNow<T>&, T g, T& p, T& m,
                             T&) const {
    const T d = g + t.l2 * p;
    m = momentum * m + d;
    p = t.shrink * p - t.rate * lr * (t.m == nullptr ? d : of_d * d + of_m * m);
  }
};
template <class T>
struct Adam {
  T rest1, beta2, rest2, eps;
  double lr, log_beta1, log_beta2;
  __device__ void begin(int64_t t, StepNow<T>& now) const {
    const AdamRates rates = adam_rates(lr, log_beta1, log_beta2, t);
    now.step_size = static_cast<T>(rates.step_size);
    now.scale2 = static_cast<T>(rates.scale2);
  }
  __device__ void operator()(const OptimTensor<T>& t, const StepNow<T>& now, T g, T& p, T& m,
                             T& v) const {
    const T d = g + t.l2 * p;
    m += rest1 * (d - m);
    v = beta2 * v + rest2 * d * d;
    p = t.shrink * p - t.rate * now.step_size * m / (now.scale2 * std::sqrt(v) + eps);
  }
};
template <class T>
struct Ema {
  double decay;
  __device__ void begin(int64_t t, StepNow<T>& now) const {
    now.step_size = static_cast<T>(ema_rest(decay, t));
  }
  __device__ void operator()(const OptimTensor<T>&, const StepNow<T>& now, T g, T& p, T&,
                             T&) const {
    p += now.step_size * (g - p);
  }
};

/// A tensor's place in the list of blocks that share all tensors.
template <class T>
struct Placed {
  OptimTensor<T> tensor;
  int64_t first;  ///< its first block
  bool packed;    ///< its arrays begin at multiples of 16 bytes
};

/// Elements of a block: 16 a thread.
constexpr int64_t block_elements = 16 * block_threads;

/// Elements begin .. end of a tensor, n at a time; end - begin is a multiple of n.
template <int n, class T, class Rule>
__device__ void step_elements(const OptimTensor<T>& t, const StepNow<T>& now, Rule rule,
                              int64_t begin, int64_t end) {
  for (int64_t i = begin + threadIdx.x * n; i < end; i += block_threads * n) {
    const Run<T, n> g = load_run<n>(t.g + i);
    Run<T, n> p = load_run<n>(t.p + i);
    Run<T, n> m = load_or<n>(t.m, i, T(0)), v = load_or<n>(t.v, i, T(0));
    for (int k = 0; k < n; ++k) rule(t, now, g.v[k], p.v[k], m.v[k], v.v[k]);
    store_run(t.p + i, p);
    if (t.m != nullptr) store_run(t.m + i, m);
    if (t.v != nullptr) store_run(t.v + i, v);
  }
}

/// One launch for all parameters, since most have few elements. Moves (3 + 2 (m) + 2 (v))
/// sizeof(T) bytes an element and does some 3 (average), 5 (SGD) or 14 (Adam) flops on it: bound by
/// memory. A block finds its tensor by a binary search in the list.
template <class T, class Rule>
__global__ void step_kernel(int64_t tensors, const Placed<T>* list, const StepNow<T>* step,
                            Rule rule) {
  const StepNow<T> now = *step;
  if (now.skip) return;
  int64_t low = 0, high = tensors;
  while (high - low > 1) {  // the last whose first block is not above this one
    const int64_t middle = low + (high - low) / 2;
    (list[middle].first <= blockIdx.x ? low : high) = middle;
  }
  const Placed<T> mine = list[low];
  const OptimTensor<T>& t = mine.tensor;
  const int64_t begin = (blockIdx.x - mine.first) * block_elements;
  const int64_t end = min(begin + block_elements, t.n);
  constexpr int n = Pack<T>::size;
  const int64_t whole = mine.packed ? begin + (end - begin) / n * n : begin;
  step_elements<n>(t, now, rule, begin, whole);
  step_elements<1>(t, now, rule, whole, end);
}

template <class T, class Rule>
void take_step(std::span<const OptimTensor<T>> tensors, const StepGate& gate, Rule rule) {
  const Scratch now(sizeof(StepNow<T>));
  MINNOW_LAUNCH(1, 1, 0, begin_step_kernel<T, Rule>, gate, rule, now.as<StepNow<T>>());
  std::vector<Placed<T>> list;
  int64_t blocks = 0;
  for (const OptimTensor<T>& t : tensors) {
    if (t.n == 0) continue;
    list.push_back({t, blocks, packs<T>(0, t.p, t.g, t.m, t.v)});
    blocks += ceil_div(t.n, block_elements);
  }
  if (blocks == 0) return;
  const int64_t count = static_cast<int64_t>(list.size());
  const int64_t bytes = count * int64_t{sizeof(Placed<T>)};
  const Scratch memory(bytes);
  copy_to_device(memory.as<void>(), list.data(), bytes);
  MINNOW_LAUNCH(static_cast<unsigned>(blocks), block_threads, 0, step_kernel<T, Rule>, count,
                memory.as<Placed<T>>(), now.as<StepNow<T>>(), rule);
}

}  // namespace

template <class T>
void sgd(std::span<const OptimTensor<T>> tensors, const SgdStep<T>& step, const StepGate& gate) {
  const T of_d = step.nesterov ? T(1) : T(0), of_m = step.nesterov ? step.momentum : T(1);
  take_step(tensors, gate, Sgd<T>{step.lr, step.momentum, of_d, of_m});
}

template <class T>
void adam(std::span<const OptimTensor<T>> tensors, const AdamStep<T>& step, const StepGate& gate) {
  take_step(tensors, gate,
            Adam<T>{step.rest1, step.beta2, step.rest2, step.eps, step.lr, step.log_beta1,
                    step.log_beta2});
}

template <class T>
void ema(std::span<const OptimTensor<T>> tensors, double decay, const StepGate& gate) {
  take_step(tensors, gate, Ema<T>{decay});
}

#define MINNOW_INSTANTIATE(T)                                                                  \
  template void sgd<T>(std::span<const OptimTensor<T>>, const SgdStep<T>&, const StepGate&);   \
  template void adam<T>(std::span<const OptimTensor<T>>, const AdamStep<T>&, const StepGate&); \
  template void ema<T>(std::span<const OptimTensor<T>>, double, const StepGate&);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
