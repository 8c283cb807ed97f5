#include <algorithm>
#include <array>
#include <atomic>
#include <initializer_list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda.h"
#include "kernels/cuda_check.h"
#include "kernels/cudnn_descriptor.h"
#include "kernels/cudnn_graph.h"
#include "kernels/gemm.h"
#include "kernels/runtime.h"

/// cuDNN's graph API, from one convolution to its execution. Everything is a descriptor of the
/// backend (cudnn_descriptor.h).
///
///   tensors, convolution -> operation -> graph     what is to be computed
///   graph -> heuristics -> engine configurations   how it could be, best first
///   engine configuration -> plan                   how it will be: kernels chosen and loaded
///   plan + variant pack (pointers) -> execution    the work, in the stream
///
/// All but the last step take milliseconds and do not depend on the arrays, so plans are kept.
namespace minnow::cuda {

void check_status(cudnnStatus_t status, const char* call, const char* file, int line) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char reason[512] = {};  // the condition that did not hold, in cuDNN's terms
  cudnnGetLastErrorString(reason, sizeof(reason));
  throw DeviceError(std::string(call) + " failed: " + cudnnGetErrorString(status) + ", " + reason +
                    " [" + file + ":" + std::to_string(line) + "]");
}

namespace {

enum class Pass { forward, input_gradient, weight_gradient };
constexpr const char* pass_names[] = {"forward", "input gradient", "weight gradient"};

/// Everything that a plan depends on.
struct Problem {
  auto key() const {
    const ConvShape& s = shape;
    const int64_t numbers = type * 64 + alignment * 2 + (tensor_cores ? 1 : 0);
    return std::array{static_cast<int64_t>(pass),
                      s.batch,
                      s.channels,
                      s.height,
                      s.width,
                      s.filters,
                      s.kernel_h,
                      s.kernel_w,
                      s.stride,
                      s.padding,
                      s.dilation,
                      s.groups,
                      numbers};
  }
  std::string text() const {
    const ConvShape& s = shape;
    const auto sizes = [](std::initializer_list<int64_t> extents) {
      std::string list;
      for (const int64_t e : extents) list += (list.empty() ? "[" : ", ") + std::to_string(e);
      return list + "]";
    };
    return std::string("conv2d ") + pass_names[static_cast<int>(pass)] + " in " +
           (type == CUDNN_DATA_FLOAT ? "float" : "bfloat16") + ", x " +
           sizes({s.batch, s.channels, s.height, s.width}) + ", w " +
           sizes({s.filters, s.channels / s.groups, s.kernel_h, s.kernel_w}) + ", stride " +
           std::to_string(s.stride) + ", padding " + std::to_string(s.padding) + ", dilation " +
           std::to_string(s.dilation) + ", groups " + std::to_string(s.groups);
  }

  Pass pass;
  ConvShape shape;
  cudnnDataType_t type;  ///< of all three arrays
  int64_t alignment;     ///< bytes that divide their addresses
  bool tensor_cores;     ///< whether operands may be rounded to what tensor cores read
};

/// The names by which the variant pack knows the graph's arrays.
constexpr int64_t x_id = 1, w_id = 2, y_id = 3;

Descriptor make_tensor(const Problem& p, int64_t id, std::array<int64_t, 4> d) {
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, {id});
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, {p.type});
  // The order of the dimensions is fixed (examples, channels, height, width); the strides alone say
  // which of them is innermost in memory, here the width.
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, {d[0], d[1], d[2], d[3]});
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, {d[1] * d[2] * d[3], d[2] * d[3], d[3], int64_t{1}});
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, {p.alignment});
  tensor.finalize();
  return tensor;
}

Descriptor make_convolution(const ConvShape& s) {
  Descriptor conv(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  conv.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {int64_t{2}});
  // What sums are kept in, whatever the arrays' type.
  conv.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, {CUDNN_DATA_FLOAT});
  // In mathematics a convolution flips the filter; in deep learning it does not.
  conv.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, {CUDNN_CROSS_CORRELATION});
  conv.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {s.stride, s.stride});
  conv.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {s.padding, s.padding});
  conv.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {s.padding, s.padding});
  conv.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {s.dilation, s.dilation});
  conv.finalize();
  return conv;
}

