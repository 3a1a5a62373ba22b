// Barriers as data, against an oracle that follows every use by itself.
#include "stadial/graph/barriers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "../runtime/test_support.h"
#include "support/hazard_oracle.h"

namespace stadial::graph::testing {
namespace {

using runtime::testing::Random;
using runtime::testing::Repetitions;
using runtime::testing::TestSeed;

// A planner on memory of its own.
class Planner {
 public:
  explicit Planner(const SyncCapacity& capacity)
      : bytes_(SyncPlanner::BytesFor(capacity)),
        memory_(std::make_unique<std::byte[]>(bytes_ + 64)),
        arena_({.name = "planner"}, Aligned(), bytes_),
        planner_(arena_, capacity) {
    EXPECT_EQ(arena_.RemainingBytes(), 0u) << "BytesFor is exact";
  }
  SyncPlan Derive(const SyncInput& input) { return planner_.Derive(input); }

 private:
  std::byte* Aligned() {
    void* at = memory_.get();
    std::size_t space = bytes_ + 64;
    return static_cast<std::byte*>(std::align(64, bytes_, at, space));
  }
  std::size_t bytes_;
  std::unique_ptr<std::byte[]> memory_;
  arenas::Arena arena_;
  SyncPlanner planner_;
};

constexpr Access kRead = Access::ComputeStorageRead;
constexpr Access kWrite = Access::ComputeStorageWrite;
constexpr Access kReadWrite = Access::ComputeStorageReadWrite;

class Barriers : public ::testing::Test {
 protected:
  SyncPlan Derive(std::vector<ResourceAccess> accesses, std::uint32_t positions) {
    accesses_ = std::move(accesses);
    const SyncInput input{.accesses = accesses_, .positions = positions, .resources = 8};
    const SyncPlan plan = planner_.Derive(input);
    EXPECT_EQ(FindFault(SynchronizedFrame::From(input, plan)), "");
    return plan;
  }
  std::vector<ResourceAccess> accesses_;
  Planner planner_{{.accesses = 64, .positions = 32, .resources = 8}};
};

TEST_F(Barriers, Cc_ReadAfterReadNeedsNone) {
  EXPECT_TRUE(Derive({{0, 0, kRead}, {1, 0, kRead}, {2, 0, Access::TransferRead}}, 3).barriers.empty());
}

TEST_F(Barriers, Cc_ReadAfterWriteMakesVisibleAndTheNextFrameWaitsForItsReaders) {
  const SyncPlan plan = Derive({{0, 0, kWrite}, {1, 0, Access::ComputeSampled}}, 2);
  ASSERT_EQ(plan.barriers.size(), 2u);
  const Barrier& start = plan.BarriersAt(0)[0];
  EXPECT_EQ(start.reason, BarrierReason::WriteAfterRead);
  EXPECT_TRUE(start.isFrameBefore);
  EXPECT_EQ(start.sourcePosition, 1u);
  EXPECT_EQ(start.sourceStages, stages::kCompute);
  EXPECT_EQ(start.sourceAccess, 0u) << "execution alone";
  EXPECT_EQ(start.targetAccess, 0u);
  const Barrier& visible = plan.BarriersAt(1)[0];
  EXPECT_EQ(visible.reason, BarrierReason::ReadAfterWrite);
  EXPECT_FALSE(visible.isFrameBefore);
  EXPECT_EQ(visible.sourcePosition, 0u);
  EXPECT_EQ(visible.sourceAccess, accesses::kStorageWrite);
  EXPECT_EQ(visible.targetAccess, accesses::kSampledRead);
  EXPECT_EQ(visible.resource, 0u);
  EXPECT_TRUE(visible.IsGlobal());
}

TEST_F(Barriers, Cc_OnePerPositionAndWhatAnEarlierOneCoversIsLeftOut) {
  // Four results, all read by two nodes: one barrier for all of them, and none for the second reader.
  std::vector<ResourceAccess> accesses;
  for (std::uint32_t r = 0; r < 4; ++r) accesses.push_back({r, r, kWrite});
  for (std::uint32_t p = 4; p < 6; ++p) {
    for (std::uint32_t r = 0; r < 4; ++r) accesses.push_back({p, r, kRead});
  }
  const SyncPlan plan = Derive(accesses, 6);
  ASSERT_EQ(plan.BarriersAt(4).size(), 1u);
  EXPECT_EQ(plan.BarriersAt(4)[0].resourceCount, 4u);
  EXPECT_TRUE(plan.BarriersAt(5).empty());
  EXPECT_EQ(plan.barriers.size(), 2u) << "that one, and the start's";
}

TEST_F(Barriers, Cc_AnotherStageOfTheSameWriteNeedsItsOwn) {
  const SyncPlan plan = Derive({{0, 0, kWrite}, {1, 0, kRead}, {2, 0, Access::TransferRead}}, 3);
  ASSERT_EQ(plan.BarriersAt(2).size(), 1u);
  EXPECT_EQ(plan.BarriersAt(2)[0].sourceStages, stages::kCompute);
  EXPECT_EQ(plan.BarriersAt(2)[0].targetStages, stages::kTransfer);
  // Both readers at the next frame's start.
  EXPECT_EQ(plan.BarriersAt(0)[0].sourceStages, stages::kCompute | stages::kTransfer);
}

TEST_F(Barriers, Cc_AChainOfInPlaceWritesIsOrderedLinkByLink) {
  const SyncPlan plan = Derive({{0, 0, kReadWrite}, {1, 0, kReadWrite}, {2, 0, kReadWrite}}, 3);
  for (std::uint32_t p = 0; p < 3; ++p) ASSERT_EQ(plan.BarriersAt(p).size(), 1u) << p;
  EXPECT_TRUE(plan.BarriersAt(0)[0].isFrameBefore);
}

// A history that is read and written by its own node, and read by another.
TEST_F(Barriers, Cc_AHistoryIsOrderedAcrossFrames) {
  const SyncPlan plan = Derive({{0, 0, kReadWrite}, {1, 0, kRead}}, 2);
  const Barrier& start = plan.BarriersAt(0)[0];
  EXPECT_EQ(start.reason, BarrierReason::ReadAfterWrite);
  EXPECT_EQ(start.sourcePosition, 0u);
  EXPECT_TRUE(start.isFrameBefore);
}

TEST_F(Barriers, G4_LayoutsChangeWhereTheyDiffer) {
  const Access sampled = Access::ComputeSampled.In(ImageLayout::ShaderReadOnly);
  const SyncPlan plan = Derive(
      {{0, 0, kWrite}, {1, 0, sampled}, {2, 0, Access::FragmentSampled.In(ImageLayout::ShaderReadOnly)}}, 3);
  const Barrier& change = plan.BarriersAt(1)[0];
  EXPECT_EQ(change.reason, BarrierReason::LayoutChange);
  EXPECT_EQ(change.oldLayout, ImageLayout::General);
  EXPECT_EQ(change.newLayout, ImageLayout::ShaderReadOnly);
  ASSERT_EQ(plan.BarriersAt(2).size(), 1u) << "the other stage waits for the change, not for another one";
  EXPECT_EQ(plan.BarriersAt(2)[0].reason, BarrierReason::ReadAfterWrite);
  EXPECT_EQ(plan.BarriersAt(2)[0].sourceAccess, 0u);
  EXPECT_EQ(plan.BarriersAt(0)[0].oldLayout, ImageLayout::ShaderReadOnly)
      << "from what the frame before left";
}

TEST_F(Barriers, Cc_ManyKindsOfAccessAreStillRight) {
  // More kinds than are told apart: every subset of five write accesses.
  constexpr std::uint64_t kStages[] = {stages::kCompute, stages::kTransfer, stages::kFragmentShader,
                                       stages::kVertexShader, stages::kDrawIndirect};
  std::vector<ResourceAccess> accesses;
  for (std::uint32_t i = 0; i < 31; ++i) {
    Access access{0, accesses::kStorageWrite};
    for (std::uint32_t bit = 0; bit < 5; ++bit) {
      if (((i + 1) >> bit & 1u) != 0) access.stages |= kStages[bit];
    }
    accesses.push_back({i, i % 3, access});
  }
  Derive(accesses, 31);
}

TEST(Queues, Cc_WishesAreGrantedWhereTheDeviceCan) {
  const std::vector<QueueRequest> requests{{stages::kCompute, QueueClass::Any},
                                           {stages::kCompute, QueueClass::AsyncCompute},
                                           {stages::kFragmentShader, QueueClass::AsyncCompute},
                                           {stages::kTransfer, QueueClass::Transfer},
                                           {stages::kCompute, QueueClass::Transfer},
                                           {stages::kCompute, QueueClass::Any, 1},
                                           {0, QueueClass::Graphics},
                                           {stages::kCompute, QueueClass::Any, 3}};
  std::vector<std::uint8_t> queueOf(requests.size());
  AssignQueues(requests, {1, 1, 1}, queueOf);
  EXPECT_EQ(queueOf, (std::vector<std::uint8_t>{0, 1, 0, 2, 1, 1, kNoQueue, 0}));
  AssignQueues(requests, {}, queueOf);
  EXPECT_EQ(queueOf, (std::vector<std::uint8_t>{0, 0, 0, 0, 0, 0, kNoQueue, 0})) << "one queue runs all";
  // Two queues of a class share what follows nobody; who follows stays.
  const std::vector<QueueRequest> chains{{stages::kCompute, QueueClass::AsyncCompute},
                                         {stages::kCompute, QueueClass::AsyncCompute},
                                         {stages::kCompute, QueueClass::AsyncCompute, 0},
                                         {stages::kCompute, QueueClass::AsyncCompute, 1}};
  queueOf.resize(chains.size());
  AssignQueues(chains, {1, 2, 0}, queueOf);
  EXPECT_EQ(queueOf, (std::vector<std::uint8_t>{1, 2, 1, 2}));
}

class ManyQueues : public ::testing::Test {
 protected:
  SyncPlan Derive(std::vector<ResourceAccess> accesses, std::vector<std::uint8_t> queueOf,
                  const DeviceQueues& queues) {
    accesses_ = std::move(accesses);
    queueOf_ = std::move(queueOf);
    const SyncInput input{.accesses = accesses_,
                          .positions = static_cast<std::uint32_t>(queueOf_.size()),
                          .resources = 8,
                          .queues = queues,
                          .queueOf = queueOf_};
    const SyncPlan plan = planner_.Derive(input);
    EXPECT_EQ(FindFault(SynchronizedFrame::From(input, plan)), "");
    return plan;
  }
  std::vector<ResourceAccess> accesses_;
  std::vector<std::uint8_t> queueOf_;
  Planner planner_{{.accesses = 64, .positions = 32, .resources = 8, .queues = kQueuesMax}};
};

TEST_F(ManyQueues, Cc_TwoQueuesOfOneFamilyNeedSemaphoresAndNoBarriers) {
  const SyncPlan plan = Derive({{0, 0, kWrite}, {1, 0, kRead}}, {0, 1}, {2, 0, 0});
  EXPECT_TRUE(plan.barriers.empty());
  EXPECT_TRUE(plan.releases.empty());
  ASSERT_EQ(plan.WaitsAt(1).size(), 1u);
  EXPECT_EQ(plan.WaitsAt(1)[0].queue, 0u);
  EXPECT_EQ(plan.WaitsAt(1)[0].value, 1u);
  EXPECT_FALSE(plan.WaitsAt(1)[0].isFrameBefore);
  ASSERT_EQ(plan.WaitsAt(0).size(), 1u) << "the next write waits for the reader of the frame before";
  EXPECT_TRUE(plan.WaitsAt(0)[0].isFrameBefore);
  EXPECT_EQ(plan.signals.size(), 2u);
  EXPECT_EQ(plan.signalsPerFrame[0], 1u);
  EXPECT_EQ(plan.signalsPerFrame[1], 1u);
}

TEST_F(ManyQueues, Cc_AnotherFamilyAlsoTakesOwnership) {
  const SyncPlan plan = Derive({{0, 0, kWrite}, {1, 0, kRead}}, {0, 1}, {1, 1, 0});
  ASSERT_EQ(plan.ReleasesBehind(0).size(), 1u);
  ASSERT_EQ(plan.BarriersAt(1).size(), 1u);
  const Barrier& release = plan.ReleasesBehind(0)[0];
  const Barrier& acquire = plan.BarriersAt(1)[0];
  EXPECT_EQ(release.reason, BarrierReason::OwnerRelease);
  EXPECT_EQ(acquire.reason, BarrierReason::OwnerAcquire);
  EXPECT_EQ(release.sourceAccess, accesses::kStorageWrite);
  EXPECT_EQ(release.targetStages, 0u);
  EXPECT_EQ(acquire.targetAccess, accesses::kStorageRead);
  EXPECT_EQ(release.sourceQueue, acquire.sourceQueue);
  EXPECT_EQ(release.targetQueue, acquire.targetQueue);
  EXPECT_EQ(plan.ReleasesBehind(1).size(), 1u) << "and it goes back for the next frame";
}

TEST_F(ManyQueues, Cc_WaitsThatAThirdQueueCoversAreLeftOut) {
  // 0 -> 1 -> 2 in a row of queues; 2 reads what 0 wrote, too, and what it knows of 0 it knows through 1.
  const SyncPlan plan = Derive({{0, 0, kWrite}, {1, 0, kRead}, {1, 1, kWrite}, {2, 0, kRead}, {2, 1, kRead}},
                               {0, 1, 2}, {3, 0, 0});
  ASSERT_EQ(plan.WaitsAt(2).size(), 1u);
  EXPECT_EQ(plan.WaitsAt(2)[0].queue, 1u);
}

// Random frames.

struct RandomFrame {
  std::vector<ResourceAccess> accesses;
  std::vector<std::uint8_t> queueOf;
  SyncInput input;

