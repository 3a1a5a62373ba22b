#include "stadial/graph/frame_history.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <random>
#include <utility>

namespace stadial::graph {
namespace {

constexpr ResourceId kColor = 7;
constexpr ResourceId kMotion = 8;

class FrameHistoryTest : public ::testing::Test {
 protected:
  FrameHistory Make(std::uint32_t frames, std::uint32_t perFrame = 4) {
    return FrameHistory(
        arena_,
        {.historyFrames = frames, .resourcesPerFrame = perFrame, .framesInFlight = 2, .resources = &table_});
  }
  ResourceHandle NewImage() { return table_.Create({.kind = ResourceKind::Image, .name = "image"}).Value(); }
  ResourceHandle NewBuffer() {
    return table_.Create({.kind = ResourceKind::Buffer, .name = "buffer"}).Value();
  }

  alignas(64) std::byte memory_[256 * 1024];
  arenas::Arena arena_{"test", memory_, sizeof(memory_)};
  ResourceTable table_{arena_, 256};
};

TEST_F(FrameHistoryTest, Hb_ReturnsWhatEarlierFramesStored) {
  FrameHistory history = Make(3);
  ResourceHandle stored[5];
  for (std::uint64_t frame = 0; frame < 5; ++frame) {
    history.Rotate(frame);
    stored[frame] = NewImage();
    EXPECT_EQ(history.Store(kColor, stored[frame], ResourceKind::Image), StoreResult::Stored);
  }
  EXPECT_EQ(history.Get(0, kColor).handle, stored[4]);
  EXPECT_EQ(history.Get(1, kColor).handle, stored[3]);
  EXPECT_EQ(history.Get(2, kColor).handle, stored[2]);
  EXPECT_EQ(history.Get(3, kColor).handle, stored[1]);
}

// T1: the seeds reserved hash maps, which still allocate per entry. Here the whole ring is carved once.
TEST_F(FrameHistoryTest, T1_StorageIsCarvedOnceAndNeverAgain) {
  const FrameHistoryOptions options{.historyFrames = 8, .resourcesPerFrame = 5};
  const std::size_t before = arena_.UsedBytes();
  FrameHistory history(arena_, options);
  EXPECT_EQ(arena_.UsedBytes() - before, FrameHistory::BytesFor(options));
  const ResourceHandle image = NewImage();
  for (std::uint64_t frame = 0; frame < 1000; ++frame) {
    history.Rotate(frame);
    for (ResourceId id = 0; id < 5; ++id)
      ASSERT_EQ(history.Store(id, image, ResourceKind::Image), StoreResult::Stored);
    ASSERT_EQ(history.Store(5, image, ResourceKind::Image), StoreResult::Full);
  }
  EXPECT_EQ(arena_.UsedBytes() - before, FrameHistory::BytesFor(options));
  EXPECT_EQ(history.RefusedStores(), 1000u);
}

// T2: the seeds never cleared a slot, so a node that stores nothing got its own value of depth frames ago.
TEST_F(FrameHistoryTest, T2_RotationClearsTheSlot) {
  FrameHistory history = Make(2);
  history.Rotate(0);
  ASSERT_EQ(history.Store(kColor, NewImage(), ResourceKind::Image), StoreResult::Stored);
  history.Rotate(1);
  history.Rotate(2);
  history.Rotate(3);  // the slot of frame 0
  EXPECT_EQ(history.Get(0, kColor).reason, HistoryReason::NotStored);
  EXPECT_FALSE(history.Get(0, kColor));
  EXPECT_TRUE(history.Get(0, kColor).handle.IsNull());
}

// T4: the seeds refused the oldest frame they had promised, and overwrote it before it could be read.
TEST_F(FrameHistoryTest, T4_OldestPromisedFrameIsReadable) {
  for (std::uint32_t frames = 0; frames <= 8; ++frames) {
    FrameHistory history = Make(frames);
    EXPECT_EQ(history.Depth(), frames + 1);
    ResourceHandle oldest;
    for (std::uint64_t frame = 0; frame <= frames; ++frame) {
      history.Rotate(frame);
      const ResourceHandle image = NewImage();
      if (frame == 0) oldest = image;
      ASSERT_EQ(history.Store(kColor, image, ResourceKind::Image), StoreResult::Stored);
    }
    EXPECT_EQ(history.Get(frames, kColor).handle, oldest) << frames << " frames of history";
    EXPECT_EQ(history.Get(frames + 1, kColor).reason, HistoryReason::OutOfRange);
  }
}

// T6: depth 0 divided by zero.
TEST_F(FrameHistoryTest, T6_NoHistoryStillHasACurrentFrame) {
  FrameHistory history = Make(0);
  EXPECT_EQ(history.Depth(), 1u);
  history.Rotate(0);
  const ResourceHandle image = NewImage();
  EXPECT_EQ(history.Store(kColor, image, ResourceKind::Image), StoreResult::Stored);
  EXPECT_EQ(history.Get(0, kColor).handle, image);
  EXPECT_EQ(history.Get(1, kColor).reason, HistoryReason::OutOfRange);
  history.Rotate(1);
  EXPECT_EQ(history.Get(0, kColor).reason, HistoryReason::NotStored);

  FrameHistory none;  // never given memory
  none.Rotate(3);
  EXPECT_EQ(none.Store(kColor, image, ResourceKind::Image), StoreResult::Full);
  EXPECT_EQ(none.Get(0, kColor).reason, HistoryReason::NotStored);
  EXPECT_EQ(none.Get(1, kColor).reason, HistoryReason::OutOfRange);
}

// T11: the seeds kept images and buffers in two maps; one id in both returned whichever map was asked first.
TEST_F(FrameHistoryTest, T11_OneIdIsNotImageAndBuffer) {
  FrameHistory history = Make(2);
  history.Rotate(0);
  const ResourceHandle image = NewImage();
  const ResourceHandle buffer = NewBuffer();
  ASSERT_EQ(history.Store(kColor, image, ResourceKind::Image), StoreResult::Stored);
  EXPECT_EQ(history.Store(kColor, buffer, ResourceKind::Buffer), StoreResult::KindConflict);
  history.Rotate(1);
  EXPECT_EQ(history.Store(kColor, buffer, ResourceKind::Buffer), StoreResult::KindConflict)
      << "also in a later frame";
  EXPECT_EQ(history.Store(kMotion, buffer, ResourceKind::Image), StoreResult::KindConflict)
      << "it is a buffer";
  EXPECT_EQ(history.Get(1, kColor).handle, image);
  EXPECT_EQ(history.RefusedStores(), 3u);
  history.Invalidate();
  EXPECT_EQ(history.Store(kColor, buffer, ResourceKind::Buffer), StoreResult::Stored)
      << "a reconfiguration may change it";
}

// T14: after a resize the seeds returned pointers to destroyed resources.
TEST_F(FrameHistoryTest, T14_DestroyedResourceIsNotReturned) {
  FrameHistory history = Make(2);
  history.Rotate(0);
  const ResourceHandle image = NewImage();
  ASSERT_EQ(history.Store(kColor, image, ResourceKind::Image), StoreResult::Stored);
  history.Rotate(1);
  ASSERT_TRUE(history.Get(1, kColor));
  ASSERT_TRUE(table_.Destroy(image));
  EXPECT_EQ(history.Get(1, kColor).reason, HistoryReason::Resized);
  EXPECT_TRUE(history.Get(1, kColor).handle.IsNull());
  const ResourceHandle successor = NewImage();
  ASSERT_EQ(successor.index, image.index);
  EXPECT_EQ(history.Get(1, kColor).reason, HistoryReason::Resized)
      << "the place's new resource is not the old one";
  EXPECT_EQ(history.Store(kColor, image, ResourceKind::Image), StoreResult::NullHandle)
      << "nor can a dead one be stored";
}

TEST_F(FrameHistoryTest, Hc_InvalidateEndsTheOldGenerationOnly) {
  FrameHistory history = Make(3);
  const ResourceHandle before = NewImage();
  const ResourceHandle after = NewImage();
  history.Rotate(0);
  ASSERT_EQ(history.Store(kColor, before, ResourceKind::Image), StoreResult::Stored);
  history.Rotate(1);
  history.Invalidate();
  ASSERT_EQ(history.Store(kColor, after, ResourceKind::Image), StoreResult::Stored);
  EXPECT_EQ(history.Get(1, kColor).reason, HistoryReason::Resized);
  history.Rotate(2);
  EXPECT_EQ(history.Get(1, kColor).handle, after);
  EXPECT_EQ(history.Get(2, kColor).reason, HistoryReason::Resized);
}

TEST_F(FrameHistoryTest, Hc_RetentionCountsFramesInFlight) {
  const FrameHistory history(arena_, {.historyFrames = 2, .resourcesPerFrame = 1, .framesInFlight = 3});
  EXPECT_EQ(history.Depth(), 3u);
  EXPECT_EQ(history.PhysicalCopies(), 5u);
  // While the host writes frame i, frames i-1 and i-2 may run, and i-2 reads i-4: none of them may share a
  // copy.
  const std::uint64_t i = 100;
  for (std::uint64_t other = i - 4; other < i; ++other)
    EXPECT_NE(other % history.PhysicalCopies(), i % history.PhysicalCopies());
}

TEST_F(FrameHistoryTest, Hb_ReasonsSayWhy) {
  FrameHistory history = Make(3);
  EXPECT_EQ(history.Get(0, kColor).reason, HistoryReason::NotStored) << "before any frame";
  EXPECT_EQ(history.Get(1, kColor).reason, HistoryReason::FirstFrame);
  history.Rotate(40);  // a history need not start at frame 0
  EXPECT_EQ(history.Get(1, kColor).reason, HistoryReason::FirstFrame);
  ASSERT_EQ(history.Store(kColor, NewImage(), ResourceKind::Image), StoreResult::Stored);
  history.Rotate(42);  // 41 never began
  EXPECT_EQ(history.Get(1, kColor).reason, HistoryReason::SkippedFrame);
  EXPECT_EQ(history.Get(2, kColor).reason, HistoryReason::Available);
  EXPECT_EQ(history.Get(2, kMotion).reason, HistoryReason::NotStored);
  EXPECT_EQ(history.Get(3, kColor).reason, HistoryReason::FirstFrame);
  EXPECT_EQ(history.Get(4, kColor).reason, HistoryReason::OutOfRange);
  EXPECT_STREQ(ToString(HistoryReason::SkippedFrame), "SkippedFrame");
}

TEST_F(FrameHistoryTest, Hb_SecondStoreReplaces) {
  FrameHistory history = Make(1, 1);
  history.Rotate(0);
  ASSERT_EQ(history.Store(kColor, NewImage(), ResourceKind::Image), StoreResult::Stored);
  const ResourceHandle second = NewImage();
  EXPECT_EQ(history.Store(kColor, second, ResourceKind::Image), StoreResult::Replaced);
  EXPECT_EQ(history.Get(0, kColor).handle, second);
}

TEST_F(FrameHistoryTest, Ha_RotatingTwiceInAFrameChangesNothing) {
  FrameHistory history = Make(2);
  history.Rotate(5);
  const ResourceHandle image = NewImage();
  ASSERT_EQ(history.Store(kColor, image, ResourceKind::Image), StoreResult::Stored);
  history.Rotate(5);
  EXPECT_EQ(history.Get(0, kColor).handle, image);
}

TEST(FrameHistoryDeathTest, Ha_FramesDoNotGoBackwards) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  FrameHistory history;
  history.Rotate(5);
  EXPECT_DEATH(history.Rotate(4), "frames of a history go forward");
}

// A model that keeps every frame for ever.
TEST_F(FrameHistoryTest, Hb_RandomProgramAgainstModel) {
  const std::uint32_t seed = 31012026;
  std::mt19937 engine(seed);
  const auto random = [&engine] { return static_cast<std::uint32_t>(engine()); };
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  for (int round = 0; round < 200; ++round) {
    arenas::ArenaScope scope(arena_);
    const std::uint32_t frames = random() % 6;
    FrameHistory history = Make(frames, 3);
    std::map<std::uint64_t, std::map<ResourceId, ResourceHandle>> model;  // by frame
    const ResourceHandle images[] = {NewImage(), NewImage(), NewImage(), NewImage()};
    std::uint64_t frame = random() % 10;
    const std::uint64_t first = frame;
    for (int step = 0; step < 40; ++step, frame += random() % 4 == 0 ? 2u : 1u) {
      history.Rotate(frame);
      auto& stored = model[frame];
      for (std::uint32_t n = random() % 5; n > 0; --n) {
        const ResourceId id = random() % 4;
        const ResourceHandle image = images[random() % 4];
        const StoreResult result = history.Store(id, image, ResourceKind::Image);
        if (stored.contains(id)) {
          ASSERT_EQ(result, StoreResult::Replaced);
        } else {
          ASSERT_EQ(result, stored.size() == 3 ? StoreResult::Full : StoreResult::Stored);
        }
        if (result != StoreResult::Full) stored[id] = image;
      }
      for (std::uint32_t ago = 0; ago <= frames + 1; ++ago) {
        for (ResourceId id = 0; id < 4; ++id) {
          const HistoryLookup lookup = history.Get(ago, id);
          if (ago > frames) {
            ASSERT_EQ(lookup.reason, HistoryReason::OutOfRange);
          } else if (frame - first < ago) {
            ASSERT_EQ(lookup.reason, HistoryReason::FirstFrame);
          } else if (!model.contains(frame - ago)) {
            ASSERT_EQ(lookup.reason, HistoryReason::SkippedFrame);
          } else if (!model[frame - ago].contains(id)) {
            ASSERT_EQ(lookup.reason, HistoryReason::NotStored);
          } else {
            ASSERT_EQ(lookup.reason, HistoryReason::Available);
            ASSERT_EQ(lookup.handle, model[frame - ago][id]);
          }
        }
      }
    }
    for (const ResourceHandle image : images) ASSERT_TRUE(table_.Destroy(image));
  }
}

}  // namespace
}  // namespace stadial::graph