/// The three operations have the same parts under names of their own; of x, w and y one is written
/// (it is then a gradient, as is y in both backward passes).
struct Operation {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
};
constexpr Operation operations[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

/// Whether a configuration's engine computes what is promised. Engines state their numerical
/// properties as notes.
bool acceptable(const Descriptor& config, bool tensor_cores) {
  const auto engine =
      config.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  const auto notes = engine.at(0).get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                                   CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  bool winograd = false, small_tiles = false;
  for (const cudnnBackendNumericalNote_t note : notes) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:             // adds up in any order
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:          // float as half: a smaller range
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:  // sums not in float
      // Sums and differences of whole tiles, whose rounding errors every output gets its share of:
      case CUDNN_NUMERICAL_NOTE_FFT:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        return false;
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        if (!tensor_cores) return false;
        break;
      case CUDNN_NUMERICAL_NOTE_WINOGRAD:
        winograd = true;
        break;
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:  // mild: its coefficients are 1, 1/2, 1/4
        small_tiles = true;
        break;
      default:
        break;
    }
  }
  return !winograd || small_tiles;
}

struct Plan {
  /// What the plan was made of: nowhere is it promised that a plan copies all of that.
  std::vector<Descriptor> parts;
  Descriptor plan;
  int64_t workspace;  ///< bytes that it needs beside the arrays
};

constexpr int64_t most_workspace = int64_t{256} << 20;

/// The first acceptable plan of cuDNN's list, if there is one.
std::optional<Plan> make_plan(cudnnHandle_t handle, const Problem& p) {
  const ConvShape& s = p.shape;
  const Operation& names = operations[static_cast<int>(p.pass)];
  Descriptor x = make_tensor(p, x_id, {s.batch, s.channels, s.height, s.width});
  // Groups are nowhere stated: they follow from a filter's having fewer channels than x.
  Descriptor w = make_tensor(p, w_id, {s.filters, s.channels / s.groups, s.kernel_h, s.kernel_w});
  Descriptor y = make_tensor(p, y_id, {s.batch, s.filters, s.out_h(), s.out_w()});
  Descriptor conv = make_convolution(s);

  Descriptor operation(names.type);
  operation.refer(names.conv, conv);
  operation.refer(names.x, x);
  operation.refer(names.w, w);
  operation.refer(names.y, y);
  // The result is alpha times the product + beta times what was there; float for sums in float.
  // Not every engine takes a beta, so a sum that goes on is the caller's.
  operation.set(names.alpha, {1.0f});
  operation.set(names.beta, {0.0f});
  if (!operation.finalize_if_supported()) return std::nullopt;

  // A graph may hold several operations, to be fused; this one has a single node.
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, {handle});  // says for which device
  graph.refer(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
  if (!graph.finalize_if_supported()) return std::nullopt;

  // A predicts which engines, with which settings, are fastest, and lists them in that order;
  // FALLBACK lists those that work most widely.
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.refer(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, {mode});
    if (!heuristics.finalize_if_supported()) continue;
    auto configs = heuristics.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                              CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                              heuristics.count(CUDNN_ATTR_ENGINEHEUR_RESULTS));
    for (Descriptor& config : configs) {
      if (!acceptable(config, p.tensor_cores)) continue;
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, {handle});
      plan.refer(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
      // Here the kernels are loaded or compiled. The list is a prediction: that an engine fails
      // now, for whatever reason, only means that the next one has its turn.
      if (plan.try_finalize() != CUDNN_STATUS_SUCCESS) continue;
      const auto bytes = plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1);
      if (bytes.empty() || bytes[0] > most_workspace) continue;
      Plan found{{}, std::move(plan), bytes[0]};
      for (Descriptor* part : {&x, &w, &y, &conv, &operation, &graph, &heuristics, &config}) {
        found.parts.push_back(std::move(*part));
      }
      return found;
    }
  }
  return std::nullopt;
}

std::atomic<int64_t> missing{0};

