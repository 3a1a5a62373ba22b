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
// Cost: New and Delete O(1); the most recently freed slot is used first. Beside each slot stand 4 bytes that
// say whether it is live, so nothing of the pool's own lies in freed memory. ForEach and Clear are O(slots
// used).
#pragma once

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
    STADIAL_ASSERT_COMPARE_ALWAYS(capacity, <, std::size_t{kLive}, "a FixedPool holds fewer than 2^32 - 2");
    slots_ = arena.NewArrayUninitialized<Slot>(capacity).data();
    nextFree_ = arena.NewArrayUninitialized<std::uint32_t>(capacity).data();
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
    std::uint32_t index = freeHead_;
    if (index != kNoSlot) {
      freeHead_ = nextFree_[index];
    } else {
      if (touched_ == capacity_) return nullptr;
      index = touched_++;
    }
    nextFree_[index] = kLive;
    ++size_;
    LiftPoison(slots_[index].storage, sizeof(T));
    return ::new (static_cast<void*>(slots_[index].storage)) T(std::forward<Args>(args)...);
  }

  // Gives a live object of this pool back; nullptr is allowed and does nothing.
  void Delete(T* object) noexcept {
    if (object == nullptr) return;
    const std::size_t index = IndexOf(object);
    STADIAL_ASSERT_COMPARE(nextFree_[index], ==, kLive, "the object was given back to this FixedPool before");
    PoisonReturned(object, sizeof(T));
    nextFree_[index] = freeHead_;
    freeHead_ = static_cast<std::uint32_t>(index);
    --size_;
  }

  // Whether the address is that of a live object of this pool.
  bool IsLive(const T* object) const noexcept {
    const std::size_t offset = Offset(object);
    return offset / sizeof(Slot) < touched_ && offset % sizeof(Slot) == 0 &&
           nextFree_[offset / sizeof(Slot)] == kLive;
  }
  // The number of the object's slot: below Capacity(), and the same until its Delete.
  std::size_t IndexOf(const T* object) const noexcept {
    const std::size_t offset = Offset(object);
    STADIAL_ASSERT_COMPARE(offset / sizeof(Slot), <, touched_, "the address lies outside this FixedPool");
    STADIAL_ASSERT_COMPARE(offset % sizeof(Slot), ==, std::size_t{0},
                           "no object of this FixedPool starts here");
    return offset / sizeof(Slot);
  }

  // Gives every object back.
  void Clear() noexcept {
    PoisonReturned(slots_, touched_ * sizeof(Slot));
    touched_ = size_ = 0;
    freeHead_ = kNoSlot;
  }

  // Calls visit(T&) for every live object, by ascending slot. The visitor may delete any, and may make new
  // ones: those further on are visited too.
  template <class Visit>
  void ForEach(Visit&& visit) {
    for (std::uint32_t index = 0; index < touched_; ++index) {
      if (nextFree_[index] == kLive) visit(*At(index));
    }
  }
  template <class Visit>
  void ForEach(Visit&& visit) const {
    for (std::uint32_t index = 0; index < touched_; ++index) {
      if (nextFree_[index] == kLive) visit(static_cast<const T&>(*At(index)));
    }
  }

  std::size_t Size() const noexcept { return size_; }
  std::size_t Capacity() const noexcept { return capacity_; }
  bool IsEmpty() const noexcept { return size_ == 0; }
  bool IsFull() const noexcept { return size_ == capacity_; }

 private:
  static constexpr std::uint32_t kNoSlot = UINT32_MAX;    // the end of the free slots
  static constexpr std::uint32_t kLive = UINT32_MAX - 1;  // in place of a free slot's successor
  struct Slot {
    alignas(T) std::byte storage[sizeof(T)];
  };

  std::size_t Offset(const T* object) const noexcept {
    return reinterpret_cast<std::uintptr_t>(object) - reinterpret_cast<std::uintptr_t>(slots_);
  }
  T* At(std::size_t index) const noexcept {
    return std::launder(reinterpret_cast<T*>(slots_[index].storage));
  }
  void Swap(FixedPool& other) noexcept {
    std::swap(slots_, other.slots_);
    std::swap(nextFree_, other.nextFree_);
    std::swap(capacity_, other.capacity_);
    std::swap(touched_, other.touched_);
    std::swap(size_, other.size_);
    std::swap(freeHead_, other.freeHead_);
  }

  Slot* slots_ = nullptr;
  std::uint32_t* nextFree_ = nullptr;  // of each slot that was ever used: kLive, or the next free one
  std::uint32_t capacity_ = 0;
  std::uint32_t touched_ = 0;  // slots from here on were never used
  std::uint32_t size_ = 0;
  std::uint32_t freeHead_ = kNoSlot;
};

}  // namespace stadial::arenas
