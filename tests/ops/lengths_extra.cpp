#include <gtest/gtest.h>

#include "kernels/launch.h"
#include "kernels/sequencenorm.h"
#include "kernels/tokens.h"
#include "tests/op_run.h"

/// Where lengths lie on a GPU the ops do not read them: the kernels take one that is out of range
/// for the nearest in range, and read nothing beyond the example.
namespace minnow::test {
namespace {

constexpr int64_t batch = 4, frames = 5, channels = 3;

Tensor placed(const std::vector<int64_t>& lengths) {
  return on_device(Tensor::from(lengths, {std::ssize(lengths)}));
}
const std::vector<int64_t> out_of_range = {frames + 4, -2, 2, int64_t{1} << 40};
const std::vector<int64_t> nearest = {frames, 0, 2, frames};

using Floats = std::vector<float>;

void append(const Tensor& x, Floats& to) {
  const Floats values = on_cpu(x).to_vector<float>();
  to.insert(to.end(), values.begin(), values.end());
}

/// Everything that forward and backward pass write.
Floats sequencenorm_of(const std::vector<int64_t>& numbers) {
  const SequenceShape shape{.batch = batch, .frames = frames, .channels = channels};
  const Tensor lengths = placed(numbers);
  const auto random = [](Shape shape, uint64_t seed) {
    return on_device(random_normal(std::move(shape), seed, DType::float32));
  };
  const auto zeros = [](Shape shape) { return on_device(Tensor::zeros(std::move(shape))); };
  const Tensor x = random({batch, frames, channels}, 1), gy = random(x.shape(), 2);
  const Tensor weight = random({channels}, 3), bias = random({channels}, 4);
  const Tensor y = zeros(x.shape()), gx = zeros(x.shape()), mean = zeros({batch}),
               rstd = zeros({batch}), gw = zeros({batch, channels}), gb = zeros({batch, channels});
  MINNOW_ON(test_device(), sequencenorm_forward<float>)
  (shape, lengths.data<int64_t>(), 1e-3f, x.data<float>(), weight.data<float>(), bias.data<float>(),
   y.data<float>(), mean.data<float>(), rstd.data<float>());
  MINNOW_ON(test_device(), sequencenorm_backward<float>)
  (shape, lengths.data<int64_t>(), x.data<float>(), weight.data<float>(), mean.data<float>(),
   rstd.data<float>(), gy.data<float>(), gx.data<float>(), gw.data<float>(), gb.data<float>());
  EXPECT_EQ(on_cpu(mean).to_vector<float>()[1], 0);  // an example without frames
  EXPECT_EQ(on_cpu(rstd).to_vector<float>()[1], 0);
  Floats all;
  for (const Tensor& t : {y, mean, rstd, gx, gw, gb}) append(t, all);
  return all;
}

Floats mean_tokens_of(const std::vector<int64_t>& numbers) {
  const Tensor lengths = placed(numbers);
  const Tensor x = on_device(random_normal({batch, frames, channels}, 1, DType::float32));
  const Tensor y = on_device(Tensor::zeros({batch, channels}));
  const Tensor gx = on_device(Tensor::zeros(x.shape()));
  MINNOW_ON(test_device(), mean_tokens_forward<float>)
  (batch, frames, channels, 1, lengths.data<int64_t>(), x.data<float>(), y.data<float>());
  MINNOW_ON(test_device(), mean_tokens_backward<float>)
  (batch, frames, channels, 1, lengths.data<int64_t>(), y.data<float>(), gx.data<float>());
  Floats all;
  for (const Tensor& t : {y, gx}) append(t, all);
  return all;
}

TEST(Lengths, SequencenormTakesTheNearestInRange) {
  EXPECT_EQ(sequencenorm_of(out_of_range), sequencenorm_of(nearest));
}

TEST(Lengths, MeanTokensTakesTheNearestInRange) {
  EXPECT_EQ(mean_tokens_of(out_of_range), mean_tokens_of(nearest));
}

}  // namespace
}  // namespace minnow::test
