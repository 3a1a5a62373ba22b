// FixedRing: a first-in first-out queue of any fixed capacity, in arena memory.
//
// Growth:       never.
// Exhaustion:   PushBack asserts (in every build); TryPushBack returns false. PopFront of an empty ring
// asserts;
//               TryPopFront returns false.
// Alignment:    alignof(T).
// Destructors:  none run; T must be storable in an arena.
// Threads:      one at a time; between two threads take SpscRing.
// Invalidation: an element stays in place until it is popped and overwritten. Not copyable; a moved-from ring
// has
//               capacity 0.
// Cost: one compare for the limit and one for the wrap.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

template <class T>
class FixedRing {
  static_assert(kArenaStorable<T>, "no destructor runs here, so T must be trivially destructible");

 public:
  using value_type = T;

  FixedRing() noexcept = default;  // capacity 0
  FixedRing(Arena& arena, std::size_t capacity)
      : data_(arena.NewArrayUninitialized<T>(capacity).data()), capacity_(capacity) {}

  FixedRing(FixedRing&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        head_(std::exchange(other.head_, 0)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  FixedRing& operator=(FixedRing&& other) noexcept {
    if (this != &other) {
      data_ = std::exchange(other.data_, nullptr);
      head_ = std::exchange(other.head_, 0);
      size_ = std::exchange(other.size_, 0);
      capacity_ = std::exchange(other.capacity_, 0);
    }
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

  T PopFront() {
    STADIAL_ASSERT_COMPARE_ALWAYS(size_, >, std::size_t{0}, "PopFront of an empty FixedRing");
    T value = std::move(data_[head_]);
    head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
    --size_;
    return value;
  }
  [[nodiscard]] bool TryPopFront(T& value) {
    if (size_ == 0) return false;
    value = PopFront();
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

  std::size_t Size() const noexcept { return size_; }
  std::size_t Capacity() const noexcept { return capacity_; }
  bool IsEmpty() const noexcept { return size_ == 0; }
  bool IsFull() const noexcept { return size_ == capacity_; }
  void Clear() noexcept { head_ = size_ = 0; }

 private:
  // `offset` <= capacity_, and head_ < capacity_, so one subtraction is enough.
  std::size_t Wrap(std::size_t offset) const noexcept {
    const std::size_t index = head_ + offset;
    return index >= capacity_ ? index - capacity_ : index;
  }

  T* data_ = nullptr;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace stadial::arenas
