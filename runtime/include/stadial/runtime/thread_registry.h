// The registry of the program's threads: which role a thread plays, its lane index, its name in reports, and
// where its stack lies. It is a fixed table of kRegisteredThreadsMax records in static memory, without
// locks, so that it works before main, in a forked child, and from inside malloc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/runtime/gate_state.h"

namespace stadial::runtime {

// 64 lanes are the design's ceiling; four times that leaves room for helper threads of the game.
inline constexpr std::uint32_t kRegisteredThreadsMax = 256;
inline constexpr std::size_t kThreadNameBytesMax = 32;

const char* ToString(ThreadRole role) noexcept;

// Registers the calling thread until destroyed. Construct and destroy on the same thread (asserted). Nested
// registrations of one thread share the outermost one's index, name and counters; their role must agree
// (asserted). The index is the lowest free one, so lanes can be addressed by it; beyond
// kRegisteredThreadsMax: assertion. Cost: microseconds, and the C library may allocate while it looks up the
// stack: register before frames run.
class ThreadRegistration {
 public:
  // `name` is copied and cut to kThreadNameBytesMax - 1 characters. `role` must not be Unregistered
  // (asserted).
  ThreadRegistration(ThreadRole role, const char* name) noexcept;
  ~ThreadRegistration();
  ThreadRegistration(const ThreadRegistration&) = delete;
  ThreadRegistration& operator=(const ThreadRegistration&) = delete;

  std::uint32_t Index() const noexcept { return index_; }

 private:
  detail::GateThreadSlot* slot_;
  std::uint32_t index_;
};

// The calling thread's role, name and index. Unregistered threads: Unregistered, "unregistered",
// kRegisteredThreadsMax. The name stays valid while the thread is registered.
ThreadRole CurrentThreadRole() noexcept;
const char* CurrentThreadName() noexcept;
std::uint32_t CurrentThreadIndex() noexcept;

// Threads registered at this moment. A forked child inherits the records of threads that it does not have.
std::uint32_t RegisteredThreadCount() noexcept;

}  // namespace stadial::runtime
