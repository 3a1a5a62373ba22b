// FixedPool: slots for objects that are made and given back one by one, in any order, in arena memory.
//
// Growth:       never.
// Exhaustion:   New asserts (in every build); TryNew returns nullptr.
// Alignment:    alignof(T).
// Destructors:  none run; T must be storable in an arena.
// Threads:      one at a time.
// Invalidation: objects never move; T* lives until its Delete, after which the bytes are hostile in checked
//               builds (poison.h). Not copyable; a moved-from pool has capacity 0.
//
// A T* does not show its age: where pointers outlive their objects take a SlotMap, whose handles do. What
// Delete can tell, it asserts: an address of no slot of this pool, one inside an object, an object given back
// twice.
// Cost: New and Delete O(1); the most recently freed slot is used first. Beside each slot stand a byte that
// says whether it is live and 4 bytes for its number among the free, so nothing of the pool's own lies in
// freed memory. ForEach and Clear are O(slots used).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

template <class T>
class FixedPool {
  static_assert(kArenaStorable<T>, "no destructor runs here, so T must be trivially destructible");

 public:
  FixedPool() noexcept = default;  // capacity 0
  FixedPool(Arena& arena, std::size_t capacity) {
    STADIAL_ASSERT_COMPARE_ALWAYS(capacity, <=, std::size_t{UINT32_MAX}, "a FixedPool holds fewer than 2^32");
    slots_ = arena.NewArrayUninitialized<Slot>(capacity).data();
    live_ = arena.NewArrayUninitialized<bool>(capacity).data();
    free_ = arena.NewArrayUninitialized<Number>(capacity).data();
    capacity_ = static_cast<std::uint32_t>(capacity);
    PoisonFresh(slots_, capacity * sizeof(Slot));
  }

  FixedPool(FixedPool&& other) noexcept { Swap(other); }
  FixedPool& operator=(FixedPool&& other) noexcept {
    FixedPool taken(std::move(other));
    Swap(taken);
    return *this;
  }
  FixedPool(const FixedPool&) = delete;
  FixedPool& operator=(const FixedPool&) = delete;

  template <class... Args>
  T* New(Args&&... args) {
    T* const object = TryNew(std::forward<Args>(args)...);
    if (object == nullptr) [[unlikely]] {
      STADIAL_ASSERT_COMPARE_ALWAYS(Size(), <, Capacity(),
                                    "FixedPool is full; raise the capacity it was given");
    }
    return object;
  }
  template <class... Args>
  [[nodiscard]] T* TryNew(Args&&... args) {
    std::uint32_t index = touched_;
    if (freeCount_ != 0) [[likely]] {
      index = static_cast<std::uint32_t>(free_[--freeCount_]);
    } else {
      if (touched_ == capacity_) [[unlikely]]
        return nullptr;
      ++touched_;
    }
    live_[index] = true;
    LiftPoison(slots_[index].storage, sizeof(T));
    return ::new (static_cast<void*>(slots_[index].storage)) T(std::forward<Args>(args)...);
  }

  // Gives a live object of this pool back; nullptr is allowed and does nothing.
  void Delete(T* object) noexcept {
    if (object == nullptr) return;
    const auto index = static_cast<std::uint32_t>(IndexOf(object));
    STADIAL_ASSERT(live_[index], "the object was given back to this FixedPool before");
    PoisonReturned(object, sizeof(T));
    live_[index] = false;
    free_[freeCount_++] = static_cast<Number>(index);
  }

  // Whether the address is that of a live object of this pool.
  bool IsLive(const T* object) const noexcept {
    const std::size_t index = SlotOf(Offset(object));
    return index < touched_ && live_[index];
  }
  // The number of the object's slot: below Capacity(), and the same until its Delete.
  std::size_t IndexOf(const T* object) const noexcept {
    const std::size_t index = SlotOf(Offset(object));
#if STADIAL_ASSERT_LEVEL >= 1
    if (index >= touched_) [[unlikely]]
      FailForeign(Offset(object), touched_);
#endif
    return index;
  }

