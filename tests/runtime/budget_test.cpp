#include "stadial/runtime/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "stadial/arenas/size_literals.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

using namespace arenas::literals;

constexpr BudgetLimits kSmall{.softBytes = 1000, .hardBytes = 2000};

TEST(Budget, Ba_OverHardIsRefusedWithAnErrorThatNamesTheNumbers) {
  Budget budget("textures", {.softBytes = 4_GiB, .hardBytes = 7_GiB});
  EXPECT_TRUE(budget.TryReserve(6_GiB));
  EXPECT_FALSE(budget.TryReserve(1_GiB + 1));
  const Result<void> refused = budget.Reserve(2_GiB, "atlas page 7");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_STREQ(
      refused.GetError().Message(),
      "budget 'textures' refused 2.0 GiB for atlas page 7: 6.0 GiB of hard limit 7.0 GiB in use (0 B "
      "of them outside, soft limit 4.0 GiB, peak 6.0 GiB); release something or raise its hardBytes");
  EXPECT_TRUE(budget.TryReserve(1_GiB)) << "exactly full";
  EXPECT_EQ(budget.RemainingBytes(), 0u);
  EXPECT_FALSE(budget.TryReserve(1));
  EXPECT_TRUE(budget.TryReserve(0));
  EXPECT_FALSE(budget.TryReserve(UINT64_MAX));
  EXPECT_EQ(budget.Stats().refused, 4u);
  EXPECT_EQ(budget.Stats().peakBytes, 7_GiB);
}

TEST(Budget, Ba_SoftMayBePassedAndIsSeen) {
  Budget budget("b", kSmall);
  EXPECT_TRUE(budget.TryReserve(1000));
  EXPECT_FALSE(budget.IsOverSoft());
  EXPECT_TRUE(budget.TryReserve(1));
  EXPECT_TRUE(budget.IsOverSoft());
}

TEST(Budget, Ba_ThrottlesAt85PercentOfSoftUntil75) {
  Budget budget("b", kSmall);
  EXPECT_TRUE(budget.TryReserve(849));
  EXPECT_FALSE(budget.IsThrottled());
  EXPECT_TRUE(budget.TryReserve(1));
  EXPECT_TRUE(budget.IsThrottled());
  budget.Release(99);
  EXPECT_TRUE(budget.IsThrottled()) << "751 is above 75 %";
  EXPECT_TRUE(budget.TryReserve(50));
  budget.Release(51);
  EXPECT_FALSE(budget.IsThrottled()) << "750 is 75 %";
  EXPECT_TRUE(budget.TryReserve(99));
  EXPECT_FALSE(budget.IsThrottled()) << "849 is below 85 %";
  EXPECT_EQ(budget.Stats().throttles, 1u);
}

TEST(Budget, Ba_ATinySoftLimitDoesNotFlicker) {
  for (const std::uint64_t soft : {0u, 1u, 2u}) {
    Budget budget("b", {.softBytes = soft, .hardBytes = 100});
    EXPECT_FALSE(budget.IsThrottled()) << soft;
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.TryReserve(0));
    EXPECT_FALSE(budget.IsThrottled()) << soft;
    EXPECT_TRUE(budget.TryReserve(3));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.TryReserve(0));
    EXPECT_TRUE(budget.IsThrottled()) << soft;
    EXPECT_EQ(budget.Stats().throttles, 1u);
  }
}

TEST(Budget, Ba_OutsideBytesCount) {
  Budget budget("heap 0", kSmall);
  EXPECT_TRUE(budget.TryReserve(100));
  budget.SetOutsideBytes(750);
  EXPECT_TRUE(budget.IsThrottled());
  EXPECT_EQ(budget.UsedBytes(), 850u);
  EXPECT_FALSE(budget.TryReserve(1151));
  EXPECT_TRUE(budget.TryReserve(1150));
  budget.SetOutsideBytes(5000);
  EXPECT_FALSE(budget.TryReserve(1)) << "others took more than there is";
  EXPECT_EQ(budget.RemainingBytes(), 0u);
  budget.SetOutsideBytes(UINT64_MAX);
  EXPECT_EQ(budget.Stats().outsideBytes, kBudgetBytesMax);
  EXPECT_FALSE(budget.TryReserve(1));
  budget.SetOutsideBytes(0);
  budget.Release(1250);
  EXPECT_FALSE(budget.IsThrottled());
}

