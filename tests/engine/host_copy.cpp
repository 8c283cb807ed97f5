#include "engine/host_copy.h"

#include <gtest/gtest.h>

#include "engine/memory.h"
#include "tests/device.h"

namespace minnow::test {
namespace {

const std::vector<float> values = {1, 2, 3, 4, 5, 6};

TEST(HostCopy, HoldsWhatTheSourceHeldWhenItWasStarted) {
  const Tensor source = on_device(Tensor::from(values, {2, 3}));
  HostCopy copy(source);
  source.fill(0);
  const Tensor& here = copy.wait();
  EXPECT_TRUE(here.device().is_cpu());
  EXPECT_EQ(here.shape(), (Shape{2, 3}));
  EXPECT_EQ(here.to_vector<float>(), values);
  EXPECT_EQ(copy.wait().raw(), here.raw());  // waiting again is nothing
}

TEST(HostCopy, OutlivesItsSource) {
  HostCopy copy;
  EXPECT_FALSE(copy.started());
  copy = HostCopy(on_device(Tensor::from(values, {6})).slice(2, 5));
  EXPECT_TRUE(copy.started());
  const Tensor other = Tensor::full({6}, 7, DType::float32, test_device());
  EXPECT_EQ(copy.wait().to_vector<float>(), (std::vector<float>{3, 4, 5}));
}

TEST(HostCopy, OnlyWaitingWaits) {
  const Tensor source = on_device(Tensor::from(values, {6}));
  const int64_t before = host_waits();
  HostCopy copy(source);
  EXPECT_EQ(host_waits(), before);
  copy.wait();
  EXPECT_EQ(host_waits(), before + (test_device().is_cuda() ? 1 : 0));
  copy.wait();
  EXPECT_EQ(host_waits(), before + (test_device().is_cuda() ? 1 : 0));
}

TEST(HostCopy, OfNothing) {
  HostCopy copy(Tensor::zeros({0, 3}, DType::int64, test_device()));
  EXPECT_TRUE(copy.started());
  EXPECT_EQ(copy.wait().shape(), (Shape{0, 3}));
}

}  // namespace
}  // namespace minnow::test
