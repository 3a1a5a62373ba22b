#include "stadial/arenas/thread_slot.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <latch>
#include <set>
#include <thread>
#include <vector>

namespace stadial::arenas {
namespace {

std::uint32_t SlotOfANewThread() {
  std::uint32_t slot = kThreadSlotUnasked;
  std::thread([&] { slot = ThreadSlot(); }).join();
  return slot;
}

TEST(ThreadSlot, StaysTheThreadsOwn) {
  const std::uint32_t own = ThreadSlot();
  ASSERT_LT(own, kThreadSlotsMax);
  EXPECT_EQ(ThreadSlot(), own);
  EXPECT_EQ(PeekThreadSlot(), own);
  EXPECT_NE(SlotOfANewThread(), own);
}

TEST(ThreadSlot, IsUnaskedUntilAsked) {
  std::thread([] { EXPECT_EQ(PeekThreadSlot(), kThreadSlotUnasked); }).join();
}

// The plain variable has no other order than that of the number's two owners: ThreadSanitizer looks on. They
// are not joined in between.
TEST(ThreadSlot, PassesOnWithWhatItsThreadWrote) {
  static int written[kThreadSlotValues] = {};
  std::atomic<std::uint32_t> first{kThreadSlotUnasked};
  std::thread one([&] {
    const std::uint32_t slot = ThreadSlot();
    written[slot] = 17;
    first.store(slot, std::memory_order_relaxed);
  });
  std::uint32_t slot = kThreadSlotUnasked;
  while (slot == kThreadSlotUnasked) {
    std::this_thread::yield();
    slot = first.load(std::memory_order_relaxed);
  }
  bool isInherited = false;
  while (!isInherited) {
    std::thread([&] {
      if (ThreadSlot() != slot) return;
      isInherited = true;
      EXPECT_EQ(written[slot], 17);
    }).join();
  }
  one.join();
}

TEST(ThreadSlot, ThreadsBeyondTheLastShareOneValueAndAllAreGivenBack) {
  const std::uint32_t lowest = SlotOfANewThread();
  constexpr std::size_t kThreads = kThreadSlotsMax + 8;
  std::vector<std::uint32_t> slots(kThreads);
  {
    std::latch allAsked(kThreads);
    std::vector<std::thread> threads;
    for (std::uint32_t& slot : slots) {
      threads.emplace_back([&] {
        slot = ThreadSlot();
        allAsked.arrive_and_wait();
        EXPECT_EQ(ThreadSlot(), slot);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  std::set<std::uint32_t> different;
  std::size_t without = 0;
  for (const std::uint32_t slot : slots) {
    if (slot == kNoThreadSlot) {
      ++without;
    } else {
      ASSERT_LT(slot, kThreadSlotsMax);
      EXPECT_TRUE(different.insert(slot).second) << slot;
    }
  }
  EXPECT_GE(without, 8u);
  EXPECT_EQ(different.size() + without, kThreads);
  EXPECT_EQ(SlotOfANewThread(), lowest);
}

// A destructor that runs after the number was given back asks for one, and that one is given back too.
TEST(ThreadSlot, LateDestructorsMayAsk) {
  static std::atomic<std::uint32_t> late{kThreadSlotUnasked};
  const std::uint32_t lowest = SlotOfANewThread();
  pthread_key_t key{};
  ASSERT_EQ(::pthread_key_create(&key, [](void*) { late = ThreadSlot(); }), 0);
  std::thread([&] {
    (void)ThreadSlot();
    ::pthread_setspecific(key, &key);
  }).join();
  EXPECT_LT(late.load(), kThreadSlotsMax);
  EXPECT_EQ(SlotOfANewThread(), lowest);
  ::pthread_key_delete(key);
}

}  // namespace
}  // namespace stadial::arenas
