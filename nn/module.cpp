#include "nn/module.h"

#include <cmath>

namespace minnow::nn {

RandomSequence Init::next() {
  return RandomSequence(RandomKey{seed_, stream::initialise, 0, count_++});
}

namespace {

template <class Draw>
Tensor filled(const Shape& shape, Draw draw) {
  Tensor x = Tensor::empty(shape);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = static_cast<float>(draw());
  return x;
}

}  // namespace

Tensor Init::constant(const Shape& shape, double value) {
  return Tensor::full(shape, value);
}

Tensor Init::normal(const Shape& shape, double sd) {
  RandomSequence random = next();
  return filled(shape, [&] { return sd * random.normal(); });
}

Tensor Init::truncated_normal(const Shape& shape, double sd) {
  RandomSequence random = next();
  return filled(shape, [&] {
    double x = 0;
    do x = sd * random.normal();
    while (std::abs(x) > 2);
    return x;
  });
}

Tensor Init::uniform(const Shape& shape, double bound) {
  RandomSequence random = next();
  return filled(shape, [&] { return random.uniform(-bound, bound); });
}

Parameters Module::parameters() {
  Parameters all;
  collect("", all);
  return all;
}

void Module::to(Device device) {
  for (Parameter* p : parameters()) p->value = p->value.to(device);
}

void Module::append(Parameter& parameter, const std::string& name, Parameters& into) {
  parameter.name = name;
  into.push_back(&parameter);
}

int64_t count_elements(const Parameters& parameters) {
  int64_t count = 0;
  for (const Parameter* p : parameters) count += p->trainable ? p->value.numel() : 0;
  return count;
}

}  // namespace minnow::nn
