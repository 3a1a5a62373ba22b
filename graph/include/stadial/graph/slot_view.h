// Typed access to a node's slots at run time: one load of the pointer at a constant offset, then the value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "stadial/arenas/assert.h"
#include "stadial/graph/slot.h"

namespace stadial::graph {

// Where one input reads. Single and Optional: `value` is the producer's output (null: not connected). Array:
// `value` points to `count` such pointers.
struct InputBinding {
  const void* value = nullptr;
  std::uint32_t count = 0;
};

// A node's slots: bindings in the plan (Compile memory), output values in Setup memory.
struct SlotPointers {
  const InputBinding* inputs = nullptr;
  std::byte* outputs = nullptr;
};

// The values of an Array input, in order of connection.
template <class T>
class SlotArray {
 public:
  class Iterator {
   public:
    explicit Iterator(const void* const* at) noexcept : at_(at) {}
    const T& operator*() const noexcept { return *static_cast<const T*>(*at_); }
    Iterator& operator++() noexcept {
      ++at_;
      return *this;
    }
    friend bool operator==(Iterator, Iterator) = default;

   private:
    const void* const* at_;
  };

  SlotArray(const void* const* values, std::uint32_t count) noexcept : values_(values), count_(count) {}
  std::uint32_t Size() const noexcept { return count_; }
  const T& operator[](std::size_t i) const noexcept {
    STADIAL_ASSERT_COMPARE(i, <, count_, "index past the connections of an Array slot");
    return *static_cast<const T*>(values_[i]);
  }
  Iterator begin() const noexcept { return Iterator(values_); }
  Iterator end() const noexcept { return Iterator(values_ + count_); }

 private:
  const void* const* values_;
  std::uint32_t count_;
};

namespace detail {

// Converts without losing anything: ctx.Out(FLOAT_SLOT, aDouble) does not compile.
template <class From, class To>
concept ConvertsExactly = std::is_convertible_v<From, To> &&
    (!std::is_arithmetic_v<To> || requires(From && from) { To{std::forward<From>(from)}; });

}  // namespace detail

// A view of the slots of ConfigT. `required`: the role a slot must carry to be used through this view.
template <class ConfigT, SlotRole required = SlotRole::None>
class SlotView {
 public:
  explicit SlotView(const SlotPointers& slots) noexcept : slots_(slots) {}

  // Single: const T&. Optional: const T*, null when not connected. Array: SlotArray<T>.
  template <class S>
  decltype(auto) In(S) const noexcept {
    CheckSlot<S>();
    static_assert(S::kDirection == SlotDirection::Input, "In() reads an INPUT_SLOT; this is an output");
    using T = typename S::Value;
    const InputBinding& binding = slots_.inputs[S::kIndex];
    if constexpr (S::kAttributes.mode == SlotMode::Single) {
      return static_cast<const T&>(*static_cast<const T*>(binding.value));
    } else if constexpr (S::kAttributes.mode == SlotMode::Optional) {
      return static_cast<const T*>(binding.value);
    } else {
      return SlotArray<T>(static_cast<const void* const*>(binding.value), binding.count);
    }
  }

  // The output's value, to be written or read back. Keeps what was written last until it is written again.
  template <class S>
  typename S::Value& Out(S) const noexcept {
    CheckSlot<S>();
    static_assert(S::kDirection == SlotDirection::Output, "Out() writes an OUTPUT_SLOT; this is an input");
    constexpr std::uint32_t kOffset =
        kSlotDescriptions<ConfigT, SlotDirection::Output>[S::kIndex].outputOffset;
    return *reinterpret_cast<typename S::Value*>(slots_.outputs + kOffset);
  }
  template <class S, class V>
  void Out(S slot, V&& value) const noexcept {
    static_assert(detail::ConvertsExactly<V, typename S::Value>,
                  "this value does not convert to the output slot's type without loss");
    Out(slot) = std::forward<V>(value);
  }

 private:
  template <class S>
  static constexpr void CheckSlot() noexcept {
    static_assert(AnySlot<S>, "this is not a slot; declare it with INPUT_SLOT or OUTPUT_SLOT");
    static_assert(std::is_same_v<typename S::Config, ConfigT>, "this slot belongs to another node's config");
    static_assert(required == SlotRole::None || HasRole(S::kAttributes.roles, required),
                  "this slot lacks the role for this context: add SlotRole::Compile to use it in Compile, "
                  "SlotRole::Execute to use it in Execute");
  }

  const SlotPointers& slots_;
};

}  // namespace stadial::graph