TEST(Budget, Ba_TheDevicesAccountBoundsAHeap) {
  Budget heap("device 0 heap 1", {.softBytes = 4_GiB, .hardBytes = 7_GiB});
  EXPECT_TRUE(heap.TryReserve(1_GiB));
  heap.Feed({.usageBytes = 1_GiB + 512_MiB, .budgetBytes = 8_GiB});
  EXPECT_EQ(heap.UsedBytes(), 1_GiB + 512_MiB) << "half a GiB is not ours";
  EXPECT_EQ(heap.Stats().hardBytes, 7_GiB);
  heap.Feed({.usageBytes = 1_GiB, .budgetBytes = 2_GiB});
  EXPECT_EQ(heap.Stats().hardBytes, 2_GiB) << "another program took its share";
  EXPECT_EQ(heap.Stats().softBytes, 2_GiB);
  EXPECT_EQ(heap.Stats().outsideBytes, 0u);
  EXPECT_FALSE(heap.TryReserve(1_GiB + 1));
  EXPECT_EQ(heap.Limits().hardBytes, 7_GiB) << "what was configured stays";
  heap.Feed({.usageBytes = 512_MiB, .budgetBytes = 0});
  EXPECT_EQ(heap.UsedBytes(), 1_GiB) << "reserved, and not all taken yet";
  EXPECT_EQ(heap.Stats().hardBytes, 7_GiB) << "a device that gives no budget bounds nothing";
}

TEST(Budget, Ba_LimitsChangeForWhatComesAfter) {
  Budget budget("b", kSmall);
  EXPECT_TRUE(budget.TryReserve(1500));
  EXPECT_TRUE(budget.IsThrottled());
  ASSERT_TRUE(budget.SetLimits({.softBytes = 4000, .hardBytes = 4000}));
  EXPECT_FALSE(budget.IsThrottled()) << "at once, not with the next reservation";
  ASSERT_TRUE(budget.SetLimits({.softBytes = 100, .hardBytes = 200}));
  EXPECT_TRUE(budget.IsThrottled());
  EXPECT_FALSE(budget.TryReserve(1));
  EXPECT_EQ(budget.ReservedBytes(), 1500u) << "nothing is taken away";
  budget.Release(1500);
  EXPECT_TRUE(budget.TryReserve(200));
}

