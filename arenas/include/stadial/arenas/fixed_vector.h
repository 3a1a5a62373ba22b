// FixedVector: a vector whose capacity is set once, in arena memory.
//
// Growth:       never.
// Exhaustion:   PushBack and EmplaceBack assert (in every build); TryPushBack returns false, TryEmplaceBack
// nullptr. Alignment:    alignof(T). Destructors:  none run; T must be storable in an arena. Threads: one at
// a time. Invalidation: elements never move, except by SwapRemove (the last one). All die with the arena's
// rewind. Not
//               copyable (two owners of one storage); a moved-from vector has capacity 0.
// Cost: one compare and a store per push.
#pragma once

#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

template <class T>
class FixedVector {
  static_assert(kArenaStorable<T>, "no destructor runs here, so T must be trivially destructible");

 public:
  using value_type = T;

  FixedVector() noexcept = default;  // capacity 0
  FixedVector(Arena& arena, std::size_t capacity)
      : data_(arena.NewArrayUninitialized<T>(capacity).data()), capacity_(capacity) {}

  FixedVector(FixedVector&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  FixedVector& operator=(FixedVector&& other) noexcept {
    if (this != &other) {
      data_ = std::exchange(other.data_, nullptr);
      size_ = std::exchange(other.size_, 0);
      capacity_ = std::exchange(other.capacity_, 0);
    }
    return *this;
  }
  FixedVector(const FixedVector&) = delete;
  FixedVector& operator=(const FixedVector&) = delete;

  template <class... Args>
  T& EmplaceBack(Args&&... args) {
    STADIAL_ASSERT_COMPARE_ALWAYS(size_, <, capacity_,
                                  "FixedVector is full; raise the capacity it was given");
    return *::new (static_cast<void*>(data_ + size_++)) T(std::forward<Args>(args)...);
  }
  template <class... Args>
  [[nodiscard]] T* TryEmplaceBack(Args&&... args) {
    if (size_ == capacity_) return nullptr;
    return ::new (static_cast<void*>(data_ + size_++)) T(std::forward<Args>(args)...);
  }
  // By value semantics: pushing an element of the vector itself is fine, since elements never move.
  void PushBack(const T& value) { EmplaceBack(value); }
  void PushBack(T&& value) { EmplaceBack(std::move(value)); }
  [[nodiscard]] bool TryPushBack(const T& value) { return TryEmplaceBack(value) != nullptr; }
  [[nodiscard]] bool TryPushBack(T&& value) { return TryEmplaceBack(std::move(value)) != nullptr; }

  void PopBack() noexcept {
    STADIAL_ASSERT_COMPARE(size_, >, std::size_t{0}, "PopBack of an empty FixedVector");
    --size_;
  }
  // The last element takes the removed one's place: O(1), order not kept.
  void SwapRemove(std::size_t index) {
    STADIAL_ASSERT_COMPARE(index, <, size_, "no such element");
    --size_;
    if (index != size_) data_[index] = std::move(data_[size_]);
  }
  void Clear() noexcept { size_ = 0; }
  // Drops the elements from `size` on; `size` must not exceed Size().
  void Truncate(std::size_t size) noexcept {
    STADIAL_ASSERT_COMPARE(size, <=, size_, "Truncate cannot grow");
    size_ = size;
  }

  T& operator[](std::size_t index) noexcept {
    STADIAL_ASSERT_COMPARE(index, <, size_, "no such element");
    return data_[index];
  }
  const T& operator[](std::size_t index) const noexcept {
    STADIAL_ASSERT_COMPARE(index, <, size_, "no such element");
    return data_[index];
  }
  T& Back() noexcept { return (*this)[size_ - 1]; }
  const T& Back() const noexcept { return (*this)[size_ - 1]; }

  std::size_t Size() const noexcept { return size_; }
  std::size_t Capacity() const noexcept { return capacity_; }
  bool IsEmpty() const noexcept { return size_ == 0; }
  bool IsFull() const noexcept { return size_ == capacity_; }
  T* Data() noexcept { return data_; }
  const T* Data() const noexcept { return data_; }
  std::span<T> Span() noexcept { return {data_, size_}; }
  std::span<const T> Span() const noexcept { return {data_, size_}; }
  T* begin() noexcept { return data_; }
  T* end() noexcept { return data_ + size_; }
  const T* begin() const noexcept { return data_; }
  const T* end() const noexcept { return data_ + size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace stadial::arenas
