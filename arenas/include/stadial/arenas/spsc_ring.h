// SpscRing: a lock-free queue from one producing thread to one consuming thread, in arena memory.
//
// Growth:       never. The capacity is rounded up to a power of two.
// Exhaustion:   TryPush returns false, PushSome pushes what fits, Push asserts (in every build). TryPop of an
//               empty ring returns false.
// Alignment:    alignof(T), at least 64: the elements share no cache line with others'.
// Destructors:  none run; T must be storable in an arena.
// Threads:      exactly one producer (TryPush, Push, PushSome) and one consumer (TryPop, Front, Drop,
//               Consume) at a time; the rest any. What the producer wrote before a push is visible to the
//               consumer after the pop.
// Invalidation: Front stays valid until it is dropped. The ring itself cannot be copied or moved.
//
// Cost: wait-free. Each side keeps its own copy of the other's index and reads the shared one only when the
// copy says full or empty, so that a ring that is neither costs no cache-line transfer but the data's.
// PushSome and Consume move the shared index once for many elements. A Producer keeps the producer's state in
// registers: for a thread that pushes in a loop.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

template <class T>
class SpscRing {
  static_assert(kArenaStorable<T>, "no destructor runs here, so T must be trivially destructible");

 public:
  using value_type = T;

  SpscRing(Arena& arena, std::size_t capacity) {
    STADIAL_ASSERT_COMPARE_ALWAYS(capacity, <=, kCapacityMax, "capacity out of range");
    const std::size_t slots = std::bit_ceil(capacity == 0 ? 1 : capacity);
    // Whole cache lines: two rings of one arena must not meet in one.
    const std::size_t bytes = (slots * sizeof(T) + kLineBytes - 1) & ~(kLineBytes - 1);
    data_ = static_cast<T*>(arena.Allocate(bytes, std::max(alignof(T), kLineBytes)));
    mask_ = slots - 1;
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  [[nodiscard]] bool TryPush(const T& value) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (IsFull(tail, limit_)) [[unlikely]] {
      limit_ = head_.load(std::memory_order_acquire) + mask_ + 1;
      if (IsFull(tail, limit_)) return false;
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

  // Pushes as many of `values`, from the first on, as there is room for; returns how many. The consumer sees
  // all of them at once.
  std::size_t PushSome(std::span<const T> values) { return GetProducer().PushSome(values); }

  // The producing side as an object. While it lives, everything is pushed through it; best kept in a local
  // variable. The first push looks at the consumer's index.
  class Producer {
   public:
    [[nodiscard]] bool TryPush(const T& value) {
      if (!TryStage(value)) return false;
      Publish();
      return true;
    }
    // A push that the consumer sees after the next Publish. What is not published when the Producer dies was
    // never pushed. Saves a store for each element.
    [[nodiscard]] bool TryStage(const T& value) {
      if (IsFull(tail_, limit_)) [[unlikely]] {
        limit_ = ring_->head_.load(std::memory_order_acquire) + mask_ + 1;
        if (IsFull(tail_, limit_)) return false;
      }
      ::new (static_cast<void*>(data_ + (tail_ & mask_))) T(value);
      ++tail_;
      return true;
    }
    // Shows the consumer everything staged so far.
    void Publish() noexcept {
#if STADIAL_ASSERT_LEVEL >= 2
      STADIAL_ASSERT_COMPARE(ring_->tail_.load(std::memory_order_relaxed), ==, published_,
                             "the ring has another producer, or another Producer pushed meanwhile");
      published_ = tail_;
#endif
      ring_->tail_.store(tail_, std::memory_order_release);
    }
    std::size_t PushSome(std::span<const T> values) {
      if (limit_ - tail_ < values.size()) limit_ = ring_->head_.load(std::memory_order_acquire) + mask_ + 1;
      const std::size_t count = std::min(limit_ - tail_, values.size());
      const std::size_t untilWrap = std::min(UntilWrap(tail_, mask_), count);
      std::uninitialized_copy_n(values.data(), untilWrap, data_ + (tail_ & mask_));
      std::uninitialized_copy_n(values.data() + untilWrap, count - untilWrap, data_);
      tail_ += count;
      Publish();
      return count;
    }

   private:
    friend class SpscRing;
    explicit Producer(SpscRing& ring) noexcept
        : ring_(&ring),
          data_(ring.data_),
          mask_(ring.mask_),
          tail_(ring.tail_.load(std::memory_order_relaxed)),
          limit_(tail_) {}  // as if full
    SpscRing* ring_;
    T* data_;
    std::size_t mask_;
    std::size_t tail_;
    std::size_t limit_;
#if STADIAL_ASSERT_LEVEL >= 2
    std::size_t published_ = tail_;
#endif
  };
  [[nodiscard]] Producer GetProducer() noexcept { return Producer(*this); }

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

  // Calls visit(T&) for every element that was pushed before the call, oldest first, but for at most
  // `countMax`, and removes them; returns how many. Only the consumer; the visitor must not pop. The producer
  // gets the room back a quarter of the ring at a time.
  template <class Visit>
  std::size_t Consume(Visit&& visit, std::size_t countMax = std::numeric_limits<std::size_t>::max()) {
    // By value: whatever the visitor writes, these stay in registers.
    T* const data = data_;
    const std::size_t mask = mask_;
    std::size_t head = head_.load(std::memory_order_relaxed);
    tailSeen_ = tail_.load(std::memory_order_acquire);
    const std::size_t count = std::min(tailSeen_ - head, countMax);
    const std::size_t end = head + count;
    while (head != end) {
      const std::size_t run = std::min({end - head, mask / 4 + 1, UntilWrap(head, mask)});
      T* const first = data + (head & mask);
      for (T* element = first; element != first + run; ++element) visit(*element);
      head += run;
      head_.store(head, std::memory_order_release);
    }
    return count;
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
  // Whether a push at `tail` would go beyond the room that the last look at the consumer's index showed. The
  // limit of the ring itself lies behind `tail` once a Producer has pushed.
  static bool IsFull(std::size_t tail, std::size_t limit) noexcept {
    return static_cast<std::ptrdiff_t>(limit - tail) <= 0;
  }
  // Elements from this index on that lie side by side.
  static std::size_t UntilWrap(std::size_t index, std::size_t mask) noexcept {
    return mask + 1 - (index & mask);
  }

  static constexpr std::size_t kLineBytes = 64;
  // Its double, in bytes and rounded up, still fits a size.
  static constexpr std::size_t kCapacityMax = std::numeric_limits<std::size_t>::max() / 4 / sizeof(T);

  T* data_ = nullptr;
  std::size_t mask_ = 0;
  alignas(kLineBytes) std::atomic<std::size_t> tail_{0};  // producer's line
  std::size_t limit_ = 0;
  alignas(kLineBytes) std::atomic<std::size_t> head_{0};  // consumer's line
  std::size_t tailSeen_ = 0;
};

}  // namespace stadial::arenas
