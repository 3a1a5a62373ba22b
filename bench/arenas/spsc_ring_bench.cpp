// Handing values from one thread to another: the lock-free ring, and a ring behind a mutex beside it.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/fixed_ring.h"
#include "stadial/arenas/size_literals.h"
#include "stadial/arenas/spsc_ring.h"

namespace {

using namespace stadial::arenas;

constexpr std::size_t kCapacity = 1024;
constexpr std::uint64_t kMessages = 200'000;

struct Message {
  std::uint64_t value;
  std::uint64_t payload[3];
};

class BenchArena {
 public:
  BenchArena() : memory_(new std::byte[kBytes]), arena("bench", memory_.get(), kBytes) {}

 private:
  static constexpr std::size_t kBytes = 2 * kCapacity * sizeof(Message) + 4_KiB;
  std::unique_ptr<std::byte[]> memory_;

 public:
  Arena arena;
};

class LockedRing {
 public:
  LockedRing(Arena& arena, std::size_t capacity) : ring_(arena, capacity) {}
  bool TryPush(const Message& message) {
    const std::lock_guard lock(mutex_);
    return ring_.TryPushBack(message);
  }
  bool TryPop(Message& message) {
    const std::lock_guard lock(mutex_);
    return ring_.TryPopFront(message);
  }

 private:
  std::mutex mutex_;
  FixedRing<Message> ring_;
};

// One thread alone: push and pop one message.
template <class Ring>
void BM_PushPop(benchmark::State& state) {
  BenchArena memory;
  Ring ring(memory.arena, kCapacity);
  Message message{};
  std::uint64_t checksum = 0;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(ring.TryPush(message));
    benchmark::DoNotOptimize(ring.TryPop(message));
    ++message.value;
  }
  if (ring.TryPush({.value = 7, .payload = {}}) && ring.TryPop(message)) checksum = message.value;
  state.counters["checksum"] = static_cast<double>(checksum);
}

// A producer and a consumer: real time per message through the ring, the producer's thread start excluded.
template <class Ring>
void BM_TwoThreads(benchmark::State& state) {
  BenchArena memory;
  Ring ring(memory.arena, kCapacity);
  std::uint64_t checksum = 0;
  for ([[maybe_unused]] auto _ : state) {
    state.PauseTiming();
    std::atomic<bool> go{false};
    std::thread producer([&] {
      while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
      for (std::uint64_t value = 0; value < kMessages;) {
        if (ring.TryPush({.value = value, .payload = {}})) {
          ++value;
        } else {
          std::this_thread::yield();
        }
      }
    });
    checksum = 0;
    state.ResumeTiming();
    go.store(true, std::memory_order_release);
    for (std::uint64_t received = 0; received < kMessages;) {
      Message message;
      if (!ring.TryPop(message)) {
        std::this_thread::yield();
        continue;
      }
      checksum = checksum * 31 + message.value;
      ++received;
    }
    state.PauseTiming();
    producer.join();
    state.ResumeTiming();
  }
  state.counters["checksum"] = static_cast<double>(checksum % 1'000'000'007);
  state.counters["ns_per_message"] = benchmark::Counter(
      static_cast<double>(kMessages) * 1e-9,
      benchmark::Counter::Flags(benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert));
}

BENCHMARK_TEMPLATE(BM_PushPop, SpscRing<Message>);
BENCHMARK_TEMPLATE(BM_PushPop, LockedRing);
BENCHMARK_TEMPLATE(BM_TwoThreads, SpscRing<Message>)->UseRealTime();
BENCHMARK_TEMPLATE(BM_TwoThreads, LockedRing)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
