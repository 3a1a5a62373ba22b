// SlotMap: fixed slots named by generation-checked handles. A handle of an erased element is recognised as
// stale, also after its slot was used again.
//
// Growth:       never.
// Exhaustion:   Insert and Emplace assert (in every build); the Try forms return the null handle.
// Alignment:    alignof(T).
// Destructors:  none run; T must be storable in an arena.
// Threads:      one at a time; concurrent Get without writers is fine.
// Invalidation: elements never move; T* lives until its Erase, after which the bytes are hostile in checked
//               builds (poison.h). Not copyable; a moved-from map has capacity 0.
//
// Generations are 32-bit and odd while the slot is occupied. A slot whose generations are used up (after 2^31
// reuses) is retired, never recycled: the capacity shrinks by one, but no stale handle ever matches again.
// A handle does not say which map it came from: two maps of one T that must not be mixed up take different
// Tags, and a handle of the other then does not compile.
// Cost: Insert, Get, Erase O(1); the most recently freed slot is used first (it is warm in the cache).
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

// One handle type per tag (the element type, unless the map says otherwise), so that handles of different
// maps do not mix. The default one is null.
template <class Tag>
struct SlotMapHandle {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  bool IsNull() const noexcept { return generation == 0; }
  explicit operator bool() const noexcept { return generation != 0; }
  friend bool operator==(const SlotMapHandle&, const SlotMapHandle&) = default;
};

// kGenerationMax: the last generation of a slot, odd; tests make it small.
template <class T, std::uint32_t kGenerationMax = UINT32_MAX, class Tag = T>
class SlotMap {
  static_assert(kArenaStorable<T>, "no destructor runs here, so T must be trivially destructible");
  static_assert(kGenerationMax % 2 == 1, "occupied slots have odd generations");

 public:
  using Handle = SlotMapHandle<Tag>;

  SlotMap() noexcept = default;  // capacity 0
  SlotMap(Arena& arena, std::size_t capacity) {
    STADIAL_ASSERT_COMPARE_ALWAYS(capacity, <, std::size_t{kNoSlot},
                                  "a SlotMap holds fewer than 2^32 - 1 slots");
    slots_ = arena.NewArrayUninitialized<Slot>(capacity).data();
    for (std::size_t index = 0; index < capacity; ++index) {
      ::new (static_cast<void*>(slots_ + index)) Slot;
      PoisonFresh(slots_[index].storage, sizeof(T));
    }
    capacity_ = static_cast<std::uint32_t>(capacity);
  }

  SlotMap(SlotMap&& other) noexcept { Swap(other); }
  SlotMap& operator=(SlotMap&& other) noexcept {
    SlotMap taken(std::move(other));
    Swap(taken);
    return *this;
  }
  SlotMap(const SlotMap&) = delete;
  SlotMap& operator=(const SlotMap&) = delete;

  template <class... Args>
  [[nodiscard]] Handle TryEmplace(Args&&... args) {
    std::uint32_t index = freeHead_;
    if (index != kNoSlot) {
      freeHead_ = slots_[index].nextFree;
    } else {
      if (touched_ == capacity_) return {};
      index = touched_++;
    }
    Slot& slot = slots_[index];
    ++slot.generation;
    LiftPoison(slot.storage, sizeof(T));
    ::new (static_cast<void*>(slot.storage)) T(std::forward<Args>(args)...);
    ++size_;
    return {index, slot.generation};
  }
  template <class... Args>
  Handle Emplace(Args&&... args) {
    const Handle handle = TryEmplace(std::forward<Args>(args)...);
    STADIAL_ASSERT_COMPARE_ALWAYS(handle.generation, !=, std::uint32_t{0},
                                  "SlotMap is full; raise its capacity");
    return handle;
  }
  Handle Insert(const T& value) { return Emplace(value); }
  [[nodiscard]] Handle TryInsert(const T& value) { return TryEmplace(value); }

  // nullptr when the handle is null, stale or of no slot of this map.
  T* Get(Handle handle) noexcept { return IsLive(handle) ? At(handle.index) : nullptr; }
  const T* Get(Handle handle) const noexcept { return IsLive(handle) ? At(handle.index) : nullptr; }
  bool Contains(Handle handle) const noexcept { return IsLive(handle); }