  // Gives every object back.
  void Clear() noexcept {
    PoisonReturned(slots_, touched_ * sizeof(Slot));
    touched_ = freeCount_ = 0;
  }

  // Calls visit(T&) for every live object, by ascending slot. The visitor may delete any, and may make new
  // ones: those further on are visited too.
  template <class Visit>
  void ForEach(Visit&& visit) {
    for (std::uint32_t index = 0; index < touched_; ++index) {
      if (live_[index]) visit(*At(index));
    }
  }
  template <class Visit>
  void ForEach(Visit&& visit) const {
    for (std::uint32_t index = 0; index < touched_; ++index) {
      if (live_[index]) visit(static_cast<const T&>(*At(index)));
    }
  }

  std::size_t Size() const noexcept { return touched_ - freeCount_; }
  std::size_t Capacity() const noexcept { return capacity_; }
  bool IsEmpty() const noexcept { return Size() == 0; }
  bool IsFull() const noexcept { return Size() == capacity_; }

 private:
  // A type of its own: the compiler knows then that storing one changes no other member, and holds those in
  // registers.
  enum class Number : std::uint32_t {};
  struct Slot {
    alignas(T) std::byte storage[sizeof(T)];
  };

  // The number of the slot that begins `offset` bytes from the first, or, where none does, a number beyond
  // every slot's. For one compare and no division: what is a whole multiple of the size divides by
  // multiplying with the inverse of the size's odd factor and rotating its powers of two out; all else comes
  // out larger than the largest multiple's quotient (Warren, Hacker's Delight, 10-17).
  static constexpr std::size_t SlotOf(std::size_t offset) noexcept {
    constexpr int kTwos = std::countr_zero(sizeof(Slot));
    constexpr std::size_t kInverse = InverseOfOdd(sizeof(Slot) >> kTwos);
    return std::rotr(offset * kInverse, kTwos);
  }
  // Modulo 2^64, by Newton: three bits are right at first, and twice as many after each step.
  static constexpr std::size_t InverseOfOdd(std::size_t odd) noexcept {
    std::size_t inverse = odd;
    for (int step = 0; step < 5; ++step) inverse *= 2 - odd * inverse;
    return inverse;
  }
  // Given numbers, not the pool, which may then live in registers.
  [[gnu::cold, gnu::noinline]] static void FailForeign(std::size_t offset, std::uint32_t touched) noexcept {
    STADIAL_ASSERT_COMPARE_ALWAYS(offset / sizeof(Slot), <, touched,
                                  "the address lies outside this FixedPool");
    STADIAL_ASSERT_COMPARE_ALWAYS(offset % sizeof(Slot), ==, std::size_t{0},
                                  "no object of this FixedPool starts here");
  }

  std::size_t Offset(const T* object) const noexcept {
    return reinterpret_cast<std::uintptr_t>(object) - reinterpret_cast<std::uintptr_t>(slots_);
  }
  T* At(std::size_t index) const noexcept {
    return std::launder(reinterpret_cast<T*>(slots_[index].storage));
  }
  void Swap(FixedPool& other) noexcept {
    std::swap(slots_, other.slots_);
    std::swap(live_, other.live_);
    std::swap(free_, other.free_);
    std::swap(capacity_, other.capacity_);
    std::swap(touched_, other.touched_);
    std::swap(freeCount_, other.freeCount_);
  }

  Slot* slots_ = nullptr;
  bool* live_ = nullptr;    // of each slot that was ever used
  Number* free_ = nullptr;  // of those, the free ones, the last freed at the end
  std::uint32_t capacity_ = 0;
  std::uint32_t touched_ = 0;  // slots from here on were never used
  std::uint32_t freeCount_ = 0;
};

}  // namespace stadial::arenas
