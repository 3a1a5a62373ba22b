#include "stadial/runtime/cleanup_stack.h"

#include <gtest/gtest.h>

#include <vector>

namespace stadial::runtime {
namespace {

struct Recorder {
  std::vector<int>* log;
  int number;
  CleanupStack* again = nullptr;
};

void Record(void* object) {
  auto* recorder = static_cast<Recorder*>(object);
  recorder->log->push_back(recorder->number);
  if (recorder->again != nullptr) recorder->again->Unwind();
}

class CleanupStackTest : public ::testing::Test {
 protected:
  alignas(64) std::byte memory_[4096];
  arenas::Arena arena_{"test", memory_, sizeof(memory_)};
  std::vector<int> log_;
};

TEST_F(CleanupStackTest, G7_RunsInReverseEachOnce) {
  CleanupStack stack(arena_, 3);
  Recorder recorders[] = {{&log_, 0}, {&log_, 1}, {&log_, 2}};
  for (Recorder& recorder : recorders) EXPECT_TRUE(stack.TryPush(&Record, &recorder));
  EXPECT_EQ(stack.Unwind(), 3u);
  EXPECT_EQ(log_, (std::vector<int>{2, 1, 0}));
  EXPECT_EQ(stack.Unwind(), 0u);
  EXPECT_EQ(log_.size(), 3u);
}

TEST_F(CleanupStackTest, G7_AStepThatUnwindsRunsNothingTwice) {
  CleanupStack stack(arena_, 3);
  Recorder recorders[] = {{&log_, 0}, {&log_, 1, &stack}, {&log_, 2}};
  for (Recorder& recorder : recorders) EXPECT_TRUE(stack.TryPush(&Record, &recorder));
  stack.Unwind();
  EXPECT_EQ(log_, (std::vector<int>{2, 1, 0}));
}

TEST_F(CleanupStackTest, G7_FullStackRefuses) {
  CleanupStack stack(arena_, 1);
  Recorder recorder{&log_, 0};
  EXPECT_TRUE(stack.TryPush(&Record, &recorder));
  EXPECT_FALSE(stack.TryPush(&Record, &recorder));
  EXPECT_EQ(stack.Size(), 1u);
  CleanupStack none;
  EXPECT_FALSE(none.TryPush(&Record, &recorder));
  EXPECT_EQ(none.Unwind(), 0u);
}

}  // namespace
}  // namespace stadial::runtime