  explicit RandomFrame(Random& random) {
    static constexpr DeviceQueues kDevices[] = {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}, {2, 0, 0},
                                                {1, 1, 0}, {1, 1, 1}, {2, 1, 0}, {2, 2, 1}};
    static constexpr Access kImages[] = {kRead,
                                         kWrite,
                                         kReadWrite,
                                         Access::ComputeSampled,
                                         Access::ComputeSampled.In(ImageLayout::ShaderReadOnly),
                                         Access::FragmentSampled.In(ImageLayout::ShaderReadOnly),
                                         Access::ColorAttachment,
                                         Access::TransferRead.In(ImageLayout::TransferSource),
                                         Access::TransferWrite};
    static constexpr Access kBuffers[] = {kRead,
                                          kWrite,
                                          kReadWrite,
                                          Access::ComputeUniform,
                                          Access::VertexRead,
                                          Access::IndirectRead,
                                          Access::TransferRead,
                                          Access::TransferWrite,
                                          kRead | Access::TransferRead};
    input.queues = kDevices[random.Below(std::size(kDevices))];
    input.positions = static_cast<std::uint32_t>(2 + random.Below(10));
    input.resources = static_cast<std::uint32_t>(1 + random.Below(6));
    const std::uint64_t density = 1 + random.Below(3);
    std::vector<QueueRequest> requests(input.positions);
    std::vector<std::uint32_t> lastUser(input.resources, QueueRequest::kNoLead);
    for (std::uint32_t p = 0; p < input.positions; ++p) {
      requests[p].wish = static_cast<QueueClass>(random.Below(4));
      for (std::uint32_t r = 0; r < input.resources; ++r) {
        if (random.Below(3) >= density) continue;
        const bool isImage = r % 2 == 0;
        Access access =
            isImage ? kImages[random.Below(std::size(kImages))] : kBuffers[random.Below(std::size(kBuffers))];
        if (!isImage) access.layout = ImageLayout::Any;
        accesses.push_back({p, r, access});
        requests[p].stages |= access.stages;
        if (random.Below(2) == 0) requests[p].lead = lastUser[r];
        lastUser[r] = p;
      }
    }
    queueOf.resize(input.positions);
    AssignQueues(requests, input.queues, queueOf);
    input.accesses = accesses;
    input.queueOf = queueOf;
  }
};

std::string Describe(const RandomFrame& frame, const SyncPlan& plan) {
  std::string text;
  for (std::uint32_t p = 0; p < frame.input.positions; ++p) {
    text += "#" + std::to_string(p) + " on " + std::to_string(frame.queueOf[p]) + ":";
    for (const SemaphoreWait& wait : plan.WaitsAt(p))
      text += " wait(" + std::to_string(wait.queue) + "#" + std::to_string(wait.signalPosition) +
              (wait.isFrameBefore ? "-" : "") + ")";
    char first[kAccessTextBytesMax];
    char second[kAccessTextBytesMax];
    for (const Barrier& b : plan.BarriersAt(p))
      text += std::string(" [") + ToString(b.reason) + " r" + std::to_string(b.resource) + " " +
              FormatAccess(b.sourceStages, b.sourceAccess, first) + " -> " +
              FormatAccess(b.targetStages, b.targetAccess, second) + "]";
    for (const ResourceAccess& a : frame.accesses) {
      if (a.position == p)
        text += " r" + std::to_string(a.resource) + "(" +
                FormatAccess(a.access.stages, a.access.access, first) + ")";
    }
    for (const Barrier& b : plan.ReleasesBehind(p)) text += " release r" + std::to_string(b.resource);
    text += "\n";
  }
  return text;
}

// Takes every item out of `part` once; how many the oracle misses.
template <class T>
std::size_t CountUnmissed(SynchronizedFrame& frame, std::vector<T> SynchronizedFrame::*part) {
  const std::vector<T> all = frame.*part;
  std::size_t unmissed = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    frame.*part = all;
    (frame.*part).erase((frame.*part).begin() + static_cast<std::ptrdiff_t>(i));
    if (FindFault(frame).empty()) ++unmissed;
  }
  frame.*part = all;
  return unmissed;
}

