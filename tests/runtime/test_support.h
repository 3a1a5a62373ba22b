// What the runtime tests share.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <ostream>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/overflow.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/log.h"

namespace stadial::arenas {
inline void PrintTo(AllocationMode mode, std::ostream* out) { *out << ToString(mode); }
}  // namespace stadial::arenas

namespace stadial::runtime::testing {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool kIsSanitized = true;
#else
inline constexpr bool kIsSanitized = false;
#endif

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kSeesRaces = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool kSeesRaces = true;
#else
inline constexpr bool kSeesRaces = false;
#endif
#else
inline constexpr bool kSeesRaces = false;
#endif

// Fewer repetitions under sanitizers, where each costs ten times as much.
constexpr std::uint64_t Repetitions(std::uint64_t count) { return kIsSanitized ? count / 10 : count; }

// The seed of a random test: STADIAL_TEST_SEED, or a fixed one. Printed, so that a failure can be repeated.
inline std::uint64_t TestSeed(std::uint64_t fallback) {
  const char* const text = std::getenv("STADIAL_TEST_SEED");
  const std::uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 0) : fallback;
  std::printf("seed %llu (STADIAL_TEST_SEED)\n", static_cast<unsigned long long>(seed));
  return seed;
}

// SplitMix64: small, fast, the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint64_t Below(std::uint64_t bound) { return Next() % bound; }

 private:
  std::uint64_t state_;
};

// Counts lines and keeps the last; allocates nothing.
struct LogCapture {
  std::uint64_t lines = 0;
  LogLevel lastLevel = LogLevel::Info;
  char last[kLogTextBytesMax] = {};

  LogSink Sink() {
    return {.write =
                [](void* self, LogLevel level, const char* text, std::size_t length) noexcept {
                  auto* const capture = static_cast<LogCapture*>(self);
                  ++capture->lines;
                  capture->lastLevel = level;
                  std::memcpy(capture->last, text, length);
                  capture->last[length] = '\0';
                },
            .userData = this};
  }
};

// An arena over a heap block of its own.
class TestArena {
 public:
  explicit TestArena(std::size_t bytes)
      : memory_(new std::byte[bytes]), arena_("test", memory_.get(), bytes) {}
  arenas::Arena& Get() { return arena_; }

 private:
  std::unique_ptr<std::byte[]> memory_;
  arenas::Arena arena_;
};

// Every claim of "0 allocations" starts with this: without an armed gate it would be empty.
#define STADIAL_ASSERT_ARMED()                                                                 \
  ASSERT_EQ(::stadial::runtime::RunGateSelfTest().state, ::stadial::runtime::GateState::Armed) \
      << "this test proves nothing: " << ::stadial::runtime::RunGateSelfTest().why

// Heap allocations and frees of this thread's code while it lives.
class CountedScope {
 public:
  CountedScope()
      : before_(CurrentThreadCounters()),
        scope_(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "counted test") {}
  std::uint64_t Allocations() const { return CurrentThreadCounters().allocations - before_.allocations; }
  std::uint64_t Frees() const { return CurrentThreadCounters().frees - before_.frees; }

 private:
  GateThreadCounters before_;
  GateScope scope_;
};

}  // namespace stadial::runtime::testing