TEST(Budget, Ba_BadLimitsAreRefusedAndChangeNothing) {
  Budget budget("b", kSmall);
  EXPECT_EQ(budget.SetLimits({.softBytes = 2, .hardBytes = 1}).GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_FALSE(budget.SetLimits({.hardBytes = kBudgetBytesMax + 1}));
  EXPECT_FALSE(budget.SetLimits({.throttlePercent = 101}));
  EXPECT_FALSE(budget.SetLimits({.throttlePercent = 75, .resumePercent = 75}));
  const Result<void> zero = budget.SetLimits({.resumePercent = 0});
  ASSERT_FALSE(zero);
  EXPECT_STREQ(
      zero.GetError().Message(),
      "budget 'b': throttle at 85 % of soft, resume at 0 %; 0 < resume < throttle <= 100 is demanded");
  EXPECT_EQ(budget.Stats().hardBytes, 2000u);
}

TEST(Budget, Ba_AChargeIsBothOrNeither) {
  Budget textures("textures", {.softBytes = 100, .hardBytes = 100});
  Budget heap("heap 0", {.softBytes = 150, .hardBytes = 150});
  {
    auto first = BudgetCharge::Make(textures, heap, 60, "a");
    ASSERT_TRUE(first);
    EXPECT_EQ(textures.ReservedBytes() + heap.ReservedBytes(), 120u);
    auto overSubsystem = BudgetCharge::Make(textures, heap, 60, "b");
    ASSERT_FALSE(overSubsystem);
    EXPECT_NE(std::string(overSubsystem.GetError().Message()).find("budget 'textures' refused 60 B for b"),
              std::string::npos);
    auto buffers = BudgetCharge::Make(heap, 80, "c");
    ASSERT_TRUE(buffers);
    auto overHeap = BudgetCharge::Make(textures, heap, 20, "d");
    ASSERT_FALSE(overHeap);
    EXPECT_NE(std::string(overHeap.GetError().Message()).find("budget 'heap 0'"), std::string::npos);
    EXPECT_EQ(textures.ReservedBytes(), 60u) << "given back";
    BudgetCharge moved = std::move(first).Value();
    BudgetCharge target;
    target = std::move(moved);
    EXPECT_EQ(target.Bytes(), 60u);
    EXPECT_EQ(moved.Bytes(), 0u);
    target = BudgetCharge();
    EXPECT_EQ(textures.ReservedBytes(), 0u);
    EXPECT_EQ(heap.ReservedBytes(), 80u);
  }
  EXPECT_EQ(heap.ReservedBytes(), 0u);
}

TEST(Budget, Ba_ATableOfHeapsAndSubsystems) {
  TestArena setup(1 << 14);
  BudgetTable table(setup.Get(), {.heapsMax = 1, .subsystemsMax = 2});
  std::string name = "host";
  Budget* const host = table.AddHeap(name.c_str(), kSmall).Value();
  name = "other text in the same place";
  EXPECT_STREQ(host->Name(), "host");
  EXPECT_EQ(host->Limits().hardBytes, 2000u);
  EXPECT_EQ(table.AddSubsystem("host").GetError().Code(), ErrorCode::InvalidArgument) << "taken";
  EXPECT_EQ(table.AddSubsystem("").GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(table.AddSubsystem(nullptr).GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(table.AddSubsystem("s", {.softBytes = 2, .hardBytes = 1}).GetError().Code(),
            ErrorCode::InvalidArgument);
  Budget* const staging = table.AddSubsystem("staging").Value();
  const auto full = table.AddHeap("heap 2");
  ASSERT_FALSE(full);
  EXPECT_STREQ(full.GetError().Message(),
               "budget 'heap 2' does not fit: 1 of 1 are in use; raise BudgetTableOptions::heapsMax");
  EXPECT_EQ(table.Find("staging"), staging);
  EXPECT_EQ(table.Find("nothing"), nullptr);
  EXPECT_EQ(table.Heaps().size(), 1u);
  EXPECT_EQ(table.Subsystems().size(), 1u);
}

// Whoever fails or ends in Setup leaves nothing behind, however often it is tried.
TEST(Budget, Ba_TheYoungestOfATableMakesRoomAgain) {
  TestArena setup(1 << 14);
  const BudgetTableOptions options{.heapsMax = 2, .subsystemsMax = 1};
  BudgetTable table(setup.Get(), options);
  EXPECT_LE(setup.Get().UsedBytes(), BudgetTable::CalculateBytes(options));
  const std::size_t used = setup.Get().UsedBytes();
  Budget* const host = table.AddHeap("host").Value();
  for (int i = 0; i < 100; ++i) {
    Budget* const heap = table.AddHeap("heap").Value();
    Budget* const memory = table.AddSubsystem("memory").Value();
    table.Remove(memory);
    table.Remove(heap);
    ASSERT_EQ(table.Find("heap"), nullptr);
  }
  table.Remove(nullptr);
  Budget* const heap = table.AddHeap("heap").Value();
  table.Remove(host);
  EXPECT_EQ(table.Find("host"), host) << "not the youngest: it stays listed";
  EXPECT_EQ(table.Find("heap"), heap);
  EXPECT_EQ(setup.Get().UsedBytes(), used) << "names have their place from the start";
  EXPECT_EQ(table.AddSubsystem(std::string(BudgetTable::kNameBytesMax, 'n').c_str()).GetError().Code(),
            ErrorCode::InvalidArgument);
}

TEST(BudgetDeathTest, Ba_ABudgetInUseIsNotRemoved) {
  TestArena setup(1 << 14);
  BudgetTable table(setup.Get(), {.heapsMax = 1, .subsystemsMax = 1});
  Budget* const heap = table.AddHeap("heap", kSmall).Value();
  ASSERT_TRUE(heap->Reserve(1, "a block").HasValue());
  EXPECT_DEATH(table.Remove(heap), "the budget is in use");
}

TEST(Budget, Ba_NothingAllocates) {
  STADIAL_ASSERT_ARMED();
  Budget budget("b", kSmall);
  Budget heap("h", kSmall);
  const CountedScope counted;
  std::uint64_t refused = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    auto charge = BudgetCharge::Make(budget, heap, i * 40, "test");
    refused += charge ? 0u : 1u;
    heap.Feed({.usageBytes = i, .budgetBytes = 2000});
  }
  EXPECT_EQ(counted.Allocations() + counted.Frees(), 0u);
  EXPECT_GT(refused, 0u);
}

// The model: plain numbers, no concurrency.
enum class Fault { None, NoHysteresis, RefuseAtSoft, ForgetOutside };
struct Model {
  std::uint64_t reserved = 0, outside = 0, soft = 0, hard = 0, peak = 0, refused = 0, throttles = 0;
  bool isThrottled = false;
  Fault fault = Fault::None;

  void Update() {
    const std::uint64_t used = reserved + outside;
    const std::uint64_t resume = soft * 75 / 100;
    const std::uint64_t throttle = std::max(soft * 85 / 100, resume + 1);
    const bool now = isThrottled && fault != Fault::NoHysteresis ? used > resume : used >= throttle;
    throttles += now && !isThrottled ? 1 : 0;
    isThrottled = now;
  }
  bool TryReserve(std::uint64_t bytes) {
    const std::uint64_t limit = fault == Fault::RefuseAtSoft ? soft : hard;
    const std::uint64_t used = reserved + (fault == Fault::ForgetOutside ? 0 : outside);
    if (bytes != 0 && used + bytes > limit) {
      ++refused;
      return false;
    }
    reserved += bytes;
    Update();
    peak = std::max(peak, reserved + outside);
    return true;
  }
};

std::uint64_t FirstDisagreement(std::uint64_t operations, std::uint64_t seed, Fault fault = Fault::None) {
  Random random(seed);
  Budget budget("model", kSmall);
  Model model{.soft = 1000, .hard = 2000, .fault = fault};
  std::uint64_t softConfigured = 1000;
  std::uint64_t hardConfigured = 2000;
  for (std::uint64_t operation = 0; operation < operations; ++operation) {
    const std::uint64_t roll = random.Below(100);
    if (roll < 50) {
      const std::uint64_t bytes = random.Below(200);
      if (budget.TryReserve(bytes) != model.TryReserve(bytes)) return operation;
    } else if (roll < 90) {
      const std::uint64_t bytes = std::min(random.Below(220), model.reserved);
      budget.Release(bytes);
      model.reserved -= bytes;
      model.Update();
    } else if (roll < 94) {
      model.outside = random.Below(1200);
      budget.SetOutsideBytes(model.outside);
      model.Update();
    } else if (roll < 98) {
      const std::uint64_t usage = random.Below(2500);
      const std::uint64_t most = random.Below(4) == 0 ? 0 : random.Below(2500);
      budget.Feed({.usageBytes = usage, .budgetBytes = most});
      model.soft = most == 0 ? softConfigured : std::min(softConfigured, most);
      model.hard = most == 0 ? hardConfigured : std::min(hardConfigured, most);
      model.outside = usage > model.reserved ? usage - model.reserved : 0;
      model.Update();
    } else {
      hardConfigured = 500 + random.Below(2000);
      softConfigured = random.Below(hardConfigured);
      EXPECT_TRUE(budget.SetLimits({.softBytes = softConfigured, .hardBytes = hardConfigured}));
      model.soft = softConfigured;
      model.hard = hardConfigured;
      model.Update();
    }
    const BudgetStats stats = budget.Stats();
    if (stats.reservedBytes != model.reserved || stats.outsideBytes != model.outside ||
        stats.usedBytes != model.reserved + model.outside || stats.peakBytes != model.peak ||
        stats.softBytes != model.soft || stats.hardBytes != model.hard || stats.refused != model.refused ||
        stats.throttles != model.throttles || stats.isThrottled != model.isThrottled) {
      return operation;
    }
  }
  return operations;
}

TEST(BudgetModel, Ba_RandomOperationsAgree) {
  const std::uint64_t operations = Repetitions(5'000'000);
  const std::uint64_t seed = TestSeed(20260401);
  EXPECT_EQ(FirstDisagreement(operations, seed), operations) << "first operation that disagrees";
}

// The comparison must be able to fail.
TEST(BudgetModelCanary, Ba_AModelWithoutHysteresisDisagrees) {
  EXPECT_LT(FirstDisagreement(10'000, 1, Fault::NoHysteresis), 10'000u);
}
TEST(BudgetModelCanary, Ba_AModelThatRefusesAtSoftDisagrees) {
  EXPECT_LT(FirstDisagreement(10'000, 1, Fault::RefuseAtSoft), 10'000u);
}
TEST(BudgetModelCanary, Ba_AModelThatForgetsOutsideBytesDisagrees) {
  EXPECT_LT(FirstDisagreement(10'000, 1, Fault::ForgetOutside), 10'000u);
}

// Threads.

TEST(BudgetThreads, Ba_NeverOverHardAndNoStaleThrottle) {
  Budget budget("shared", {.softBytes = 1000, .hardBytes = 1200});
  std::atomic<bool> isOver{false};
  std::atomic<std::uint64_t> granted{0};
  const auto work = [&](std::uint64_t seed) {
    Random random(seed);
    std::uint64_t mine = 0;
    for (std::uint64_t i = 0; i < Repetitions(300'000); ++i) {
      const std::uint64_t bytes = 1 + random.Below(300);
      if (budget.TryReserve(bytes)) {
        mine += bytes;
        granted.fetch_add(1, std::memory_order_relaxed);
      }
      if (budget.ReservedBytes() > 1200) isOver = true;
      // Each thread alone passes the throttle now and then, so that this does not hang on how they overlap.
      if (mine > 900 || random.Below(4) == 0) {
        budget.Release(mine);
        mine = 0;
      }
    }
    budget.Release(mine);
  };
  std::vector<std::thread> threads;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) threads.emplace_back(work, seed);
  // Limits change meanwhile; hard stays within what the threads check.
  for (std::uint64_t i = 0; i < Repetitions(20'000); ++i) {
    const std::uint64_t soft = 500 + i % 500;
    ASSERT_TRUE(budget.SetLimits({.softBytes = soft, .hardBytes = 1200}));
  }
  ASSERT_TRUE(budget.SetLimits({.softBytes = 1000, .hardBytes = 1200}));
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(isOver);
  EXPECT_GT(granted.load(), 0u);
  EXPECT_EQ(budget.ReservedBytes(), 0u);
  EXPECT_FALSE(budget.IsThrottled()) << "nothing is in use, so the state must have let go";
  EXPECT_GT(budget.Stats().throttles, 0u);
}

#if defined(__SANITIZE_THREAD__)
constexpr bool kSeesRaces = true;
#else
constexpr bool kSeesRaces = false;
#endif

// A budget of one byte lets one thread in at a time. What that thread did must be seen by the next: memory
// that was given back before Release may be used after TryReserve.
std::uint64_t CountInTurns(bool takeTurns) {
  Budget budget("turn", {.softBytes = 1, .hardBytes = 1});
  std::uint64_t plain = 0;
  const auto work = [&] {
    for (int i = 0; i < 5'000; ++i) {
      while (takeTurns && !budget.TryReserve(1)) std::this_thread::yield();
      ++plain;
      if (takeTurns) budget.Release(1);
    }
  };
  std::thread first(work);
  std::thread second(work);
  first.join();
  second.join();
  return plain;
}

TEST(BudgetThreads, Ba_ReleaseHappensBeforeTheReservationItMadeRoomFor) {
  EXPECT_EQ(CountInTurns(true), 10'000u);
}

// So that the silence of ThreadSanitizer above means something.
TEST(BudgetThreadsDeathTest, Ba_APlantedRaceIsFound) {
  if (!kSeesRaces) GTEST_SKIP() << "only ThreadSanitizer sees races";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        static_cast<void>(CountInTurns(false));
        std::exit(0);
      },
      ::testing::ExitedWithCode(66), "ThreadSanitizer: data race");
}

TEST(BudgetDeathTest, Ba_MisuseIsNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Budget budget("b", kSmall);
  EXPECT_TRUE(budget.TryReserve(5));
  EXPECT_DEATH(budget.Release(6), "more is released than was reserved");
  EXPECT_DEATH(Budget("bad", {.softBytes = 2, .hardBytes = 1}), "limits that Budget::Check refuses");
}

TEST(BudgetCharge, Ba_KeepLeavesTheReservation) {
  Budget subsystem("textures", {.softBytes = 100, .hardBytes = 100});
  Budget heap("host", {.softBytes = 100, .hardBytes = 100});
  {
    Result<BudgetCharge> charge = BudgetCharge::Make(subsystem, heap, 60, "a block");
    ASSERT_TRUE(charge);
    charge->Keep();
    EXPECT_EQ(charge->Bytes(), 0u);
  }
  EXPECT_EQ(subsystem.ReservedBytes(), 60u);
  EXPECT_EQ(heap.ReservedBytes(), 60u);
  subsystem.Release(60);
  heap.Release(60);
}

}  // namespace
}  // namespace stadial::runtime::testing