  // The handle of an element of this map (asserted: the address of a live element).
  Handle HandleOf(const T* element) const noexcept {
    const std::size_t offset =
        reinterpret_cast<std::uintptr_t>(element) - reinterpret_cast<std::uintptr_t>(slots_);
    STADIAL_ASSERT_COMPARE(offset / sizeof(Slot), <, touched_, "the address lies outside this SlotMap");
    STADIAL_ASSERT_COMPARE(offset % sizeof(Slot), ==, offsetof(Slot, storage), "no element starts here");
    const auto index = static_cast<std::uint32_t>(offset / sizeof(Slot));
    STADIAL_ASSERT_COMPARE(slots_[index].generation % 2, ==, 1u, "the element was erased");
    return {index, slots_[index].generation};
  }

  // False when the handle is null, stale or of no slot of this map.
  bool Erase(Handle handle) noexcept {
    if (!IsLive(handle)) return false;
    Slot& slot = slots_[handle.index];
    PoisonReturned(slot.storage, sizeof(T));
    --size_;
    if (slot.generation == kGenerationMax) {
      slot.generation = 0;
      ++retired_;
      return true;
    }
    ++slot.generation;
    slot.nextFree = freeHead_;
    freeHead_ = handle.index;
    return true;
  }

  // Erases every element; their handles are stale from now on. O(slots used).
  void Clear() noexcept {
    for (std::uint32_t index = 0; index < touched_; ++index) {
      if (slots_[index].generation % 2 == 1) Erase({index, slots_[index].generation});
    }
  }

  // Calls visit(Handle, T&) for every element, by ascending index. The visitor may erase any element, and may
  // insert: what it inserts further on is visited too.
  template <class Visit>
  void ForEach(Visit&& visit) {
    for (std::uint32_t index = 0; index < touched_; ++index) {
      if (slots_[index].generation % 2 == 1) visit(Handle{index, slots_[index].generation}, *At(index));
    }
  }
  template <class Visit>
  void ForEach(Visit&& visit) const {
    for (std::uint32_t index = 0; index < touched_; ++index) {
      if (slots_[index].generation % 2 == 1) visit(Handle{index, slots_[index].generation}, *At(index));
    }
  }

  std::size_t Size() const noexcept { return size_; }
  // Slots still usable: what was given, less the retired ones.
  std::size_t Capacity() const noexcept { return capacity_ - retired_; }
  bool IsEmpty() const noexcept { return size_ == 0; }
  bool IsFull() const noexcept { return size_ == Capacity(); }

  // Bytes an arena spends on a map of this capacity, for plans that size the arena.
  static constexpr std::size_t RequiredBytes(std::size_t capacity) noexcept {
    return ((capacity * sizeof(Slot) + kArenaGranularityBytes - 1) & ~(kArenaGranularityBytes - 1)) +
           (alignof(Slot) > kArenaGranularityBytes ? alignof(Slot) : 0);
  }

 private:
  static constexpr std::uint32_t kNoSlot = UINT32_MAX;
  struct Slot {
    alignas(T) std::byte storage[sizeof(T)];
    std::uint32_t generation = 0;
    std::uint32_t nextFree = kNoSlot;
  };

  bool IsLive(Handle handle) const noexcept {
    return handle.index < touched_ && handle.generation % 2 == 1 &&
           slots_[handle.index].generation == handle.generation;
  }
  T* At(std::uint32_t index) noexcept { return std::launder(reinterpret_cast<T*>(slots_[index].storage)); }
  const T* At(std::uint32_t index) const noexcept {
    return std::launder(reinterpret_cast<const T*>(slots_[index].storage));
  }
  void Swap(SlotMap& other) noexcept {
    std::swap(slots_, other.slots_);
    std::swap(capacity_, other.capacity_);
    std::swap(touched_, other.touched_);
    std::swap(size_, other.size_);
    std::swap(retired_, other.retired_);
    std::swap(freeHead_, other.freeHead_);
  }

  Slot* slots_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t touched_ = 0;  // slots from here on were never used
  std::uint32_t size_ = 0;
  std::uint32_t retired_ = 0;
  std::uint32_t freeHead_ = kNoSlot;
};

}  // namespace stadial::arenas