/// The handle, which is for one thread at a time, and the plans.
class Cudnn {
 public:
  /// Never destroyed: cuDNN loads its parts when they are first needed, and when the program ends
  /// they may be gone before any object that was made earlier.
  static Cudnn& instance() {
    static Cudnn* const only = new Cudnn;
    return *only;
  }

  bool run(const Problem& p, const void* x, const void* w, const void* y) {
    const std::lock_guard lock(mutex_);
    const std::optional<Plan>& plan = find(p);
    if (!plan) return false;
    const Scratch workspace(plan->workspace);
    // All that differs between two executions of a plan. cuDNN takes every pointer as one to write
    // to; the pass decides which it is.
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, {x_id, w_id, y_id});
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
             {const_cast<void*>(x), const_cast<void*>(w), const_cast<void*>(y)});
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, {workspace.as<void>()});
    pack.finalize();
    MINNOW_CUDA_CHECK(cudnnBackendExecute(handle_, plan->plan.raw(), pack.raw()));
    return true;
  }

 private:
  Cudnn() {
    const cudaStream_t where = stream();  // says first why there may be no device
    MINNOW_CUDA_CHECK(cudnnCreate(&handle_));
    MINNOW_CUDA_CHECK(cudnnSetStream(handle_, where));
  }

  /// No plan is an answer too, and kept.
  const std::optional<Plan>& find(const Problem& p) {
    const auto key = p.key();
    if (const auto known = plans_.find(key); known != plans_.end()) return known->second;
    if (plans_.size() >= most_plans) {
      // Inputs of ever new sizes: begin again, but not while the device is at one of the plans.
      MINNOW_CUDA_CHECK(cudaStreamSynchronize(stream()));
      plans_.clear();
    }
    const auto added = plans_.emplace(key, make_plan(handle_, p)).first;
    if (!added->second) ++missing;
    return added->second;
  }

  static constexpr size_t most_plans = 1024;
  std::mutex mutex_;
  cudnnHandle_t handle_ = nullptr;
  std::map<decltype(Problem().key()), std::optional<Plan>> plans_;
};

template <class T>
bool run(Pass pass, const ConvShape& s, const T* x, const T* w, const T* y) {
  if constexpr (std::is_same_v<T, double>) {
    return false;  // its few engines are no faster than the products of gemm.h
  } else {
    if (std::min({s.batch, s.channels, s.filters}) == 0) return false;  // cuDNN knows no empty ones
    // Engines that read 16 bytes at a time need a base to match; a slice may begin anywhere.
    const auto bits = reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(w) |
                      reinterpret_cast<uintptr_t>(y);
    constexpr bool is_float = std::is_same_v<T, float>;
    const Problem problem{.pass = pass,
                          .shape = s,
                          .type = is_float ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16,
                          .alignment = bits % 16 == 0 ? 16 : static_cast<int64_t>(sizeof(T)),
                          .tensor_cores = !is_float || tf32_allowed()};
    try {
      return Cudnn::instance().run(problem, x, w, y);
    } catch (const DeviceError& error) {
      throw DeviceError(std::string(error.what()) + ", for " + problem.text());
    }
  }
}

}  // namespace

template <class T>
bool cudnn_forward(const ConvShape& shape, const T* x, const T* w, T* y) {
  return run<T>(Pass::forward, shape, x, w, y);
}

template <class T>
bool cudnn_backward(const ConvShape& shape, const T* gy, const T* w, T* gx) {
  return run<T>(Pass::input_gradient, shape, gx, w, gy);
}

template <class T>
bool cudnn_weight_sum(const ConvShape& shape, const T* x, const T* gy, Wide<T>* sum) {
  // A bfloat16 gradient would round the sum over all examples; few engines write a float one.
  if constexpr (std::is_same_v<T, float>) {
    return run<T>(Pass::weight_gradient, shape, x, sum, gy);
  } else {
    return false;
  }
}

int64_t conv_plans_missing() {
  return missing;
}

#define MINNOW_INSTANTIATE(T)                                                \
  template bool cudnn_forward<T>(const ConvShape&, const T*, const T*, T*);  \
  template bool cudnn_backward<T>(const ConvShape&, const T*, const T*, T*); \
  template bool cudnn_weight_sum<T>(const ConvShape&, const T*, const T*, Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
