#include "stadial/runtime/thread_registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

int* Escaped(int* number) {
  asm volatile("" : "+r"(number) : : "memory");  // or the compiler drops the pair
  return number;
}

TEST(ThreadRegistry, R6_RegistersNameRoleAndIndex) {
  EXPECT_EQ(CurrentThreadRole(), ThreadRole::Unregistered);
  EXPECT_STREQ(CurrentThreadName(), "unregistered");
  EXPECT_EQ(CurrentThreadIndex(), kRegisteredThreadsMax);
  {
    const ThreadRegistration registration(ThreadRole::Submit, "pump");
    EXPECT_EQ(CurrentThreadRole(), ThreadRole::Submit);
    EXPECT_STREQ(CurrentThreadName(), "pump");
    EXPECT_EQ(CurrentThreadIndex(), registration.Index());
    EXPECT_EQ(RegisteredThreadCount(), 1u);
  }
  EXPECT_EQ(CurrentThreadRole(), ThreadRole::Unregistered);
  EXPECT_EQ(RegisteredThreadCount(), 0u);
}

TEST(ThreadRegistry, R6_LongNamesAreCut) {
  const std::string longName(100, 'n');
  const ThreadRegistration registration(ThreadRole::Worker, longName.c_str());
  EXPECT_EQ(std::string(CurrentThreadName()), longName.substr(0, kThreadNameBytesMax - 1));
}

TEST(ThreadRegistry, R6_NestedRegistrationsShareOneRecord) {
  const ThreadRegistration outer(ThreadRole::Frame, "outer");
  {
    const ThreadRegistration inner(ThreadRole::Frame, "inner");
    EXPECT_EQ(inner.Index(), outer.Index());
    EXPECT_STREQ(CurrentThreadName(), "outer");
    EXPECT_EQ(RegisteredThreadCount(), 1u);
  }
  EXPECT_EQ(CurrentThreadRole(), ThreadRole::Frame);
}

TEST(ThreadRegistry, R6_TheLowestFreeIndexIsTaken) {
  const ThreadRegistration mine(ThreadRole::Frame, "main");
  ASSERT_EQ(mine.Index(), 0u);
  std::atomic<std::uint32_t> indices[3];
  std::atomic<int> step{0};
  const auto worker = [&](int which, int leaveAt) {
    const ThreadRegistration registration(ThreadRole::Worker, "worker");
    indices[which] = registration.Index();
    step.fetch_add(1);
    while (step.load() < leaveAt) std::this_thread::yield();
  };
  std::thread first(worker, 0, 3);
  while (step.load() < 1) std::this_thread::yield();
  std::thread second(worker, 1, 10);
  while (step.load() < 2) std::this_thread::yield();
  step.fetch_add(1);  // the first leaves
  first.join();
  std::thread third(worker, 2, 10);
  while (step.load() < 4) std::this_thread::yield();
  step.store(10);
  second.join();
  third.join();
  EXPECT_EQ(indices[0].load(), 1u);
  EXPECT_EQ(indices[1].load(), 2u);
  EXPECT_EQ(indices[2].load(), 1u) << "the index that the first thread gave back";
}

TEST(ThreadRegistry, R6_IndicesAreUniqueUnderContention) {
  constexpr std::size_t kThreads = 16;
  std::vector<std::thread> threads;
  std::atomic<std::uint32_t> indices[kThreads];
  std::atomic<std::size_t> arrived{0};
  for (std::size_t which = 0; which < kThreads; ++which) {
    threads.emplace_back([&, which] {
      for (int round = 0; round < 100; ++round) const ThreadRegistration churn(ThreadRole::Worker, "churn");
      const ThreadRegistration registration(ThreadRole::Worker, "unique");
      indices[which] = registration.Index();
      arrived.fetch_add(1);
      while (arrived.load() < kThreads) std::this_thread::yield();
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<std::uint32_t> sorted;
  for (const auto& index : indices) sorted.push_back(index.load());
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(std::adjacent_find(sorted.begin(), sorted.end()), sorted.end());
  EXPECT_EQ(RegisteredThreadCount(), 0u);
}

TEST(ThreadRegistry, R6_CountersStartAtZeroForEachRegistration) {
  STADIAL_ASSERT_ARMED();
  for (int round = 1; round <= 3; ++round) {
    const ThreadRegistration registration(ThreadRole::Frame, "again");
    EXPECT_EQ(CurrentThreadCounters().allocations, 0u) << "round " << round;
    const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "again");
    delete Escaped(new int(round));
    EXPECT_EQ(CurrentThreadCounters().allocations, 1u);
  }
}

class ThreadRegistryDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ThreadRegistryDeathTest, R6_MisuseIsAnAssertion) {
  EXPECT_DEATH(ThreadRegistration(ThreadRole::Unregistered, "x"), "cannot be registered as Unregistered");
  EXPECT_DEATH(
      {
        const ThreadRegistration outer(ThreadRole::Frame, "outer");
        const ThreadRegistration inner(ThreadRole::Worker, "inner");
      },
      "registered already, with another role");
  EXPECT_DEATH(
      {
        auto* const registration = new ThreadRegistration(ThreadRole::Frame, "moved");
        std::thread([=] { delete registration; }).join();
      },
      "must be destroyed on the thread that made it");
}

}  // namespace
}  // namespace stadial::runtime::testing
