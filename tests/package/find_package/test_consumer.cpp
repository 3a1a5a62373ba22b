// A user's own tests: a fixture whose bodies must not allocate, and the listener that watches the frames of
// all tests.
#include <gtest/gtest.h>
#include <stadial/runtime/runtime.h>
#include <stadial/runtime/testing/no_runtime_allocation_listener.h>
#include <stadial/runtime/testing/no_runtime_allocation_test.h>

#include <memory>
#include <vector>

namespace {

namespace runtime = stadial::runtime;

class Cells : public runtime::testing::NoRuntimeAllocationTest {
 protected:
  void SetUp() override {
    cells_ = std::make_unique<std::vector<int>>(1000);
    runtime::testing::NoRuntimeAllocationTest::SetUp();
  }
  std::unique_ptr<std::vector<int>> cells_;
};

TEST_F(Cells, Step) {
  for (int& cell : *cells_) ++cell;
}

// Must fail, by the fixture.
TEST_F(Cells, DISABLED_PlantedInABody) { cells_->push_back(1); }

void RunFrame(void (*body)(std::vector<int>&)) {
  std::vector<int> grown;
  auto created = runtime::Runtime::Create({.gate = runtime::GatePolicy::Count});
  ASSERT_TRUE(created);
  runtime::Runtime& world = *created.Value();
  ASSERT_TRUE(world.SealSetup());
  auto frame = world.Frames().Begin();
  ASSERT_TRUE(frame);
  body(grown);
  world.Frames().End(frame.Value()->completionValue);
}

TEST(Frames, Quiet) {
  RunFrame([](std::vector<int>&) {});
}

// Must fail, by the listener.
TEST(Frames, DISABLED_PlantedInAFrame) {
  RunFrame([](std::vector<int>& grown) { grown.push_back(1); });
}

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  runtime::testing::NoRuntimeAllocationListener::Install();
  return RUN_ALL_TESTS();
}
