// SpscRing: a lock-free queue from one producing thread to one consuming thread, in arena memory.
//
// Growth:       never. The capacity is rounded up to a power of two.
// Exhaustion:   TryPush returns false, Push asserts (in every build). TryPop of an empty ring returns false.
// Alignment:    alignof(T).
// Destructors:  none run; T must be storable in an arena.
// Threads:      exactly one producer (TryPush, Push) and one consumer (TryPop, Front, Drop) at a time; the
// rest any.
//               What the producer wrote before a push is visible to the consumer after the pop.
// Invalidation: Front stays valid until it is dropped. The ring itself cannot be copied or moved.
//
// Cost: wait-free. Each side keeps its own copy of the other's index and reads the shared one only when the
// copy says full or empty, so that a ring that is neither costs no cache-line transfer but the data's.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <new>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

template <class T>
class SpscRing {
  static_assert(kArenaStorable<T>, "no destructor runs here, so T must be trivially destructible");

 public:
  using value_type = T;

  SpscRing(Arena& arena, std::size_t capacity) {
    STADIAL_ASSERT_COMPARE_ALWAYS(capacity, <=, std::size_t{1} << 62, "capacity out of range");
    const std::size_t slots = std::bit_ceil(capacity == 0 ? 1 : capacity);
    data_ = arena.NewArrayUninitialized<T>(slots).data();
    mask_ = slots - 1;
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  [[nodiscard]] bool TryPush(const T& value) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - headSeen_ > mask_) {
      headSeen_ = head_.load(std::memory_order_acquire);
      if (tail - headSeen_ > mask_) return false;
    }
    ::new (static_cast<void*>(data_ + (tail & mask_))) T(value);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  void Push(const T& value) {
    if (TryPush(value)) [[likely]]
      return;
    STADIAL_ASSERT_COMPARE_ALWAYS(Size(), <, Capacity(), "SpscRing is full; raise the capacity it was given");
    // The consumer made room between the two looks: this thread is the only producer, so one more push fits.
    STADIAL_ASSERT_ALWAYS(TryPush(value), "SpscRing is full; raise the capacity it was given");
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
    if (head == tailSeen_) {
      tailSeen_ = tail_.load(std::memory_order_acquire);
      if (head == tailSeen_) return nullptr;
    }
    return data_ + (head & mask_);
  }
  // Removes what Front returned. Only the consumer.
  void Drop() noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    STADIAL_ASSERT_COMPARE(head, !=, tailSeen_, "Drop without a Front");
    head_.store(head + 1, std::memory_order_release);
  }

  // A snapshot: exact when both sides are still.
  std::size_t Size() const noexcept {
    const std::size_t head = head_.load(std::memory_order_acquire);
    const std::size_t tail = tail_.load(std::memory_order_acquire);
    const std::size_t size = tail - head;
    return size > mask_ + 1 ? mask_ + 1 : size;
  }
  std::size_t Capacity() const noexcept { return mask_ + 1; }

 private:
  T* data_ = nullptr;
  std::size_t mask_ = 0;
  alignas(64) std::atomic<std::size_t> tail_{0};  // producer's line
  std::size_t headSeen_ = 0;
  alignas(64) std::atomic<std::size_t> head_{0};  // consumer's line
  std::size_t tailSeen_ = 0;
};

}  // namespace stadial::arenas
