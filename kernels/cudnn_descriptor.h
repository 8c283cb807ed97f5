#pragma once

#include <cudnn_backend.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda_check.h"

namespace minnow::cuda {

/// An attribute is an untyped array with a tag that says what it holds: the tag follows from the
/// C++ type, so that the two cannot differ.
struct AttributeTag {
  static constexpr auto of(int64_t) { return CUDNN_TYPE_INT64; }
  static constexpr auto of(float) { return CUDNN_TYPE_FLOAT; }
  static constexpr auto of(void*) { return CUDNN_TYPE_VOID_PTR; }
  static constexpr auto of(cudnnHandle_t) { return CUDNN_TYPE_HANDLE; }
  static constexpr auto of(cudnnDataType_t) { return CUDNN_TYPE_DATA_TYPE; }
  static constexpr auto of(cudnnConvolutionMode_t) { return CUDNN_TYPE_CONVOLUTION_MODE; }
  static constexpr auto of(cudnnBackendHeurMode_t) { return CUDNN_TYPE_HEUR_MODE; }
  static constexpr auto of(cudnnBackendNumericalNote_t) { return CUDNN_TYPE_NUMERICAL_NOTE; }
};

/// What cuDNN's graph API is made of: created by its type, given attributes, finalized, and from
/// then on only read. Owns it. Calls that fail throw DeviceError.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    MINNOW_CUDA_CHECK(cudnnBackendCreateDescriptor(type, &raw_));
  }
  ~Descriptor() {
    if (raw_ != nullptr) cudnnBackendDestroyDescriptor(raw_);
  }
  Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  cudnnBackendDescriptor_t raw() const { return raw_; }

  template <class E>
  void set(cudnnBackendAttributeName_t name, std::initializer_list<E> elements) {
    const auto count = static_cast<int64_t>(elements.size());
    set(name, AttributeTag::of(E()), count, elements.begin());
  }
  /// A descriptor is a void* too: it has a function of its own lest it be tagged a data pointer.
  void refer(cudnnBackendAttributeName_t name, const Descriptor& to) {
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &to.raw_);
  }

  cudnnStatus_t try_finalize() { return cudnnBackendFinalize(raw_); }
  void finalize() { MINNOW_CUDA_CHECK(cudnnBackendFinalize(raw_)); }
  /// False where cuDNN knows no way to do this; what it finds wrong with the question throws.
  bool finalize_if_supported() {
    const cudnnStatus_t status = try_finalize();
    // The statuses come in thousands: these are NOT_SUPPORTED and its special cases.
    if (status >= CUDNN_STATUS_NOT_SUPPORTED && status < CUDNN_STATUS_INTERNAL_ERROR) return false;
    check_status(status, "cudnnBackendFinalize", __FILE__, __LINE__);
    return true;
  }

  template <class E>
  std::vector<E> get(cudnnBackendAttributeName_t name, int64_t most) const {
    std::vector<E> elements(static_cast<size_t>(most));
    const int64_t filled = get(name, AttributeTag::of(E()), most, elements.data());
    elements.resize(static_cast<size_t>(std::clamp<int64_t>(filled, 0, most)));
    return elements;
  }
  /// Descriptors are got by filling in fresh ones of the right type.
  std::vector<Descriptor> get_descriptors(cudnnBackendAttributeName_t name,
                                          cudnnBackendDescriptorType_t type, int64_t most) const {
    std::vector<Descriptor> all;
    std::vector<cudnnBackendDescriptor_t> raw;
    for (int64_t i = 0; i < most; ++i) raw.push_back(all.emplace_back(type).raw());
    const int64_t filled = get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data());
    while (std::ssize(all) > filled) all.pop_back();
    return all;
  }
  /// How many descriptors there are to get.
  int64_t count(cudnnBackendAttributeName_t name) const {
    return get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
  }

 private:
  /// cuDNN has no texts for attributes: the message gives the number, which its header lists.
  static void check(cudnnStatus_t status, const char* call, cudnnBackendAttributeName_t name) {
    if (status == CUDNN_STATUS_SUCCESS) return;
    const std::string text = std::string(call) + " of attribute " + std::to_string(name);
    check_status(status, text.c_str(), __FILE__, __LINE__);
  }
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t tag, int64_t count,
           const void* elements) {
    check(cudnnBackendSetAttribute(raw_, name, tag, count, elements), "cudnnBackendSetAttribute",
          name);
  }
  /// How many elements there are.
  int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t tag, int64_t most,
              void* elements) const {
    int64_t count = 0;
    check(cudnnBackendGetAttribute(raw_, name, tag, most, &count, elements),
          "cudnnBackendGetAttribute", name);
    return count;
  }

  cudnnBackendDescriptor_t raw_ = nullptr;
};

}  // namespace minnow::cuda
