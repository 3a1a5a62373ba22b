// Typed slots: what a node reads and writes, declared once and checked by the compiler.
//
//   struct ScaleConfig : graph::NodeConfig<ScaleConfig> {
//     INPUT_SLOT(SOURCE, float);
//     INPUT_SLOT(TARGETS, graph::ResourceHandle, SlotMode::Array, SlotRole::Compile | SlotRole::Execute);
//     OUTPUT_SLOT(RESULT, float);
//     INPUT_SLOT(CELLS, gpu::Buffer, graph::Access::ComputeStorageRead);
//     OUTPUT_SLOT(STEPPED, gpu::Buffer, graph::Access::ComputeStorageWrite, Inplace(CELLS));
//   };
//
// Every slot is a type of its own that carries its value type, direction, config, mode, roles and index, so a
// wrong type, a wrong direction and another node's slot do not compile. Indices count from 0 per direction in
// order of declaration. An access is one load of a pointer known at a constant offset: nothing is looked up.
//
// Shapes: a value is copied by nobody. The output slot owns one object of its type in Setup memory, made by
// the type's default constructor; an input slot is a pointer to the output it is connected to. Value types
// must be default constructible and trivially destructible (handles, numbers, spans, plain structs). At most
// kSlotsPerDirectionMax inputs and as many outputs per node. A type with a comma in it needs an alias.
// Configs stand at namespace or class scope, not inside functions, and are not derived from one another.
//
// Access: how the node uses the GPU resource that the value names; barriers follow from it (barriers.h). None
// by default, which is right for what the CPU alone looks at; a type that says kIsGpuResource must state one.
// Everything that a node uses on the GPU stands in a slot: what it keeps for itself (results that only a
// capture reads, a history) is an output that nobody need read, with an access that reads if it finds there
// what a frame before has left. Inplace(INPUT): the output is the same resource as that input, passed on or
// changed; one node may do so with an output, and who reads the original output may come before or after it.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include "stadial/graph/access.h"

namespace stadial::graph {

inline constexpr std::size_t kSlotsPerDirectionMax = 64;

enum class SlotDirection : std::uint8_t { Input, Output };

// How many connections an input takes: exactly one, any number (read in the order of connection), none or
// one.
enum class SlotMode : std::uint8_t { Single, Array, Optional };

// When a slot is used. Roles decide what a recompile must touch: an input with the Compile role makes its
// node recompile whenever its producer has recompiled; an output with the Compile role is set in Compile.
enum class SlotRole : std::uint16_t {
  None = 0,
  Execute = 1,     // read or written in Execute (the default)
  Compile = 2,     // read or written in Compile
  Descriptor = 4,  // bound through a descriptor set: a new value means rewritten descriptors
};
constexpr SlotRole operator|(SlotRole left, SlotRole right) noexcept {
  return static_cast<SlotRole>(static_cast<std::uint16_t>(left) | static_cast<std::uint16_t>(right));
}
constexpr bool HasRole(SlotRole roles, SlotRole role) noexcept {
  return (static_cast<std::uint16_t>(roles) & static_cast<std::uint16_t>(role)) != 0;
}

const char* ToString(SlotDirection direction) noexcept;
const char* ToString(SlotMode mode) noexcept;

// What NodeConfig::Inplace answers: the index of the input.
struct InplaceOf {
  std::int8_t input;
};
inline constexpr std::int8_t kNotInplace = -1;

// What is written behind the type in INPUT_SLOT and OUTPUT_SLOT, in any combination.
struct SlotAttributes {
  SlotMode mode = SlotMode::Single;
  SlotRole roles = SlotRole::Execute;
  Access access = {};
  bool hasAccess = false;
  std::int8_t inplaceInput = kNotInplace;

