#include "train/positions.h"

#include <gtest/gtest.h>

#include "tests/expect_error.h"
#include "tests/golden.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/run_folder.h"
#include "train/trainer.h"

namespace minnow {
namespace {

// Computed in float64, with weights of at most 1.2 and a few roundings of 1e-16, then rounded to
// float32.
TEST(Positions, AreResizedAsByPyTorchAndTimm) {
  const test::Golden golden("positions");
  int compared = 0;
  for (const auto& [name, expected] : golden.file().tensors) {
    const size_t dot = name.find('.');
    if (dot == std::string::npos) continue;
    ++compared;
    const Tensor source = golden.at(name.substr(0, dot));
    const Tensor found = resize_positions(source, std::stoll(name.substr(dot + 2)));
    EXPECT_EQ(found.dtype(), DType::float32);
    EXPECT_LE(test::relative_error(found, expected), 0x1p-24 + 1e-14) << name;
  }
  EXPECT_EQ(compared, 7);
}

TEST(Positions, BelongToASquareGridAndAClassToken) {
  EXPECT_EQ(position_grid({1, 197, 192}), 14);
  EXPECT_EQ(position_grid({1, 2, 8}), 1);
  EXPECT_EQ(position_grid({1, 196, 192}), 0);
  EXPECT_EQ(position_grid({197, 192}), 0);
  EXPECT_EQ(position_grid({2, 5, 8}), 0);
  expect_error([] { resize_positions(Tensor::zeros({1, 7, 2}), 3); }, {"[1, 7, 2]", "3 x 3"});
}

TEST(Positions, ARunOnLargerPicturesStartsFromResizedOnes) {
  const TemporaryFolder folder;
  const std::string file = (folder / "w").string();
  const auto train = [&](const char* name, std::vector<std::string> more) {
    more.insert(more.begin(), {"model.name=vit", "model.patch=4", "model.dim=12", "model.depth=1",
                               "model.heads=2", "train.steps=1", "optim.lr=0", "train.eval_every=0",
                               "run.dir=" + (folder / name).string()});
    const RunPlan plan = plan_run(test::tiny(std::move(more)));
    Trainer trainer(plan.config, plan.from);
    trainer.run();
    return parameter_tensors(trainer.parameters());
  };
  const auto small = train("a", {"run.save=" + file});
  const auto large = train("b", {"data.image=16", "init.from=" + file, "seed=3"});
  ASSERT_EQ(small[1].name, "pos_embed");
  for (size_t i = 0; i < small.size(); ++i) {
    const Tensor expected = small[i].tensor.to(Device::cpu());
    EXPECT_EQ(large[i].tensor.to(Device::cpu()).to_vector<float>(),
              (i == 1 ? resize_positions(expected, 4) : expected).to_vector<float>())
        << small[i].name;
  }
  expect_error(
      [&] {
        train("c", {"data.image=16", "model.dim=14", "init.from=" + file});
      },
      {"pos_embed [1, 5, 12] instead of [1, 17, 14]"});
}

}  // namespace
}  // namespace minnow
