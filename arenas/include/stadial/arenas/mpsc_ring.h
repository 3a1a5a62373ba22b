// MpscRing: a bounded queue from any number of producing threads to one consuming thread, in arena memory.
//
// Growth:       never. The capacity is rounded up to a power of two, at least 2.
// Exhaustion:   TryPush and TryPushAll return false, Push asserts (in every build). TryPop of an empty ring
//               returns false.
// Alignment:    alignof(T), at least 8; the slots share no cache line with others' data.
// Destructors:  none run; T must be storable in an arena, and its copy must not throw.
// Threads:      any number of producers (TryPush, Push, TryPushAll), one consumer at a time (TryPop, Front,
//               Drop, Consume); the rest any. What a producer wrote before a push is visible to the consumer
//               after the pop.
// Invalidation: Front stays valid until it is dropped. The ring itself cannot be copied or moved.
//
// Order and fairness. Elements leave in the order in which the producers took their slots, so each producer's
// own keep theirs, and those of one TryPushAll stand together. Producers are lock-free: one can lose the race
// for a slot again and again, but each time to another's push; none has a share of its own, and one that
// fills the ring shuts out the rest. The consumer is wait-free: it never waits for a producer. A producer
// stopped between taking its slot and filling it hides what was pushed behind it until it goes on: TryPop
// then says empty. Where producers must not disturb each other, take MpscEventStream, which gives each its
// own lane.
//
// Cost: a push is one compare-and-swap on a line that all producers share; a pop touches only the element's
// slot and the consumer's own line.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <limits>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

template <class T>
class MpscRing {
  static_assert(kArenaStorable<T>, "no destructor runs here, so T must be trivially destructible");
  static_assert(std::is_nothrow_copy_constructible_v<T>, "a slot that was taken must be filled");

 public:
  using value_type = T;

  MpscRing(Arena& arena, std::size_t capacity) {
    STADIAL_ASSERT_COMPARE_ALWAYS(capacity, <=, kCapacityMax, "capacity out of range");
    const std::size_t slots = std::bit_ceil(capacity < 2 ? 2 : capacity);
    // Whole cache lines, shared with nobody else's data.
    const std::size_t bytes = (slots * sizeof(Slot) + kLineBytes - 1) & ~(kLineBytes - 1);
    slots_ = static_cast<Slot*>(arena.Allocate(bytes, std::max(alignof(Slot), kLineBytes)));
    for (std::size_t index = 0; index < slots; ++index)
      ::new (static_cast<void*>(slots_ + index)) Slot(index);
    mask_ = slots - 1;
  }
  MpscRing(const MpscRing&) = delete;
  MpscRing& operator=(const MpscRing&) = delete;

  [[nodiscard]] bool TryPush(const T& value) noexcept { return TryPushAll({&value, 1}); }
  void Push(const T& value) noexcept {
    STADIAL_ASSERT_ALWAYS(TryPush(value), "MpscRing is full; raise the capacity it was given");
  }
  // All of `values`, side by side, or none.
  [[nodiscard]] bool TryPushAll(std::span<const T> values) noexcept {
    std::size_t tail = 0;
    if (!TryTakeSlots(values.size(), tail)) return false;
    // By value: no store to a slot changes them.
    Slot* const slots = slots_;
    const std::size_t mask = mask_;
    for (const T& value : values) {
      Slot& slot = slots[tail & mask];
      ::new (static_cast<void*>(slot.storage)) T(value);
      slot.turn.store(++tail, std::memory_order_release);
    }
    return true;
  }

  [[nodiscard]] bool TryPop(T& value) {
    T* const front = Front();
    if (front == nullptr) return false;
    value = std::move(*front);
    Drop();
    return true;
  }
  // The oldest element, or nullptr. Only the consumer.
  [[nodiscard]] T* Front() noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    Slot& slot = slots_[head & mask_];
    return slot.turn.load(std::memory_order_acquire) == head + 1 ? slot.Element() : nullptr;
  }
  // Removes what Front returned. Only the consumer.
  void Drop() noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    Slot& slot = slots_[head & mask_];
    STADIAL_ASSERT_COMPARE(slot.turn.load(std::memory_order_relaxed), ==, head + 1, "Drop without a Front");
    slot.turn.store(head + mask_ + 1, std::memory_order_release);
    head_.store(head + 1, std::memory_order_relaxed);
  }
  // Calls visit(T&) for the oldest elements, at most `countMax` and never more than the ring holds, and
  // removes them; returns how many. Only the consumer; the visitor may push, and must not pop.
  template <class Visit>
  std::size_t Consume(Visit&& visit, std::size_t countMax = std::numeric_limits<std::size_t>::max()) {
    Slot* const slots = slots_;
    const std::size_t mask = mask_;
    const std::size_t begin = head_.load(std::memory_order_relaxed);
    std::size_t head = begin;
    for (const std::size_t end = begin + std::min(countMax, mask + 1); head != end;) {
      Slot& slot = slots[head & mask];
      if (slot.turn.load(std::memory_order_acquire) != head + 1) break;
      visit(*slot.Element());
      slot.turn.store(head + mask + 1, std::memory_order_release);
      head_.store(++head, std::memory_order_relaxed);
    }
    return head - begin;
  }

  // Slots taken and not dropped yet. A snapshot: exact when all sides are still.
  std::size_t Size() const noexcept {
    const std::size_t head = head_.load(std::memory_order_acquire);
    const std::size_t size = tail_.load(std::memory_order_acquire) - head;
    return size > mask_ + 1 ? mask_ + 1 : size;
  }
  std::size_t Capacity() const noexcept { return mask_ + 1; }

 private:
  // turn == position: free for the push of that position; position + 1: filled by it. The pop of the position
  // makes it free for the position one round later.
  struct Slot {
    explicit Slot(std::size_t index) noexcept : turn(index) {}
    T* Element() noexcept { return std::launder(reinterpret_cast<T*>(storage)); }
    std::atomic<std::size_t> turn;
    alignas(T) std::byte storage[sizeof(T)];
  };

  // Takes `count` slots in a row from `tail` on. The consumer frees slots in order, so if the last of them is
  // free, all are.
  bool TryTakeSlots(std::size_t count, std::size_t& tail) noexcept {
    if (count == 0) return true;
    if (count > Capacity()) return false;
    tail = tail_.load(std::memory_order_relaxed);
    for (;;) {
      const std::size_t last = tail + count - 1;
      const std::size_t turn = slots_[last & mask_].turn.load(std::memory_order_acquire);
      if (turn == last) {
        if (tail_.compare_exchange_weak(tail, tail + count, std::memory_order_relaxed)) return true;
        continue;  // `tail` is what another producer made it
      }
      // Of an earlier round: full, unless that was read before others moved on. Of a later one: they did.
      const std::size_t now = tail_.load(std::memory_order_relaxed);
      if (now == tail) return false;
      tail = now;
    }
  }

  static constexpr std::size_t kLineBytes = 64;
  // Its double, in bytes and rounded up, still fits a size.
  static constexpr std::size_t kCapacityMax = std::numeric_limits<std::size_t>::max() / 4 / sizeof(Slot);

  Slot* slots_ = nullptr;
  std::size_t mask_ = 0;
  alignas(kLineBytes) std::atomic<std::size_t> tail_{0};  // the producers' line
  alignas(kLineBytes) std::atomic<std::size_t> head_{0};  // the consumer's line
};

}  // namespace stadial::arenas