  constexpr void Set(SlotMode value) noexcept { mode = value; }
  constexpr void Set(SlotRole value) noexcept { roles = value; }
  constexpr void Set(const Access& value) noexcept {
    access = value;
    hasAccess = true;
  }
  constexpr void Set(InplaceOf value) noexcept { inplaceInput = value.input; }
};
template <class... Options>
constexpr SlotAttributes MakeSlotAttributes(const Options&... options) noexcept {
  SlotAttributes attributes;
  (attributes.Set(options), ...);
  return attributes;
}

// A value type that names a GPU resource says `static constexpr bool kIsGpuResource = true`.
template <class T>
concept GpuResource = requires {
  requires T::kIsGpuResource;
};

// The run-time identity of a value type, for connections that are made at run time and for reports.
struct SlotType {
  std::string_view name;  // as the compiler spells it, not null-terminated
  std::size_t sizeBytes;
  std::size_t alignment;
  void (*construct)(void* memory);
};

namespace detail {

template <class T>
constexpr std::string_view TypeName() noexcept {
  // "... TypeName() [with T = X; std::string_view = ...]" (g++) or "... TypeName() [T = X]" (clang).
  const std::string_view pretty = __PRETTY_FUNCTION__;
  const std::size_t begin = pretty.find("T = ") + 4;
  const std::size_t semicolon = pretty.find(';', begin);
  return pretty.substr(begin, (semicolon == std::string_view::npos ? pretty.rfind(']') : semicolon) - begin);
}

// Overload ranks: Rank<N> converts best to the highest rank declared so far. Each slot declares one hidden
// friend of the next rank, so the friend that a call finds counts the slots declared before that call.
template <std::size_t N>
struct Rank : Rank<N - 1> {};
template <>
struct Rank<0> {};
template <std::size_t N>
struct SlotCount {
  static constexpr std::size_t kValue = N;
};
template <std::size_t I>
struct SlotIndex {};
template <class Config, SlotDirection D>
struct SlotScope {};
template <class Scope>
SlotCount<0> StadialCountSlots(Rank<0>, Scope);

constexpr std::size_t AlignUp(std::size_t value, std::size_t alignment) noexcept {
  return (value + alignment - 1) & ~(alignment - 1);
}

}  // namespace detail

template <class T>
inline constexpr SlotType kSlotType{detail::TypeName<T>(), sizeof(T), alignof(T),
                                    [](void* memory) { ::new (memory) T(); }};

// Same type: the same object, or (across shared libraries) the same name and shape.
constexpr bool SameType(const SlotType& left, const SlotType& right) noexcept {
  return &left == &right ||
         (left.name == right.name && left.sizeBytes == right.sizeBytes && left.alignment == right.alignment);
}

// One slot as the graph sees it at run time. outputOffset: where an output's value lies in its node's block.
struct SlotDescription {
  const char* name = "";
  const SlotType* type = nullptr;
  SlotMode mode = SlotMode::Single;
  SlotRole roles = SlotRole::Execute;
  std::uint32_t outputOffset = 0;
  Access access = {};
  std::int8_t inplaceInput = kNotInplace;  // of an output
};

// Base of every slot config; `Config`, SlotMode and SlotRole are what the slot macros find by name.
template <class ConfigT>
struct NodeConfig {
  using Config = ConfigT;
  using SlotMode = graph::SlotMode;
  using SlotRole = graph::SlotRole;

