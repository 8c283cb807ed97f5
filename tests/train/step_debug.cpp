#include "train/step_debug.h"

#include <gtest/gtest.h>

namespace minnow {
namespace {

Batch batch_of(const std::vector<int64_t>& lengths, const Shape& shape) {
  Batch batch{.inputs = Tensor::zeros(shape, DType::float32),
              .labels = {},
              .ids = {},
              .marked = std::vector<bool>(static_cast<size_t>(shape[0]))};
  if (!lengths.empty()) batch.lengths = Tensor::from(lengths, {shape[0]});
  return batch;
}

TEST(StepDebug, SaysHowMuchIsPadding) {
  const Batch ragged = batch_of({10, 6, 8, 9}, {4, 10, 3});
  EXPECT_DOUBLE_EQ(padding_share(ragged), 7.0 / 40);
  EXPECT_EQ(StepDebug().line(3, ragged, Grouping::runs(4, 4), 32),
            "step 3: inputs [4, 10, 3], 17.5 % of them padding; no micro-batches");
  const Batch pictures = batch_of({}, {4, 3, 2, 2});
  EXPECT_EQ(padding_share(pictures), 0);
  EXPECT_EQ(StepDebug().line(3, pictures, Grouping::runs(4, 2), 32),
            "step 3: inputs [4, 3, 2, 2]; 2 micro-batches, each computed alone");
}

TEST(StepDebug, CountsParametersOnceForEachTreatment) {
  constexpr double any = std::numeric_limits<double>::infinity();
  const Parameter bias{}, table{}, dense{}, both{};
  StepDebug debug;
  debug.note({bias, any, true});
  debug.note({table, 0, false});
  for (const double rows : {40.0, 60.0}) debug.note({dense, rows, true});
  debug.note({both, 32, true});
  debug.note({both, 31, false});
  EXPECT_EQ(debug.line(1, batch_of({}, {4, 8}), Grouping::runs(4, 1), 32),
            "step 1: inputs [4, 8]; 4 micro-batches, tau 32: 3 parameters instantiated, 2 of them "
            "of 32 .. 60 rows; 2 norm-only, 1 of them of 31 rows");
}

}  // namespace
}  // namespace minnow
