// FramePtr<T>: a pointer into an arena that knows, in checked builds (STADIAL_ASSERT_LEVEL full), when its
// object was taken back. Using it afterwards aborts and says where the object was allocated and which reset
// or rewind killed it. In the other builds it is a bare pointer: same size, same instructions, no checks.
//
//   FramePtr<Light> light = NewFramePtr<Light>(*frame->lane, position, colour);
//   light->intensity = 2;       // in a later frame: abort, naming this line's allocation and the reset
//
// Growth, exhaustion, alignment, destructors: those of the arena it is made from.
// Threads:      a plain value; copies may be used by any thread while the owner of the arena allocates and
//               rewinds. Make it on the thread that allocated.
// Invalidation: the arena's Reset, and a rewind below the object. It must not outlive the Arena, which must
//               not be moved meanwhile. After more than 16 rewinds that each left something below them a
//               stale one may go unnoticed until the next Reset; a live one is never reported.
// Cost: none; in checked builds 40 bytes, and a load and a compare for each use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

#if STADIAL_ASSERT_LEVEL >= 2

// Where a FramePtr comes from. Null arena: it points nowhere, and is not checked.
struct FrameOrigin {
  const Arena* arena = nullptr;
  std::uint64_t generation = 0;
  std::uint32_t resetCount = 0;
  std::source_location site;

  FrameOrigin() noexcept = default;
  FrameOrigin(const Arena& from, const volatile void* object, const std::source_location& where) noexcept
      : arena(&from), generation(from.Checks().Generation()), resetCount(from.ResetCount()), site(where) {
    STADIAL_ASSERT_ALWAYS(from.Contains(const_cast<const void*>(object)), "the object lies in another arena");
  }
  bool IsLive(const volatile void* object) const noexcept {
    return arena == nullptr || arena->Checks().IsLive(const_cast<const void*>(object), generation);
  }
  void Check(const volatile void* object) const noexcept {
    if (!IsLive(object)) [[unlikely]]
      Stale(const_cast<const void*>(object));
  }
  // Prints arena, offset, allocation and killer, and aborts.
  [[noreturn, gnu::cold, gnu::noinline]] void Stale(const void* object) const noexcept;
};

#else

struct FrameOrigin {
  FrameOrigin() noexcept = default;
  FrameOrigin(const Arena&, const volatile void*, const std::source_location&) noexcept {}
  static constexpr bool IsLive(const volatile void*) noexcept { return true; }
  static constexpr void Check(const volatile void*) noexcept {}
};

#endif

template <class T>
class FramePtr {
  static_assert(std::is_object_v<T> && !std::is_array_v<T>, "a FramePtr points to one object");

 public:
  FramePtr() noexcept = default;
  FramePtr(std::nullptr_t) noexcept {}  // NOLINT(google-explicit-constructor)
  // To an object that was just allocated from `arena`: it counts as alive from now on. Null points nowhere.
  FramePtr(const Arena& arena, T* object,
           const std::source_location& site = std::source_location::current()) noexcept
      : object_(object) {
    if (object != nullptr) origin_ = FrameOrigin(arena, object, site);
  }
  // To a base or to const.
  template <class U>
  requires(!std::is_same_v<U, T> && std::is_convertible_v<U*, T*>) FramePtr(const FramePtr<U>& other)
  noexcept  // NOLINT(google-explicit-constructor)
      : object_(other.object_), origin_(other.origin_) {}

  T* Get() const noexcept {
    origin_.Check(object_);
    return object_;
  }
  T& operator*() const noexcept { return *Get(); }
  T* operator->() const noexcept { return Get(); }

  // These look at the pointer, not at the object: a stale one is not reported.
  explicit operator bool() const noexcept { return object_ != nullptr; }
  friend bool operator==(const FramePtr& left, const FramePtr& right) noexcept {
    return left.object_ == right.object_;
  }
  // Checked builds: false once the object was taken back. Always true in the others.
  bool IsLive() const noexcept { return origin_.IsLive(object_); }

 private:
  template <class U>
  friend class FramePtr;

  T* object_ = nullptr;
  [[no_unique_address]] FrameOrigin origin_;
};

#if STADIAL_ASSERT_LEVEL < 2
static_assert(sizeof(FramePtr<int>) == sizeof(int*) && std::is_trivially_copyable_v<FramePtr<int>>,
              "a bare pointer");
#endif

// An arena and the place that uses it: lets NewFramePtr know its caller in spite of its argument pack.
struct ArenaHere {
  Arena& arena;
  std::source_location site;
  ArenaHere(Arena& from,  // NOLINT(google-explicit-constructor)
            const std::source_location& where = std::source_location::current()) noexcept
      : arena(from), site(where) {}
};

// Constructs a T in the arena; exhaustion as Arena::New.
template <class T, class... Args>
[[nodiscard]] FramePtr<T> NewFramePtr(ArenaHere here, Args&&... args) {
  return FramePtr<T>(here.arena, here.arena.template New<T>(std::forward<Args>(args)...), here.site);
}

}  // namespace stadial::arenas
