#pragma once

#include "kernels/host/fibres.h"

namespace minnow::test {

/// The order in which blocks and threads run while the object lives; 0 is ascending.
class Order {
 public:
  explicit Order(uint64_t seed) : before_(cuda::host::set_order(seed)) {}
  ~Order() { cuda::host::set_order(before_); }
  Order(const Order&) = delete;
  Order& operator=(const Order&) = delete;

 private:
  uint64_t before_;
};

}  // namespace minnow::test
