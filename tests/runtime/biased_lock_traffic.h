// Threads that take turns in a lock, for the test of the lock and for that of the race planted in it.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace stadial::runtime::testing {

// One thread takes `turns` turns and becomes the favourite, again and again; `others` threads come in
// between. Returns what a plain counter says that every turn increments.
template <class Lock>
std::uint64_t TakeTurns(std::uint32_t others, std::uint64_t turns) {
  Lock lock;
  std::uint64_t counter = 0;
  std::atomic<std::uint32_t> ready{0};
  std::vector<std::thread> threads;
  for (std::uint32_t which = 0; which <= others; ++which) {
    threads.emplace_back([&, which] {
      ready.fetch_add(1);
      while (ready.load() != others + 1) std::this_thread::yield();
      const std::uint64_t mine = which == 0 ? turns : turns / (Lock::kTurnsBeforeBias * 2);
      for (std::uint64_t turn = 0; turn < mine; ++turn) {
        {
          const typename Lock::Guard guard(lock);
          ++counter;
        }
        if (which != 0) std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return counter;
}

}  // namespace stadial::runtime::testing
