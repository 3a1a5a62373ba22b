#include "stadial/runtime/wait_on_word.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "stadial/runtime/clock.h"

namespace stadial::runtime {
namespace {

TEST(WaitOnWord, ReturnsAtOnceWhenTheWordIsAnother) {
  const std::atomic<std::uint32_t> word{1};
  WaitOnWord(word, 0, kNoDeadline);
}

TEST(WaitOnWord, ReturnsAtItsDeadline) {
  const std::atomic<std::uint32_t> word{0};
  const std::uint64_t deadlineNs = NowNs() + 2'000'000;
  while (NowNs() < deadlineNs) WaitOnWord(word, 0, deadlineNs);
}

TEST(WaitOnWord, EveryWaiterIsWoken) {
  std::atomic<std::uint32_t> word{0};
  std::atomic<std::uint32_t> woken{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] {
      while (word.load() == 0) WaitOnWord(word, 0, kNoDeadline);
      ++woken;
    });
  }
  word = 1;
  WakeWord(word);
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(woken, 4u);
}

// As many as asked for: the second sleeps on until it is woken too.
TEST(WakeWord, WakesOneAtATime) {
  std::atomic<std::uint32_t> word{0};
  std::vector<std::thread> waiters;
  std::atomic<std::uint32_t> returned{0};
  for (int i = 0; i < 2; ++i) {
    waiters.emplace_back([&] {
      while (word.load() == 0) WaitOnWord(word, 0, kNoDeadline);
      ++returned;
    });
  }
  word = 1;
  while (returned != 2) WakeWord(word, 1);
  for (std::thread& waiter : waiters) waiter.join();
}

}  // namespace
}  // namespace stadial::runtime
