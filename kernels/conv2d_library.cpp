#include "kernels/conv2d_library.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <dnnl.hpp>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/launch.h"
#include "kernels/reduce.h"

namespace minnow::cpu {
namespace {

using Descriptor = dnnl::memory::desc;
using Layout = dnnl::memory::format_tag;

const dnnl::engine& processor() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

Descriptor described(dnnl::memory::dims dims, Layout layout) {
  return {dims, dnnl::memory::data_type::f32, layout};
}

/// The arrays of a convolution, or of its gradients, in one layout.
struct Arrays {
  Arrays(const ConvShape& s, Layout picture, Layout filter)
      : x(described({s.batch, s.channels, s.height, s.width}, picture)),
        w(described({s.filters, s.channels, s.kernel_h, s.kernel_w}, filter)),
        y(described({s.batch, s.filters, s.out_h(), s.out_w()}, picture)) {}
  Descriptor x, w, y;
};

/// Memory of the calling thread that lasts; grows to the largest that was asked for.
class Room {
 public:
  float* at(int which, size_t bytes) {
    auto& part = parts_[static_cast<size_t>(which)];
    if (part.bytes < bytes) {
      constexpr size_t line = 64;
      part = {};  // what it held goes first
      part.memory.reset(std::aligned_alloc(line, (bytes + line - 1) / line * line));
      if (!part.memory) throw std::bad_alloc();
      part.bytes = bytes;
    }
    return static_cast<float*>(part.memory.get());
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  struct Part {
    std::unique_ptr<void, Free> memory;
    size_t bytes = 0;
  };
  std::array<Part, 6> parts_;
};

enum class Pass { forward, backward, weight };

/// One pass of one shape: the library's kernel, and what rearranges arrays before and after it.
class Plan {
 public:
  /// Nothing where the library has no generated kernel.
  static std::optional<Plan> make(Pass pass, const ConvShape& shape);

  /// `in`: the two arrays read; `out`: the one written, all as they lie in a tensor.
  void run(const float* in0, const float* in1, float* out, Room& room) const {
    dnnl::stream stream(processor());
    const bool direct = library_[2] == plain_[2];
    const dnnl::memory result = compute(in0, in1, direct ? out : result_room(room), stream, room);
    if (!direct) {
      const dnnl::memory target(plain_[2], processor(), out);
      orders_[2]->execute(stream, {{DNNL_ARG_FROM, result}, {DNNL_ARG_TO, target}});
    }
    stream.wait();
  }

  /// What run() writes, in the library's order, and zeros where that fills up a block of channels;
  /// valid until the next run.
  std::span<const float> run_in_blocks(const float* in0, const float* in1, Room& room) const {
    dnnl::stream stream(processor());
    float* result = result_room(room);
    compute(in0, in1, result, stream, room);
    stream.wait();
    return {result, library_[2].get_size() / sizeof(float)};
  }

 private:
  Plan(dnnl::primitive kernel, const std::array<int, 3>& names,
       const std::array<Descriptor, 3>& plain, const std::array<Descriptor, 3>& library,
       const Descriptor& scratch)
      : kernel_(std::move(kernel)),
        names_(names),
        plain_(plain),
        library_(library),
        scratch_(scratch) {
    for (size_t i = 0; i < 3; ++i) {
      if (library_[i] == plain_[i]) continue;
      const bool out = i == 2;
      const dnnl::reorder::primitive_desc order(processor(), out ? library_[i] : plain_[i],
                                                processor(), out ? plain_[i] : library_[i]);
      orders_[i] = dnnl::reorder(order);
    }
  }

  float* result_room(Room& room) const { return room.at(2, library_[2].get_size()); }

  dnnl::memory compute(const float* in0, const float* in1, float* result, dnnl::stream& stream,
                       Room& room) const {
    const dnnl::memory first = arranged(0, in0, stream, room);
    const dnnl::memory second = arranged(1, in1, stream, room);
    dnnl::memory third(library_[2], processor(), result);
    const dnnl::memory scratch(scratch_, processor(), room.at(3, scratch_.get_size()));
    kernel_.execute(stream, {{names_[0], first},
                             {names_[1], second},
                             {names_[2], third},
                             {DNNL_ARG_SCRATCHPAD, scratch}});
    return third;
  }

  dnnl::memory arranged(size_t i, const float* data, dnnl::stream& stream, Room& room) const {
    const dnnl::memory given(plain_[i], processor(), const_cast<float*>(data));
    if (!orders_[i]) return given;
    dnnl::memory blocked(library_[i], processor(),
                         room.at(static_cast<int>(i), library_[i].get_size()));
    orders_[i]->execute(stream, {{DNNL_ARG_FROM, given}, {DNNL_ARG_TO, blocked}});
    return blocked;
  }

