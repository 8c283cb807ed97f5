#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/check.h"
#include "engine/device.h"
#include "kernels/bfloat16.h"

namespace minnow {

using Shape = std::vector<int64_t>;

/// "[2, 3, 4]"
std::string to_string(const Shape& shape);
/// Number of elements; 1 for the empty shape of a scalar.
int64_t numel(const Shape& shape);

/// On the CPU bfloat16 is a storage type: only CUDA computes in it.
enum class DType { float32, float64, bfloat16, int64, uint8 };

int64_t size_of(DType dtype);
/// The dtype of parameters, sums and statistics that go with values of this one: float32 for
/// bfloat16, otherwise itself.
constexpr DType wide(DType dtype) {
  return dtype == DType::bfloat16 ? DType::float32 : dtype;
}
std::string_view to_string(DType dtype);

template <class T>
inline constexpr DType dtype_of = [] {
  if constexpr (std::is_same_v<T, float>) return DType::float32;
  if constexpr (std::is_same_v<T, double>) return DType::float64;
  if constexpr (std::is_same_v<T, bfloat16>) return DType::bfloat16;
  if constexpr (std::is_same_v<T, int64_t>) return DType::int64;
  if constexpr (std::is_same_v<T, uint8_t>) return DType::uint8;
}();

/// A contiguous, row-major array that shares ownership of its memory. A Tensor is a handle: copies,
/// reshapes and slices see the same elements, and `const` protects the handle, not the elements.
class Tensor {
 public:
  /// No tensor at all: `defined()` is false.
  Tensor() = default;

  /// Elements are not initialised.
  static Tensor empty(Shape shape, DType dtype = DType::float32, Device device = Device::cpu());
  static Tensor zeros(Shape shape, DType dtype = DType::float32, Device device = Device::cpu());
  static Tensor full(Shape shape, double value, DType dtype = DType::float32,
                     Device device = Device::cpu());
  /// On the host, in memory that copies to and from a GPU use while the host goes on.
  static Tensor pinned(Shape shape, DType dtype = DType::float32);
  /// Copies `values`; their count must be that of `shape`.
  template <class T>
  static Tensor from(std::span<const T> values, Shape shape);
  template <class T>
  static Tensor from(const std::vector<T>& values, Shape shape) {
    return from(std::span<const T>(values), std::move(shape));
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int64_t rank() const { return static_cast<int64_t>(shape_.size()); }
  /// Extent of an axis; negative axes count from the last.
  int64_t dim(int64_t axis) const;
  int64_t numel() const { return numel_; }
  int64_t nbytes() const { return numel_ * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  bool is_floating() const {
    return dtype_ == DType::float32 || dtype_ == DType::float64 || dtype_ == DType::bfloat16;
  }

  /// The elements as T, which must be the tensor's dtype; host code reads them only on the CPU.
  template <class T>
  T* data() const {
    check(dtype_of<T> == dtype_, "tensor: asked for {} data of a {} tensor", to_string(dtype_of<T>),
          to_string(dtype_));
    return reinterpret_cast<T*>(raw());
  }
  std::byte* raw() const { return storage_.get() + offset_; }
  template <class T>
  std::vector<T> to_vector() const {
    const Tensor here = to(Device::cpu());
    return std::vector<T>(here.data<T>(), here.data<T>() + numel_);
  }
  /// The one element of a one-element tensor of any dtype; waits for a GPU, like to_vector.
  double item() const;

  /// Same elements in another shape; one extent may be -1.
  Tensor reshape(Shape shape) const;
  /// Rows [begin, end) of the leading axis, sharing memory.
  Tensor slice(int64_t begin, int64_t end) const;
  Tensor clone() const;
  /// Itself where the dtype is the same, otherwise a converted copy.
  Tensor to(DType dtype) const;
  /// Itself where the device is the same, otherwise a copy; from a GPU to the host it waits.
  Tensor to(Device device) const;
  void fill(double value) const;
  /// Copies the elements of a tensor of the same shape and dtype, on any device, into this one's
  /// memory.
  void copy_from(const Tensor& source) const;
  /// Whether no other tensor shares the memory, so that it may be overwritten.
  bool unique() const { return storage_.use_count() == 1; }

 private:
  std::shared_ptr<std::byte> storage_;
  int64_t offset_ = 0;  // bytes
  Shape shape_;
  int64_t numel_ = 0;
  DType dtype_ = DType::float32;
  Device device_ = Device::cpu();
};

/// Calls f(zero) with a zero of the type in which an op on `x`, a Tensor or Var, computes: float or
/// double, and on a GPU bfloat16; throws Error naming `op` for any other dtype.
template <class X, class F>
decltype(auto) dispatch_float(std::string_view op, const X& x, F&& f) {
  if (x.dtype() == DType::float64) return f(double{});
#if MINNOW_CUDA
  if (x.dtype() == DType::bfloat16 && x.device().is_cuda()) return f(bfloat16{});
#endif
  check(x.dtype() == DType::float32, "{}: computes in float32 or float64{}; got {}", op,
        x.device().is_cuda() ? " or bfloat16" : "", to_string(x.dtype()));
  return f(float{});
}

/// The same for what is never kept in bfloat16: parameters, their gradients, losses.
template <class X, class F>
decltype(auto) dispatch_wide(std::string_view op, const X& x, F&& f) {
  if (x.dtype() == DType::float64) return f(double{});
  check(x.dtype() == DType::float32, "{}: computes in float32 or float64; got {}", op,
        to_string(x.dtype()));
  return f(float{});
}

}  // namespace minnow
