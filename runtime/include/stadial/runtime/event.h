// Events: what is queued in an EventBus. An Event is 64 bytes, trivially copyable, and carries a type, an
// optional integer, and an optional typed payload of at most kEventPayloadBytesMax bytes inline. Nothing here
// allocates. A bus stores of each event only what it has: the payload's bytes travel only with a payloadTag.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

#include "stadial/arenas/assert.h"

namespace stadial::runtime {

// The top byte of a type is its category (0 to 31), so that subscribers can ask for a whole category by mask.
enum class EventCategory : std::uint8_t {
  None = 0,
  Graph = 1,
  Frame = 2,
  Window = 3,
  Device = 4,
  Resource = 5,
  Budget = 6,
  User = 16,  // 16 to 31 are the program's own: User, then MakeUserCategory(1) to MakeUserCategory(15)
};

inline constexpr std::uint32_t kEventCategoryMax = 31;

constexpr EventCategory MakeUserCategory(std::uint32_t index) noexcept {
  STADIAL_ASSERT_COMPARE(index, <=, kEventCategoryMax - static_cast<std::uint32_t>(EventCategory::User),
                         "user categories are numbered 0 to 15");
  return static_cast<EventCategory>(static_cast<std::uint32_t>(EventCategory::User) + index);
}

constexpr std::uint32_t EventTypeValue(EventCategory category, std::uint32_t ordinal) noexcept {
  return (static_cast<std::uint32_t>(category) << 24) | ordinal;
}

// A strong 32-bit identifier. Programs add their own with MakeEventType.
enum class EventType : std::uint32_t {
  None = 0,
  NodeDirty = EventTypeValue(EventCategory::Graph, 1),
  NodeAdded = EventTypeValue(EventCategory::Graph, 2),
  NodeRemoved = EventTypeValue(EventCategory::Graph, 3),
  ConnectionChanged = EventTypeValue(EventCategory::Graph, 4),
  GraphInvalidated = EventTypeValue(EventCategory::Graph, 5),
  FrameSetupNeeded = EventTypeValue(EventCategory::Frame, 1),
  FrameStart = EventTypeValue(EventCategory::Frame, 2),
  FrameEnd = EventTypeValue(EventCategory::Frame, 3),
  WindowResize = EventTypeValue(EventCategory::Window, 1),
  SwapChainInvalidated = EventTypeValue(EventCategory::Window, 2),
  DeviceLost = EventTypeValue(EventCategory::Device, 1),
  ResourceInvalidated = EventTypeValue(EventCategory::Resource, 1),
  BudgetThrottled = EventTypeValue(EventCategory::Budget, 1),
};

// The program's own type: `constexpr EventType kDoorOpened = MakeEventType(EventCategory::User, 1);`
constexpr EventType MakeEventType(EventCategory category, std::uint32_t ordinal) noexcept {
  STADIAL_ASSERT_COMPARE(ordinal, <, 1u << 24, "an event type's ordinal has 24 bits");
  // Any 32-bit value is a value of an enumeration with a fixed underlying type.
  // NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange)
  return static_cast<EventType>(EventTypeValue(category, ordinal));
}

constexpr EventCategory CategoryOf(EventType type) noexcept {
  return static_cast<EventCategory>(static_cast<std::uint32_t>(type) >> 24);
}

// A set of categories.
using EventCategoryMask = std::uint32_t;
constexpr EventCategoryMask MaskOf(EventCategory category) noexcept {
  return EventCategoryMask{1} << (static_cast<std::uint32_t>(category) & kEventCategoryMax);
}

// Event::flags. A type's policy (EventBus::SetTypePolicy) sets the same bits for every event of the type.
inline constexpr std::uint16_t kEventPinned = 1;    // Discard must not drop it
inline constexpr std::uint16_t kEventCoalesce = 2;  // collapses into a queued event of the same type and key
inline constexpr std::uint16_t kEventFlagsPublic = kEventPinned | kEventCoalesce;

inline constexpr std::size_t kEventPayloadBytesMax = 32;

struct alignas(16) Event {
  EventType type = EventType::None;
  std::uint16_t flags = 0;
  std::uint16_t payloadTag = 0;  // 0: no typed payload; set by MakeEvent
  std::int64_t data = 0;         // the program's own
  std::uint64_t key = 0;         // what coalescing compares besides the type (a node, a resource)
  std::uint64_t origins = 0;     // bit mask of who asked; coalescing combines it by OR
  std::byte payload[kEventPayloadBytesMax] = {};  // undefined, when delivered, without a payloadTag
};
static_assert(sizeof(Event) == 64 && std::is_trivially_copyable_v<Event>);

namespace detail {

// A 16-bit, never-zero tag of T, the same in every translation unit (FNV-1a over the type's name).
template <class T>
consteval std::uint16_t PayloadTag() {
  std::uint32_t hash = 2166136261u;
  for (const char* c = __PRETTY_FUNCTION__; *c != '\0'; ++c)
    hash = (hash ^ static_cast<unsigned char>(*c)) * 16777619u;
  const auto folded = static_cast<std::uint16_t>((hash >> 16) ^ (hash & 0xffffu));
  return folded == 0 ? std::uint16_t{1} : folded;
}

}  // namespace detail

template <class T>
concept EventPayload = std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T> &&
                           sizeof(T) <= kEventPayloadBytesMax
                       && alignof(T) <= 16;

// An event that carries `payload`, to be read back with PayloadOf<T>.
template <EventPayload T>
Event MakeEvent(EventType type, const T& payload, std::uint64_t key = 0) noexcept {
  Event event{.type = type, .payloadTag = detail::PayloadTag<T>(), .key = key};
  std::memcpy(event.payload, &payload, sizeof(T));
  return event;
}

template <EventPayload T>
bool HasPayload(const Event& event) noexcept {
  return event.payloadTag == detail::PayloadTag<T>();
}

// Asserts that the event carries a T.
template <EventPayload T>
T PayloadOf(const Event& event) noexcept {
  STADIAL_ASSERT_COMPARE(event.payloadTag, ==, detail::PayloadTag<T>(),
                         "the event carries a payload of another type");
  alignas(T) std::byte storage[sizeof(T)];
  std::memcpy(storage, event.payload, sizeof(T));
  return *std::launder(reinterpret_cast<T*>(storage));
}

}  // namespace stadial::runtime
