// FixedRing: a queue of any fixed capacity, open at both ends (a deque), in arena memory.
//
// Growth:       never.
// Exhaustion:   PushBack and PushFront assert (in every build); the Try forms return false; DiscardPushBack
//               drops the oldest in O(1). PopFront and PopBack of an empty ring assert; the Try forms return
//               false and leave the value as it was.
// Alignment:    alignof(T).
// Destructors:  none run; T must be storable in an arena.
// Threads:      one at a time; between two threads take SpscRing.
// Invalidation: an element stays in place until it is popped and overwritten. Not copyable; a moved-from ring
//               has capacity 0. Iterators count places from the front: a pop at the front moves them on.
//
// Cost: one compare for the limit and one for the wrap; no division, so any capacity is as good as another.
#pragma once

#include <cstddef>
#include <iterator>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

template <class T>
class FixedRing {
  static_assert(kArenaStorable<T>, "no destructor runs here, so T must be trivially destructible");

  template <class Ring, class Value>
  class BasicIterator;

 public:
  using value_type = T;
  using iterator = BasicIterator<FixedRing, T>;
  using const_iterator = BasicIterator<const FixedRing, const T>;

  FixedRing() noexcept = default;  // capacity 0
  FixedRing(Arena& arena, std::size_t capacity)
      : data_(arena.NewArrayUninitialized<T>(capacity).data()), capacity_(capacity) {}

  FixedRing(FixedRing&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        head_(std::exchange(other.head_, 0)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  FixedRing& operator=(FixedRing&& other) noexcept {
    FixedRing taken(std::move(other));
    std::swap(data_, taken.data_);
    std::swap(head_, taken.head_);
    std::swap(size_, taken.size_);
    std::swap(capacity_, taken.capacity_);
    return *this;
  }
  FixedRing(const FixedRing&) = delete;
  FixedRing& operator=(const FixedRing&) = delete;

  void PushBack(const T& value) {
    STADIAL_ASSERT_COMPARE_ALWAYS(size_, <, capacity_, "FixedRing is full; raise the capacity it was given");
    ::new (static_cast<void*>(data_ + Wrap(size_))) T(value);
    ++size_;
  }
  [[nodiscard]] bool TryPushBack(const T& value) {
    if (size_ == capacity_) return false;
    PushBack(value);
    return true;
  }
  void PushFront(const T& value) {
    STADIAL_ASSERT_COMPARE_ALWAYS(size_, <, capacity_, "FixedRing is full; raise the capacity it was given");
    const std::size_t head = Before(head_);
    ::new (static_cast<void*>(data_ + head)) T(value);
    head_ = head;
    ++size_;
  }
  [[nodiscard]] bool TryPushFront(const T& value) {
    if (size_ == capacity_) return false;
    PushFront(value);
    return true;
  }
  // AllocationMode::Discard: a full ring drops its oldest element for the new one. Returns whether it did.
  // `value` may be an element of this ring, the dropped one too.
  bool DiscardPushBack(T value) {
    STADIAL_ASSERT_COMPARE_ALWAYS(capacity_, >, std::size_t{0}, "a FixedRing of capacity 0 holds nothing");
    const bool drops = size_ == capacity_;
    if (drops) DropFront();
    PushBack(value);
    return drops;
  }

  T PopFront() {
    STADIAL_ASSERT_COMPARE_ALWAYS(size_, >, std::size_t{0}, "PopFront of an empty FixedRing");
    T value = std::move(data_[head_]);
    DropFront();
    return value;
  }
  [[nodiscard]] bool TryPopFront(T& value) {
    if (size_ == 0) return false;
    value = PopFront();
    return true;
  }
  T PopBack() {
    STADIAL_ASSERT_COMPARE_ALWAYS(size_, >, std::size_t{0}, "PopBack of an empty FixedRing");
    --size_;
    return std::move(data_[Wrap(size_)]);
  }
  [[nodiscard]] bool TryPopBack(T& value) {
    if (size_ == 0) return false;
    value = PopBack();
    return true;
  }

  T& Front() noexcept { return (*this)[0]; }
  const T& Front() const noexcept { return (*this)[0]; }
  T& Back() noexcept { return (*this)[size_ - 1]; }
  const T& Back() const noexcept { return (*this)[size_ - 1]; }
  // The element `index` places behind the front.
  T& operator[](std::size_t index) noexcept {
    STADIAL_ASSERT_COMPARE(index, <, size_, "no such element");
    return data_[Wrap(index)];
  }
  const T& operator[](std::size_t index) const noexcept {
    STADIAL_ASSERT_COMPARE(index, <, size_, "no such element");
    return data_[Wrap(index)];
  }

  // The elements in order, as at most two contiguous runs: first the one that starts at the front.
  struct Runs {
    std::span<const T> first;
    std::span<const T> second;
  };
  Runs GetRuns() const noexcept {
    const std::size_t untilEnd = capacity_ - head_;
    if (size_ <= untilEnd) return {{data_ + head_, size_}, {}};
    return {{data_ + head_, untilEnd}, {data_, size_ - untilEnd}};
  }
  iterator begin() noexcept { return {this, 0}; }
  iterator end() noexcept { return {this, size_}; }
  const_iterator begin() const noexcept { return {this, 0}; }
  const_iterator end() const noexcept { return {this, size_}; }

  std::size_t Size() const noexcept { return size_; }
  std::size_t Capacity() const noexcept { return capacity_; }
  bool IsEmpty() const noexcept { return size_ == 0; }
  bool IsFull() const noexcept { return size_ == capacity_; }
  void Clear() noexcept { head_ = size_ = 0; }

 private:
  template <class Ring, class Value>
  class BasicIterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = Value*;
    using reference = Value&;

    BasicIterator() noexcept = default;
    BasicIterator(Ring* ring, std::size_t index) noexcept : ring_(ring), index_(index) {}
    Value& operator*() const noexcept { return (*ring_)[index_]; }
    Value* operator->() const noexcept { return &(*ring_)[index_]; }
    BasicIterator& operator++() noexcept {
      ++index_;
      return *this;
    }
    BasicIterator operator++(int) noexcept { return {ring_, index_++}; }
    friend bool operator==(const BasicIterator&, const BasicIterator&) = default;

   private:
    Ring* ring_ = nullptr;
    std::size_t index_ = 0;
  };

  // `offset` <= capacity_, and head_ < capacity_, so one subtraction is enough.
  std::size_t Wrap(std::size_t offset) const noexcept {
    const std::size_t index = head_ + offset;
    return index >= capacity_ ? index - capacity_ : index;
  }
  std::size_t Before(std::size_t index) const noexcept { return index == 0 ? capacity_ - 1 : index - 1; }
  void DropFront() noexcept {
    head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
    --size_;
  }

  T* data_ = nullptr;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace stadial::arenas
