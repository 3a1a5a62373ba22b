// An owner that pushes and pops, and thieves, on one deque. The same traffic runs through the real deque and
// through one with a planted race.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "test_support.h"

namespace stadial::runtime::testing {

// Each number names a parcel that its pusher fills with plain stores just before, so that a missing order
// between push and pop or steal is a data race. Returns what went wrong, or nothing.
template <class Deque>
std::string SendThroughDeque(std::uint32_t thiefCount, std::uint32_t count, std::uint64_t seed) {
  TestArena arena(1 << 16);
  Deque deque(arena.Get(), 64);
  struct Parcel {
    std::uint64_t content = 0;
    std::atomic<std::uint32_t> taken{0};
  };
  const auto parcels = std::make_unique<Parcel[]>(count);
  std::atomic<std::uint64_t> torn{0};
  std::atomic<bool> isDone{false};
  const auto take = [&](std::uint32_t number) {
    torn += parcels[number].content != std::uint64_t{number} * 3 + 1;
    parcels[number].taken.fetch_add(1, std::memory_order_relaxed);
  };
  std::vector<std::thread> thieves;
  for (std::uint32_t i = 0; i < thiefCount; ++i) {
    thieves.emplace_back([&] {
      while (!isDone.load(std::memory_order_relaxed)) {
        const std::uint32_t number = deque.TrySteal();
        if (number != Deque::kNothing) {
          take(number);
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  Random random(seed);
  for (std::uint32_t next = 0; next < count;) {
    for (std::uint64_t pushes = random.Below(24); pushes != 0 && next < count; --pushes) {
      parcels[next].content = std::uint64_t{next} * 3 + 1;
      if (!deque.TryPush(next)) break;
      ++next;
    }
    for (std::uint64_t pops = random.Below(24); pops != 0; --pops) {
      const std::uint32_t number = deque.TryPop();
      if (number == Deque::kNothing) break;
      take(number);
    }
    if (random.Below(16) == 0) std::this_thread::yield();
  }
  for (std::uint32_t number; (number = deque.TryPop()) != Deque::kNothing;) take(number);
  isDone = true;
  for (std::thread& thief : thieves) thief.join();
  std::uint64_t wrong = 0;
  for (std::uint32_t i = 0; i < count; ++i) wrong += parcels[i].taken != 1;
  if (wrong != 0) return std::to_string(wrong) + " numbers were not taken exactly once";
  if (torn != 0) return std::to_string(torn) + " parcels arrived torn";
  return {};
}

}  // namespace stadial::runtime::testing