  template <class S>
  static constexpr InplaceOf Inplace(S) noexcept {
    static_assert(S::kDirection == SlotDirection::Input, "Inplace() names an INPUT_SLOT of the same config");
    return {static_cast<std::int8_t>(S::kIndex)};
  }
};

// Base of every slot type the macros make.
template <class ConfigT, class ValueT, SlotDirection D, std::size_t I>
struct Slot {
  static_assert(I < kSlotsPerDirectionMax, "too many slots of one direction in this config");
  static_assert(std::is_default_constructible_v<ValueT> && std::is_trivially_destructible_v<ValueT>,
                "a slot's value type must be default constructible and trivially destructible");
  using Config = ConfigT;
  using Value = ValueT;
  static constexpr SlotDirection kDirection = D;
  static constexpr std::size_t kIndex = I;
};

template <class S>
concept AnySlot = requires {
  typename S::Config;
  typename S::Value;
  { S::kDirection } -> std::convertible_to<SlotDirection>;
  { S::kIndex } -> std::convertible_to<std::size_t>;
};
template <class S>
concept InputSlot = AnySlot<S> && S::kDirection == SlotDirection::Input;
template <class S>
concept OutputSlot = AnySlot<S> && S::kDirection == SlotDirection::Output;

template <class Config, SlotDirection D>
inline constexpr std::size_t kSlotCount = decltype(StadialCountSlots(detail::Rank<kSlotsPerDirectionMax>{},
                                                                     detail::SlotScope<Config, D>{}))::kValue;

template <class Config, SlotDirection D, std::size_t I>
using SlotAt = decltype(StadialSlotAt(detail::SlotIndex<I>{}, detail::SlotScope<Config, D>{}));

namespace detail {

template <class S>
constexpr void CheckAccess() noexcept {
  static_assert(
      !GpuResource<typename S::Value> || S::kAttributes.hasAccess,
      "this slot names a GPU resource: state how the node uses it, as in graph::Access::ComputeSampled, "
      "or graph::Access::None");
  static_assert(S::kAttributes.access.IsValid(),
                "an access has stages and accesses, each bit of one meaning (graph/access.h)");
  static_assert(
      S::kDirection == SlotDirection::Output || !S::kAttributes.access.Writes(),
      "an input only reads: what a node changes is an output, with Inplace(INPUT) where it is the same "
      "resource");
  if constexpr (S::kAttributes.inplaceInput != kNotInplace) {
    static_assert(S::kDirection == SlotDirection::Output, "Inplace() stands behind an OUTPUT_SLOT");
    using Source = SlotAt<typename S::Config, SlotDirection::Input, S::kAttributes.inplaceInput>;
    static_assert(std::is_same_v<typename Source::Value, typename S::Value>,
                  "Inplace() names an input of the output's own type");
    static_assert(Source::kAttributes.mode != SlotMode::Array, "Inplace() names an input of one connection");
  }
}

template <class S>
constexpr SlotDescription DescribeSlot(std::size_t& offset) noexcept {
  static_assert(S::kDirection == SlotDirection::Input || S::kAttributes.mode == SlotMode::Single,
                "Array and Optional are modes of inputs; an output has one value that any number may read");
  CheckAccess<S>();
  offset = AlignUp(offset, alignof(typename S::Value));
  const SlotDescription description{S::kName,
                                    &kSlotType<typename S::Value>,
                                    S::kAttributes.mode,
                                    S::kAttributes.roles,
                                    static_cast<std::uint32_t>(offset),
                                    S::kAttributes.access,
                                    S::kAttributes.inplaceInput};
  offset += sizeof(typename S::Value);
  return description;
}

template <class Config, SlotDirection D, std::size_t... I>
constexpr std::array<SlotDescription, sizeof...(I)> DescribeSlots(std::index_sequence<I...>) noexcept {
  [[maybe_unused]] std::size_t offset = 0;
  return {DescribeSlot<SlotAt<Config, D, I>>(offset)...};
}

}  // namespace detail

// The slots of a config in order of declaration. Instantiate only where Config is complete.
template <class Config, SlotDirection D>
inline constexpr auto kSlotDescriptions =
    detail::DescribeSlots<Config, D>(std::make_index_sequence<kSlotCount<Config, D>>{});

}  // namespace stadial::graph

#define STADIAL_SLOT(DIRECTION, NAME, TYPE, ...)                                                          \
  struct NAME##_Slot : ::stadial::graph::Slot<                                                            \
                           Config, TYPE, ::stadial::graph::SlotDirection::DIRECTION,                      \
                           decltype(StadialCountSlots(                                                    \
                               ::stadial::graph::detail::Rank<::stadial::graph::kSlotsPerDirectionMax>{}, \
                               ::stadial::graph::detail::SlotScope<                                       \
                                   Config, ::stadial::graph::SlotDirection::DIRECTION>{}))::kValue> {     \
    [[maybe_unused]] static constexpr const char* kName = #NAME;                                          \
    [[maybe_unused]] static constexpr ::stadial::graph::SlotAttributes kAttributes =                      \
        ::stadial::graph::MakeSlotAttributes(__VA_ARGS__);                                                \
  };                                                                                                      \
  [[maybe_unused]] friend constexpr ::stadial::graph::detail::SlotCount<NAME##_Slot::kIndex + 1>          \
  StadialCountSlots(                                                                                      \
      ::stadial::graph::detail::Rank<NAME##_Slot::kIndex + 1>,                                            \
      ::stadial::graph::detail::SlotScope<Config, ::stadial::graph::SlotDirection::DIRECTION>) {          \
    return {};                                                                                            \
  }                                                                                                       \
  [[maybe_unused]] friend constexpr NAME##_Slot StadialSlotAt(                                            \
      ::stadial::graph::detail::SlotIndex<NAME##_Slot::kIndex>,                                           \
      ::stadial::graph::detail::SlotScope<Config, ::stadial::graph::SlotDirection::DIRECTION>) {          \
    return {};                                                                                            \
  }                                                                                                       \
  [[maybe_unused]] static constexpr NAME##_Slot NAME {}

// INPUT_SLOT(NAME, TYPE [, SlotMode] [, SlotRole] [, Access]);
// OUTPUT_SLOT(NAME, TYPE [, SlotRole] [, Access] [, Inplace(INPUT)]);
#define INPUT_SLOT(NAME, TYPE, ...) STADIAL_SLOT(Input, NAME, TYPE __VA_OPT__(, ) __VA_ARGS__)
#define OUTPUT_SLOT(NAME, TYPE, ...) STADIAL_SLOT(Output, NAME, TYPE __VA_OPT__(, ) __VA_ARGS__)
