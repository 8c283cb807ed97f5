#pragma once

#include "engine/device.h"

namespace minnow {

/// What a device can do, measured once in a process, in about a tenth of a second; of an emulated
/// GPU, whose speed says nothing, fixed numbers.
struct MachineRates {
  double flops;       ///< float32 products, operations a second
  double bytes;       ///< copies of arrays past the cache, bytes read and written a second
  double norm_flops;  ///< products of which only the norm is kept, operations a second
};
const MachineRates& machine_rates(Device device = Device::cpu());

/// Rows m per group at which forming a group's gradient a second time, for its norm alone, costs as
/// much as writing it and reading it back: 2 m d p operations against 12 d p bytes, so tau = 6
/// norm_flops / bytes. Rounded to a power of two, so that a second run on the machine chooses
/// alike.
double measured_tau(Device device = Device::cpu());

}  // namespace minnow