struct Redundancy {
  std::size_t count = 0;
  std::size_t unmissed = 0;
  double Share() const {
    return count == 0 ? 0.0 : static_cast<double>(unmissed) / static_cast<double>(count);
  }
};

// The canary, and the measure of minimality: what the oracle does not miss was not needed.
TEST(BarriersRandom, Cc_EveryFrameIsOrderedAndAlmostNothingIsIdle) {
  Random random(TestSeed(20260726));
  Planner planner({.accesses = 128, .positions = 16, .resources = 8, .queues = kQueuesMax});
  Redundancy barriers;
  Redundancy pairs;  // of ownership
  Redundancy waits;
  const std::uint64_t frames = Repetitions(4000);
  for (std::uint64_t round = 0; round < frames; ++round) {
    const RandomFrame random_frame(random);
    const SyncPlan plan = planner.Derive(random_frame.input);
    SynchronizedFrame frame = SynchronizedFrame::From(random_frame.input, plan);
    ASSERT_EQ(FindFault(frame), "") << "round " << round << "\n" << Describe(random_frame, plan);
    if (random_frame.input.queues.Count() == 1) {
      ASSERT_TRUE(plan.waits.empty() && plan.releases.empty() && plan.signals.empty());
    }
    if (round % 4 != 0) continue;
    barriers.count += frame.barriers.size();
    barriers.unmissed += CountUnmissed(frame, &SynchronizedFrame::barriers);
    pairs.count += frame.releases.size();
    pairs.unmissed += CountUnmissed(frame, &SynchronizedFrame::releases);
    waits.count += frame.waits.size();
    waits.unmissed += CountUnmissed(frame, &SynchronizedFrame::waits);
  }
  std::printf(
      "%llu frames, a quarter of them taken apart: %zu barriers, %zu idle (%.2f %%); %zu releases, %zu idle; "
      "%zu waits, %zu idle (%.2f %%)\n",
      static_cast<unsigned long long>(frames), barriers.count, barriers.unmissed, 100 * barriers.Share(),
      pairs.count, pairs.unmissed, waits.count, waits.unmissed, 100 * waits.Share());
  EXPECT_GT(barriers.count, frames);
  EXPECT_GT(waits.count, frames / 8);
  EXPECT_LE(barriers.Share(), 0.03);
  EXPECT_EQ(pairs.unmissed, 0u);
  EXPECT_LE(waits.Share(), 0.05);
}

}  // namespace
}  // namespace stadial::graph::testing
