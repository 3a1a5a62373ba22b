// Assertions for programming errors, in three levels chosen at build time by STADIAL_ASSERT_LEVEL:
//   0 off   nothing is evaluated;
//   1 fast  STADIAL_ASSERT* are checked (a compare and a never-taken branch each);
//   2 full  STADIAL_ASSERT_FULL* are checked as well: checks that cost more than the code they guard.
// A failing assertion prints the expression, both values, file, line and function through write(2), without
// allocating, and aborts. Conditions a user can meet are not assertions: they are returned as a Result.
#pragma once

#include <cstdint>
#include <source_location>
#include <type_traits>

#ifndef STADIAL_ASSERT_LEVEL
#define STADIAL_ASSERT_LEVEL 1
#endif

namespace stadial::arenas {

// Prints "assertion failed: EXPRESSION (LEFT vs RIGHT) at FILE:LINE in FUNCTION: MESSAGE" and aborts.
[[noreturn]] void AssertionFailed(const char* expression, const char* message,
                                  std::source_location where) noexcept;
[[noreturn]] void AssertionFailed(const char* expression, const char* message, std::uint64_t left,
                                  std::uint64_t right, std::source_location where) noexcept;

// The value an assertion shows for one operand: integers and enums as they are, pointers as addresses.
template <class T>
constexpr std::uint64_t AssertionValue(const T& value) noexcept {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<std::uintptr_t>(value);
  } else if constexpr (std::is_enum_v<T>) {
    return static_cast<std::uint64_t>(static_cast<std::underlying_type_t<T>>(value));
  } else {
    return static_cast<std::uint64_t>(value);
  }
}

}  // namespace stadial::arenas

#define STADIAL_ASSERT_ALWAYS(condition, message) \
  ((condition) ? static_cast<void>(0)             \
               : ::stadial::arenas::AssertionFailed(#condition, message, std::source_location::current()))

#define STADIAL_ASSERT_COMPARE_ALWAYS(left, op, right, message)                              \
  do {                                                                                       \
    const auto stadialLeft = (left);                                                         \
    const auto stadialRight = (right);                                                       \
    if (!(stadialLeft op stadialRight)) [[unlikely]]                                         \
      ::stadial::arenas::AssertionFailed(                                                    \
          #left " " #op " " #right, message, ::stadial::arenas::AssertionValue(stadialLeft), \
          ::stadial::arenas::AssertionValue(stadialRight), std::source_location::current()); \
  } while (false)

#if STADIAL_ASSERT_LEVEL >= 1
#define STADIAL_ASSERT(condition, message) STADIAL_ASSERT_ALWAYS(condition, message)
#define STADIAL_ASSERT_COMPARE(left, op, right, message) \
  STADIAL_ASSERT_COMPARE_ALWAYS(left, op, right, message)
#else
#define STADIAL_ASSERT(condition, message) static_cast<void>(sizeof(!(condition)))
#define STADIAL_ASSERT_COMPARE(left, op, right, message) static_cast<void>(sizeof(!((left)op(right))))
#endif

#if STADIAL_ASSERT_LEVEL >= 2
#define STADIAL_ASSERT_FULL(condition, message) STADIAL_ASSERT_ALWAYS(condition, message)
#else
#define STADIAL_ASSERT_FULL(condition, message) static_cast<void>(sizeof(!(condition)))
#endif
