#include "engine/tensor.h"

#include <algorithm>
#include <type_traits>

#include "engine/memory.h"
#include "kernels/convert.h"
#include "kernels/launch.h"

namespace minnow {

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

int64_t numel(const Shape& shape) {
  int64_t n = 1;
  for (int64_t extent : shape) {
    check(!__builtin_mul_overflow(n, extent, &n), "tensor: the shape {} is too large",
          to_string(shape));
  }
  return n;
}

int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return 4;
    case DType::float64:
      return 8;
    case DType::bfloat16:
      return 2;
    case DType::int64:
      return 8;
    case DType::uint8:
      return 1;
  }
  return 0;
}

std::string_view to_string(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
    case DType::bfloat16:
      return "bfloat16";
    case DType::int64:
      return "int64";
    case DType::uint8:
      return "uint8";
  }
  return "?";
}

namespace {

constexpr int64_t max_numel = int64_t{1} << 59;  // its bytes, rounded up, still fit an int64_t

/// Calls f with a value of the C++ type that `dtype` stores.
template <class F>
decltype(auto) visit(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32:
      return f(float{});
    case DType::float64:
      return f(double{});
    case DType::bfloat16:
      return f(bfloat16{});
    case DType::int64:
      return f(int64_t{});
    case DType::uint8:
      break;
  }
  return f(uint8_t{});
}

/// Whether there is a kernel that converts one into the other.
template <class From, class To>
inline constexpr bool convertible =
    !std::is_same_v<From, To> &&
    ((std::is_floating_point_v<From> && std::is_floating_point_v<To>) ||
     (std::is_same_v<From, bfloat16> && std::is_floating_point_v<To>) ||
     (std::is_floating_point_v<From> && std::is_same_v<To, bfloat16>) ||
     (std::is_integral_v<From> && std::is_floating_point_v<To>) ||
     (std::is_floating_point_v<From> && std::is_integral_v<To>));

}  // namespace

Tensor Tensor::empty(Shape shape, DType dtype, Device device) {
  for (int64_t extent : shape) {
    check(extent >= 0, "tensor: extents must not be negative; got {}", to_string(shape));
  }
  Tensor t;
  t.numel_ = minnow::numel(shape);
  check(t.numel_ <= max_numel, "tensor: the shape {} is too large", to_string(shape));
  t.shape_ = std::move(shape);
  t.dtype_ = dtype;
  t.device_ = device;
  t.storage_ = allocate(t.nbytes(), device);
  return t;
}

Tensor Tensor::zeros(Shape shape, DType dtype, Device device) {
  Tensor t = empty(std::move(shape), dtype, device);
  zero_bytes(t.raw(), device, t.nbytes());
  return t;
}

Tensor Tensor::full(Shape shape, double value, DType dtype, Device device) {
  Tensor t = empty(std::move(shape), dtype, device);
  t.fill(value);
  return t;
}

Tensor Tensor::pinned(Shape shape, DType dtype) {
  Tensor t;
  t.numel_ = minnow::numel(shape);
  t.shape_ = std::move(shape);
  t.dtype_ = dtype;
  t.storage_ = allocate_pinned(t.nbytes());
  return t;
}

template <class T>
Tensor Tensor::from(std::span<const T> values, Shape shape) {
  check(static_cast<int64_t>(values.size()) == minnow::numel(shape),
        "tensor: {} values do not fill the shape {}", values.size(), to_string(shape));
  Tensor t = empty(std::move(shape), dtype_of<T>);
  std::copy(values.begin(), values.end(), t.data<T>());
  return t;
}
template Tensor Tensor::from(std::span<const float>, Shape);
template Tensor Tensor::from(std::span<const double>, Shape);
template Tensor Tensor::from(std::span<const bfloat16>, Shape);
template Tensor Tensor::from(std::span<const int64_t>, Shape);
template Tensor Tensor::from(std::span<const uint8_t>, Shape);

int64_t Tensor::dim(int64_t axis) const {
  const int64_t positive = axis < 0 ? axis + rank() : axis;
  check(positive >= 0 && positive < rank(), "tensor: axis {} of a tensor of shape {}", axis,
        to_string(shape_));
  return shape_[static_cast<size_t>(positive)];
}

double Tensor::item() const {
  check(numel_ == 1, "tensor: item() needs one element; got shape {}", to_string(shape_));
  const Tensor here = to(Device::cpu());
  return visit(dtype_, [&](auto zero) {
    using T = decltype(zero);
    return static_cast<double>(widen(*here.data<T>()));
  });
}

Tensor Tensor::reshape(Shape shape) const {
  const auto open = std::find(shape.begin(), shape.end(), -1);
  const auto negative = [](int64_t extent) { return extent < 0; };
  check(std::count_if(shape.begin(), shape.end(), negative) == (open == shape.end() ? 0 : 1),
        "reshape: one extent may be -1 and no other negative; got {}", to_string(shape));
  if (open != shape.end()) {
    *open = 1;
    const int64_t rest = minnow::numel(shape);
    *open = rest == 0 ? 0 : numel_ / rest;
  }
  check(minnow::numel(shape) == numel_, "reshape: {} has {} elements; {} has another number",
        to_string(shape_), numel_, to_string(shape));
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::slice(int64_t begin, int64_t end) const {
  check(rank() > 0 && 0 <= begin && begin <= end && end <= shape_[0],
        "slice: rows [{}, {}) of a tensor of shape {}", begin, end, to_string(shape_));
  Tensor t = *this;
  const int64_t row = shape_[0] == 0 ? 0 : numel_ / shape_[0];
  t.shape_[0] = end - begin;
  t.numel_ = row * (end - begin);
  t.offset_ += begin * row * size_of(dtype_);
  return t;
}

Tensor Tensor::clone() const {
  Tensor t = empty(shape_, dtype_, device_);
  t.copy_from(*this);
  return t;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor t = empty(shape_, dtype, device_);
  visit(dtype_, [&](auto from_zero) {
    using From = decltype(from_zero);
    visit(dtype, [&](auto to_zero) {
      using To = decltype(to_zero);
      if constexpr (convertible<From, To>) {
        MINNOW_ON(device_, convert<From, To>)(numel_, data<From>(), t.data<To>());
      } else {
        throw Error(
            fmt::format("tensor: no conversion of {} to {}", to_string(dtype_), to_string(dtype)));
      }
    });
  });
  return t;
}

Tensor Tensor::to(Device device) const {
  if (device == device_) return *this;
  Tensor t = empty(shape_, dtype_, device);
  t.copy_from(*this);
  return t;
}

void Tensor::fill(double value) const {
  visit(dtype_, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_ON(device_, fill<T>)(numel_, static_cast<T>(static_cast<Wide<T>>(value)), data<T>());
  });
}

void Tensor::copy_from(const Tensor& source) const {
  check(source.shape_ == shape_ && source.dtype_ == dtype_,
        "copy: {} {} into {} {}; shape and dtype must agree", to_string(source.dtype_),
        to_string(source.shape_), to_string(dtype_), to_string(shape_));
  copy_bytes(raw(), device_, source.raw(), source.device_, nbytes());
}

}  // namespace minnow
