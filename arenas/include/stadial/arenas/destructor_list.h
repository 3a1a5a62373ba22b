// DestructorList: objects with destructors in an arena, for arenas that are not rewound every frame. The list
// knows what was made through it and destroys it in reverse order, when it is told to or when it ends. Arenas
// themselves run no destructors: in a frame arena a type that needs one still does not compile.
//
// Growth:       a record of 32 bytes in the arena for each object (or array) whose type has a destructor.
// Exhaustion:   as the arena: New ends the process, TryNew gives nullptr and changes nothing.
// Alignment:    as the arena.
// Destructors:  run by DestroyAll, in reverse order; also those of what a destructor makes through the list.
// Threads:      as the arena: one at a time.
// Invalidation: DestroyAll ends the objects; their memory is the arena's until it is rewound. Rewinding
//               below an object that is not destroyed yet is a programming error and is asserted.
//
// Cost: New a compare and three stores more than the arena's; nothing for a type without a destructor.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

class DestructorList {
 public:
  // The arena must outlive the list.
  explicit DestructorList(Arena& arena) noexcept : arena_(arena), resetCount_(arena.ResetCount()) {}
  ~DestructorList() { DestroyAll(); }
  DestructorList(const DestructorList&) = delete;
  DestructorList& operator=(const DestructorList&) = delete;

  // One T in the arena. When its constructor throws nothing is recorded; the bytes stay used.
  template <class T, class... Args>
  T* New(Args&&... args) {
    CheckNotRewound();
    return Construct<T>(arena_.Allocate(BytesOf<T>(1), AlignmentOf<T>()), std::forward<Args>(args)...);
  }
  template <class T, class... Args>
  [[nodiscard]] T* TryNew(Args&&... args) {
    CheckNotRewound();
    void* const memory = arena_.TryAllocate(BytesOf<T>(1), AlignmentOf<T>());
    return memory == nullptr ? nullptr : Construct<T>(memory, std::forward<Args>(args)...);
  }
  // `count` value-initialised Ts, destroyed in reverse order too. A count of 0 gives an empty span.
  template <class T>
  std::span<T> NewArray(std::size_t count) {
    CheckNotRewound();
    return ConstructArray<T>(arena_.Allocate(BytesOf<T>(count), AlignmentOf<T>()), count);
  }
  // Empty when it does not fit (and when count is 0).
  template <class T>
  [[nodiscard]] std::span<T> TryNewArray(std::size_t count) {
    CheckNotRewound();
    void* const memory = arena_.TryAllocate(BytesOf<T>(count), AlignmentOf<T>());
    return memory == nullptr ? std::span<T>() : ConstructArray<T>(memory, count);
  }

  // Destroys everything, newest first. The list can be used again. O(objects).
  void DestroyAll() noexcept {
    while (newest_ != nullptr) {
      CheckNotRewound();
      Record* const record = std::exchange(newest_, newest_->older);
      --count_;
      record->destroy(record, record->count);
    }
  }
  // Objects and arrays that wait for their destructors.
  std::size_t Count() const noexcept { return count_; }

 private:
  struct alignas(kArenaGranularityBytes) Record {
    void (*destroy)(Record* record, std::size_t count) noexcept;
    Record* older;
    std::size_t count;
  };
  template <class T>
  static constexpr bool kIsRecorded = !std::is_trivially_destructible_v<T>;

  // The record stands right in front of the objects, the distance a multiple of their alignment.
  template <class T>
  static constexpr std::size_t Offset() noexcept {
    return !kIsRecorded<T> ? 0 : (sizeof(Record) + alignof(T) - 1) / alignof(T) * alignof(T);
  }
  template <class T>
  static constexpr std::size_t AlignmentOf() noexcept {
    return kIsRecorded<T> && alignof(T) < alignof(Record) ? alignof(Record) : alignof(T);
  }
  // Saturates, so that an impossible count fails like any other that does not fit.
  template <class T>
  static constexpr std::size_t BytesOf(std::size_t count) noexcept {
    std::size_t bytes = 0;
    const bool isTooMuch = __builtin_mul_overflow(count, sizeof(T), &bytes) ||
                           __builtin_add_overflow(bytes, Offset<T>(), &bytes);
    return isTooMuch ? static_cast<std::size_t>(-1) : bytes;
  }
  template <class T>
  static T* ObjectsOf(Record* record) noexcept {
    return std::launder(reinterpret_cast<T*>(reinterpret_cast<std::byte*>(record) + Offset<T>()));
  }
  template <class T>
  static void Destroy(Record* record, std::size_t count) noexcept {
    T* const objects = ObjectsOf<T>(record);
    while (count != 0) std::destroy_at(objects + --count);
  }

  template <class T, class... Args>
  T* Construct(void* memory, Args&&... args) {
    T* const object = ::new (static_cast<std::byte*>(memory) + Offset<T>()) T(std::forward<Args>(args)...);
    NoteMade<T>(memory, 1);
    return object;
  }
  template <class T>
  std::span<T> ConstructArray(void* memory, std::size_t count) {
    T* const objects = reinterpret_cast<T*>(static_cast<std::byte*>(memory) + Offset<T>());
    std::uninitialized_value_construct_n(objects, count);
    NoteMade<T>(memory, count);
    return {objects, count};
  }
  template <class T>
  void NoteMade(void* memory, std::size_t count) noexcept {
    if constexpr (kIsRecorded<T>) {
      newest_ = ::new (memory) Record{.destroy = &Destroy<T>, .older = newest_, .count = count};
      usedBytes_ = arena_.UsedBytes();
      ++count_;
    }
  }
  // Before anything is allocated: a record made where an older one stood would be its own predecessor.
  void CheckNotRewound() noexcept {
    if (newest_ == nullptr) {
      resetCount_ = arena_.ResetCount();
      usedBytes_ = 0;
    }
    STADIAL_ASSERT_COMPARE(arena_.ResetCount(), ==, resetCount_,
                           "the arena was reset under objects that wait for their destructors");
    STADIAL_ASSERT_COMPARE(arena_.UsedBytes(), >=, usedBytes_,
                           "the arena was rewound under objects that wait for their destructors");
  }

  Arena& arena_;
  Record* newest_ = nullptr;
  std::size_t count_ = 0;
  std::size_t usedBytes_ = 0;  // of the arena when the newest was made
  std::uint32_t resetCount_ = 0;
};

}  // namespace stadial::arenas
