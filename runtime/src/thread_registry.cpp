#include "stadial/runtime/thread_registry.h"

#include <algorithm>
#include <cstring>

#include "gate_stack.h"
#include "stadial/arenas/assert.h"
#include "thread_registry_table.h"

namespace stadial::runtime {
namespace detail {
namespace {

constinit GateThreadSlot threadSlots[kRegisteredThreadsMax];

// Returns the lowest free record, now taken; null when all are.
GateThreadSlot* ClaimSlot() noexcept {
  for (GateThreadSlot& slot : threadSlots) {
    std::uint32_t expected = 0;
    if (slot.used.load(std::memory_order_relaxed) == 0 &&
        slot.used.compare_exchange_strong(expected, 1, std::memory_order_acq_rel)) {
      return &slot;
    }
  }
  return nullptr;
}

}  // namespace

GateThreadSlot* ThreadSlots() noexcept { return threadSlots; }

}  // namespace detail

const char* ToString(ThreadRole role) noexcept {
  switch (role) {
    case ThreadRole::Unregistered:
      return "Unregistered";
    case ThreadRole::Frame:
      return "Frame";
    case ThreadRole::Worker:
      return "Worker";
    case ThreadRole::Submit:
      return "Submit";
  }
  return "Unknown";
}

ThreadRegistration::ThreadRegistration(ThreadRole role, const char* name) noexcept {
  using namespace detail;
  STADIAL_ASSERT_ALWAYS(role != ThreadRole::Unregistered, "a thread cannot be registered as Unregistered");
  GateThreadState& thread = gateThread;
  if (thread.slot == nullptr) {
    GateThreadSlot* const slot = ClaimSlot();
    STADIAL_ASSERT_ALWAYS(slot != nullptr, "more than kRegisteredThreadsMax threads are registered at once");
    const StackBounds stack = QueryCurrentStackBounds();
    slot->stackLow = stack.low;
    slot->stackHigh = stack.high;
    slot->owner = &thread;
    const std::size_t length = std::min(std::strlen(name), kThreadNameBytesMax - 1);
    std::memcpy(slot->name, name, length);
    slot->name[length] = '\0';
    slot->baseline = GateThreadCounters{};
    AddTo(slot->baseline, slot->tallies[static_cast<std::size_t>(role)]);
    slot->role.store(role, std::memory_order_release);
    thread.tally = &slot->tallies[static_cast<std::size_t>(role)];
    thread.slot = slot;
  }
  STADIAL_ASSERT_COMPARE_ALWAYS(thread.slot->role.load(std::memory_order_relaxed), ==, role,
                                "the thread is registered already, with another role");
  ++thread.registrations;
  slot_ = thread.slot;
  index_ = static_cast<std::uint32_t>(slot_ - threadSlots);
}

ThreadRegistration::~ThreadRegistration() {
  using namespace detail;
  GateThreadState& thread = gateThread;
  STADIAL_ASSERT_ALWAYS(slot_->owner == &thread,
                        "a ThreadRegistration must be destroyed on the thread that made it");
  if (--thread.registrations != 0) return;
  thread.slot = nullptr;
  thread.tally = nullptr;
  slot_->owner = nullptr;
  slot_->role.store(ThreadRole::Unregistered, std::memory_order_relaxed);
  slot_->used.store(0, std::memory_order_release);
}

ThreadRole CurrentThreadRole() noexcept {
  const detail::GateThreadSlot* const slot = detail::gateThread.slot;
  return slot == nullptr ? ThreadRole::Unregistered : slot->role.load(std::memory_order_relaxed);
}

const char* CurrentThreadName() noexcept {
  const detail::GateThreadSlot* const slot = detail::gateThread.slot;
  return slot == nullptr ? "unregistered" : slot->name;
}

std::uint32_t CurrentThreadIndex() noexcept {
  const detail::GateThreadSlot* const slot = detail::gateThread.slot;
  return slot == nullptr ? kRegisteredThreadsMax : static_cast<std::uint32_t>(slot - detail::ThreadSlots());
}

std::uint32_t RegisteredThreadCount() noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t index = 0; index < kRegisteredThreadsMax; ++index) {
    count += detail::ThreadSlots()[index].used.load(std::memory_order_acquire);
  }
  return count;
}

}  // namespace stadial::runtime