  dnnl::primitive kernel_;
  std::array<int, 3> names_;
  std::array<Descriptor, 3> plain_, library_;
  std::array<std::optional<dnnl::primitive>, 3> orders_;
  Descriptor scratch_;
};

std::optional<Plan> Plan::make(Pass pass, const ConvShape& s) {
  const Arrays any(s, Layout::any, Layout::any), plain(s, Layout::nchw, Layout::oihw);
  const dnnl::memory::dims stride{s.stride, s.stride}, dilation{s.dilation - 1, s.dilation - 1};
  // What the last row and column do not reach stays out of the padded picture.
  const auto after = [&](int64_t size, int64_t kernel, int64_t out) {
    return (out - 1) * s.stride + s.dilation * (kernel - 1) + 1 - size - s.padding;
  };
  const dnnl::memory::dims before{s.padding, s.padding},
      behind{after(s.height, s.kernel_h, s.out_h()), after(s.width, s.kernel_w, s.out_w())};
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  constexpr auto direct = dnnl::algorithm::convolution_direct;
  using Forward = dnnl::convolution_forward;
  using Backward = dnnl::convolution_backward_data;
  using Weight = dnnl::convolution_backward_weights;
  const auto generated = [](const auto& description) {
    return std::string_view(description.impl_info_str()).starts_with("jit");
  };
  try {
    const Forward::primitive_desc forward({dnnl::prop_kind::forward_training, direct, any.x, any.w,
                                           any.y, stride, dilation, before, behind},
                                          attributes, processor());
    if (pass == Pass::forward) {
      if (!generated(forward)) return std::nullopt;
      return Plan(Forward(forward), {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                  {plain.x, plain.w, plain.y},
                  {forward.src_desc(), forward.weights_desc(), forward.dst_desc()},
                  forward.scratchpad_desc());
    }
    if (pass == Pass::backward) {
      const Backward::primitive_desc backward(
          {direct, any.x, any.w, any.y, stride, dilation, before, behind}, attributes, processor(),
          forward);
      if (!generated(backward)) return std::nullopt;
      return Plan(Backward(backward), {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
                  {plain.y, plain.w, plain.x},
                  {backward.diff_dst_desc(), backward.weights_desc(), backward.diff_src_desc()},
                  backward.scratchpad_desc());
    }
    const Weight::primitive_desc weight(
        {direct, any.x, any.w, any.y, stride, dilation, before, behind}, attributes, processor(),
        forward);
    if (!generated(weight)) return std::nullopt;
    return Plan(Weight(weight), {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS},
                {plain.x, plain.y, plain.w},
                {weight.src_desc(), weight.diff_dst_desc(), weight.diff_weights_desc()},
                weight.scratchpad_desc());
  } catch (const dnnl::error& error) {
    const bool refused =
        error.status == dnnl_unimplemented || error.status == dnnl_invalid_arguments;
    if (!refused) throw;
    return std::nullopt;  // a shape that it does not take
  }
}

/// The calling thread's plans and memory. A plan divides its work among as many threads as there
/// were when it was made.
struct Library {
  using Key = std::array<int64_t, 13>;
  std::map<Key, std::optional<Plan>> plans;
  Room room;

  const Plan* find(Pass pass, const ConvShape& s) {
    const Key key = {static_cast<int64_t>(pass),
                     omp_get_max_threads(),
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
                     s.groups};
    auto found = plans.find(key);
    if (found == plans.end()) {
      // Audio batches of ever new lengths must not fill the memory.
      constexpr size_t most = 512;
      if (plans.size() >= most) plans.clear();
      found = plans.emplace(key, Plan::make(pass, s)).first;
    }
    return found->second ? &*found->second : nullptr;
  }
};

Library& library() {
  thread_local Library mine;
  return mine;
}

/// While it lives, the library sees one thread inside of a parallel region: there a kernel that
/// expects more would wait for threads that never come.
class OwnThreadOnly {
 public:
  OwnThreadOnly() : before_(omp_get_max_threads()) {
    if (omp_in_parallel()) omp_set_num_threads(1);
  }
  ~OwnThreadOnly() { omp_set_num_threads(before_); }
  OwnThreadOnly(const OwnThreadOnly&) = delete;
  OwnThreadOnly& operator=(const OwnThreadOnly&) = delete;

 private:
  int before_;
};

/// A product does a pointwise convolution with nothing rearranged; grouped ones have few channels a
/// group, which the library's blocks of channels do not suit.
bool suits(const ConvShape& s) {
  return s.groups == 1 && !s.pointwise() && s.batch > 0 && s.filters > 0 && s.taps() > 0 &&
         s.out_area() > 0;
}

/// Calls run(plan, first example, examples) for some examples of the batch at a time, so that what
/// is rearranged takes little memory; false, and nothing has been run, where a part has no plan, or
/// where there would be several parts although `whole` is asked for. Kernels do not throw across
/// threads: what the library throws ends the program.
template <class F>
bool for_each_part(Pass pass, const ConvShape& shape, F run, bool whole = false) {
  if (!suits(shape)) return false;
  const OwnThreadOnly guard;
  constexpr int64_t most = int64_t{1} << 22;  // elements of x and y
  const int64_t each =
      shape.channels * shape.height * shape.width + shape.filters * shape.out_area();
  const int64_t part_batch = std::max<int64_t>(most / each, omp_get_max_threads());
  if (whole && part_batch < shape.batch) return false;
  const auto plan_at = [&](int64_t begin) {
    ConvShape part = shape;
    part.batch = std::min(part_batch, shape.batch - begin);
    return library().find(pass, part);
  };
  try {
    // All parts but the last one are equally large.
    const int64_t last = (shape.batch - 1) / part_batch * part_batch;
    if (plan_at(0) == nullptr || plan_at(last) == nullptr) return false;
    for (int64_t begin = 0; begin < shape.batch; begin += part_batch) {
      run(*plan_at(begin), begin, std::min(part_batch, shape.batch - begin));
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "oneDNN: %s in a convolution of %lld x %lld x %lld x %lld\n", error.what(),
                 static_cast<long long>(shape.batch), static_cast<long long>(shape.channels),
                 static_cast<long long>(shape.height), static_cast<long long>(shape.width));
    std::abort();
  }
  return true;
}

}  // namespace

bool library_forward(const ConvShape& shape, const float* x, const float* w, const float* bias,
                     float* y) {
  const int64_t x_each = shape.channels * shape.height * shape.width;
  const int64_t out = shape.out_area(), filters = shape.filters;
  const bool done =
      for_each_part(Pass::forward, shape, [&](const Plan& plan, int64_t begin, int64_t) {
        plan.run(x + begin * x_each, w, y + begin * filters * out, library().room);
      });
  if (!done || bias == nullptr) return done;
  parallel_for(shape.batch * filters, element_grain / out + 1, [=](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const float b = bias[p % filters];
      for (int64_t i = 0; i < out; ++i) y[p * out + i] += b;
    }
  });
  return true;
}

bool library_backward(const ConvShape& shape, const float* gy, const float* w, float* gx) {
  const int64_t x_each = shape.channels * shape.height * shape.width;
  const int64_t y_each = shape.filters * shape.out_area();
  return for_each_part(Pass::backward, shape, [&](const Plan& plan, int64_t begin, int64_t) {
    plan.run(gy + begin * y_each, w, gx + begin * x_each, library().room);
  });
}

bool library_weight_sum(const ConvShape& shape, const float* x, const float* gy,
                        const float* factor, float beta, float* sum) {
  const int64_t x_each = shape.channels * shape.height * shape.width;
  const int64_t y_each = shape.filters * shape.out_area(), size = shape.filters * shape.taps();
  return for_each_part(Pass::weight, shape, [&](const Plan& plan, int64_t first, int64_t examples) {
    Room& room = library().room;
    const float *from = x + first * x_each, *g = gy + first * y_each;
    if (factor != nullptr) {
      float* scaled = room.at(4, static_cast<size_t>(examples * y_each) * sizeof(float));
      parallel_for(examples, element_grain / y_each + 1, [=](int64_t begin, int64_t end) {
        for (int64_t e = begin; e < end; ++e) {
          for (int64_t i = e * y_each; i < (e + 1) * y_each; ++i) {
            scaled[i] = factor[first + e] * g[i];
          }
        }
      });
      g = scaled;
    }
    const float keep = first == 0 ? beta : 1;
    if (keep == 0) return plan.run(from, g, sum, room);
    float* fresh = room.at(5, static_cast<size_t>(size) * sizeof(float));
    plan.run(from, g, fresh, room);
    parallel_for(size, element_grain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sum[i] = fresh[i] + keep * sum[i];
    });
  });
}

bool library_weight_sumsq(const ConvShape& shape, const float* x, const float* gy, double& sumsq) {
  const auto run = [&](const Plan& plan, int64_t, int64_t) {
    const auto gradient = plan.run_in_blocks(x, gy, library().room);
    sumsq = sum_of_squares(std::ssize(gradient), gradient.data());
  };
  // The norm of a sum of parts is not to be had from theirs.
  return for_each_part(Pass::weight, shape, run, true);
}

}  // namespace minnow::cpu
