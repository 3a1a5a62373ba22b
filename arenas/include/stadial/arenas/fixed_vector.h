// FixedVector: a vector whose capacity is set once, in arena memory.
//
// Growth:       never.
// Exhaustion:   PushBack, EmplaceBack, Insert, Append and Resize assert (in every build); the Try forms
//               return false or nullptr and change nothing.
// Alignment:    alignof(T).
// Destructors:  none run; T must be storable in an arena.
// Threads:      one at a time; concurrent readers without a writer are fine.
// Invalidation: pushing moves nothing. SwapRemove moves the last element; Insert, Remove and RemoveIf move
//               everything behind the place. All die with the arena's rewind. Not copyable (two owners of one
//               storage); a moved-from vector has capacity 0.
//
// Cost: one compare and a store per push. The bounds are kept as pointers, so that storing an integer element
// cannot be taken for a change of the size and the loop keeps them in registers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
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
      : begin_(arena.NewArrayUninitialized<T>(capacity).data()), end_(begin_), limit_(begin_ + capacity) {}

  FixedVector(FixedVector&& other) noexcept
      : begin_(std::exchange(other.begin_, nullptr)),
        end_(std::exchange(other.end_, nullptr)),
        limit_(std::exchange(other.limit_, nullptr)) {}
  FixedVector& operator=(FixedVector&& other) noexcept {
    FixedVector taken(std::move(other));
    std::swap(begin_, taken.begin_);
    std::swap(end_, taken.end_);
    std::swap(limit_, taken.limit_);
    return *this;
  }
  FixedVector(const FixedVector&) = delete;
  FixedVector& operator=(const FixedVector&) = delete;

  template <class... Args>
  T& EmplaceBack(Args&&... args) {
    if (end_ == limit_) [[unlikely]]
      FailFull(Size(), Capacity(), 1);
    T* const place = ::new (static_cast<void*>(end_)) T(std::forward<Args>(args)...);
    ++end_;
    return *place;
  }
  template <class... Args>
  [[nodiscard]] T* TryEmplaceBack(Args&&... args) {
    if (end_ == limit_) [[unlikely]]
      return nullptr;
    T* const place = ::new (static_cast<void*>(end_)) T(std::forward<Args>(args)...);
    ++end_;
    return place;
  }
  // An element of the vector itself may be pushed: elements do not move.
  void PushBack(const T& value) { EmplaceBack(value); }
  void PushBack(T&& value) { EmplaceBack(std::move(value)); }
  [[nodiscard]] bool TryPushBack(const T& value) { return TryEmplaceBack(value) != nullptr; }
  [[nodiscard]] bool TryPushBack(T&& value) { return TryEmplaceBack(std::move(value)) != nullptr; }

  // All of them or none. They may be elements of this vector.
  void Append(std::span<const T> values) {
    if (!TryAppend(values)) [[unlikely]]
      FailFull(Size(), Capacity(), values.size());
  }
  [[nodiscard]] bool TryAppend(std::span<const T> values) {
    if (values.size() > Capacity() - Size()) return false;
    end_ = std::uninitialized_copy(values.begin(), values.end(), end_);
    return true;
  }

  // Before the element at `index`; index Size() appends. O(Size() - index).
  T& Insert(std::size_t index, T value) {
    T* const place = TryInsert(index, std::move(value));
    if (place == nullptr) [[unlikely]]
      FailFull(Size(), Capacity(), 1);
    return *place;
  }
  [[nodiscard]] T* TryInsert(std::size_t index, T value) {
    STADIAL_ASSERT_COMPARE(index, <=, Size(), "no such place");
    if (end_ == limit_) return nullptr;
    T* const place = begin_ + index;
    if (place == end_) {
      ::new (static_cast<void*>(end_)) T(std::move(value));
    } else {
      ::new (static_cast<void*>(end_)) T(std::move(end_[-1]));
      std::move_backward(place, end_ - 1, end_);
      *place = std::move(value);
    }
    ++end_;
    return place;
  }

  void PopBack() noexcept {
    STADIAL_ASSERT_COMPARE(Size(), >, std::size_t{0}, "PopBack of an empty FixedVector");
    --end_;
  }
  // The last element takes the removed one's place: O(1), order not kept.
  void SwapRemove(std::size_t index) {
    STADIAL_ASSERT_COMPARE(index, <, Size(), "no such element");
    --end_;
    if (begin_ + index != end_) begin_[index] = std::move(*end_);
  }
  // Keeps the order: O(Size() - index).
  void Remove(std::size_t index) {
    STADIAL_ASSERT_COMPARE(index, <, Size(), "no such element");
    std::move(begin_ + index + 1, end_, begin_ + index);
    --end_;
  }
  // Removes every element for which `condition` holds, keeps the order of the rest; returns how many went.
  template <class Condition>
  std::size_t RemoveIf(Condition&& condition) {
    const std::size_t before = Size();
    end_ = std::remove_if(begin_, end_, std::forward<Condition>(condition));
    return before - Size();
  }

  void Clear() noexcept { end_ = begin_; }
  // Drops the elements from `size` on; `size` must not exceed Size().
  void Truncate(std::size_t size) noexcept {
    STADIAL_ASSERT_COMPARE(size, <=, Size(), "Truncate cannot grow");
    end_ = begin_ + size;
  }
  // Truncates, or adds value-initialised elements (zeros for arithmetic types).
  void Resize(std::size_t size) {
    if (!TryResize(size)) [[unlikely]]
      FailFull(Size(), Capacity(), size - Size());
  }
  [[nodiscard]] bool TryResize(std::size_t size) {
    if (size > Capacity()) return false;
    if (begin_ + size > end_) std::uninitialized_value_construct(end_, begin_ + size);
    end_ = begin_ + size;
    return true;
  }

  T& operator[](std::size_t index) noexcept {
    STADIAL_ASSERT_COMPARE(index, <, Size(), "no such element");
    return begin_[index];
  }
  const T& operator[](std::size_t index) const noexcept {
    STADIAL_ASSERT_COMPARE(index, <, Size(), "no such element");
    return begin_[index];
  }
  T& Front() noexcept { return (*this)[0]; }
  const T& Front() const noexcept { return (*this)[0]; }
  T& Back() noexcept { return (*this)[Size() - 1]; }
  const T& Back() const noexcept { return (*this)[Size() - 1]; }

  std::size_t Size() const noexcept { return static_cast<std::size_t>(end_ - begin_); }
  std::size_t Capacity() const noexcept { return static_cast<std::size_t>(limit_ - begin_); }
  bool IsEmpty() const noexcept { return end_ == begin_; }
  bool IsFull() const noexcept { return end_ == limit_; }
  T* Data() noexcept { return begin_; }
  const T* Data() const noexcept { return begin_; }
  std::span<T> Span() noexcept { return {begin_, end_}; }
  std::span<const T> Span() const noexcept { return {begin_, end_}; }
  T* begin() noexcept { return begin_; }
  T* end() noexcept { return end_; }
  const T* begin() const noexcept { return begin_; }
  const T* end() const noexcept { return end_; }

 private:
  // Out of line and given numbers, not the vector: one whose address never leaves a loop lives in registers.
  [[gnu::cold, gnu::noinline]] static void FailFull(std::size_t size, std::size_t capacity,
                                                    std::size_t more) noexcept {
    STADIAL_ASSERT_COMPARE_ALWAYS(size, <, capacity, "FixedVector is full; raise the capacity it was given");
    STADIAL_ASSERT_COMPARE_ALWAYS(more, <=, capacity - size,
                                  "FixedVector has no room for so many; raise the capacity it was given");
  }

  T* begin_ = nullptr;
  T* end_ = nullptr;
  T* limit_ = nullptr;
};

}  // namespace stadial::arenas
