// Result<T>: a value, or an Error that says what failed, where, by how much, and what to do. Used for every
// condition a user can meet; nothing throws across the API. Building and copying an Error never allocates:
// its text is formatted into a fixed buffer and cut at kErrorMessageBytesMax - 1 characters.
// Thread rules: plain values. Cost: an Error is 516 bytes, so Results belong on cold paths.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "stadial/arenas/assert.h"
#include "stadial/arenas/effects.h"

namespace stadial::arenas {

enum class ErrorCode : std::uint16_t {
  InvalidArgument,   // the caller's input is malformed or out of range
  AddressSpace,      // virtual addresses could not be reserved
  OutOfMemory,       // pages could not be committed, or a heap refused
  CapacityExceeded,  // a fixed capacity or budget is used up
  WrongPhase,        // not allowed in the current phase
  NotFound,          // the named thing does not exist
  NotSupported,      // this machine, driver or build cannot do it
  CorruptData,       // a file or record fails its checks
  Io,                // the operating system refused a file operation
  Timeout,           // a bounded wait ran out
  DeviceLost,        // the GPU stopped
  Driver,            // a driver call failed for another reason
  Invalid,           // a graph or plan failed validation
};

// The code's name, as printed in reports ("AddressSpace").
const char* ToString(ErrorCode code) noexcept;

inline constexpr std::size_t kErrorMessageBytesMax = 512;

class [[nodiscard]] Error {
 public:
  // printf-style; the text is cut to fit, never allocated.
  [[gnu::format(printf, 2, 3)]] static Error Format(ErrorCode code, const char* format,
                                                    ...) noexcept STADIAL_NONALLOCATING;

  ErrorCode Code() const noexcept { return code_; }
  const char* Message() const noexcept { return message_; }

 private:
  Error() noexcept = default;
  ErrorCode code_ = ErrorCode::InvalidArgument;
  char message_[kErrorMessageBytesMax] = {};
};

template <class T>
class [[nodiscard]] Result {
  static_assert(!std::is_reference_v<T>, "return a pointer instead of a reference");

 public:
  Result(T value) noexcept(std::is_nothrow_move_constructible_v<T>)
      : hasValue_(true) {  // NOLINT(google-explicit-constructor)
    new (&value_) T(std::move(value));
  }
  Result(const Error& error) noexcept : hasValue_(false) {
    new (&error_) Error(error);
  }  // NOLINT(google-explicit-constructor)
  Result(Result&& other) noexcept(std::is_nothrow_move_constructible_v<T>) : hasValue_(other.hasValue_) {
    if (hasValue_) {
      new (&value_) T(std::move(other.value_));
    } else {
      new (&error_) Error(other.error_);
    }
  }
  Result& operator=(Result&&) = delete;
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;
  ~Result() {
    if (hasValue_) value_.~T();
  }

  bool HasValue() const noexcept { return hasValue_; }
  explicit operator bool() const noexcept { return hasValue_; }

  // Asserts that there is a value.
  T& Value() & noexcept {
    STADIAL_ASSERT_ALWAYS(hasValue_, "Result::Value called on an error");
    return value_;
  }
  T&& Value() && noexcept {
    STADIAL_ASSERT_ALWAYS(hasValue_, "Result::Value called on an error");
    return std::move(value_);
  }
  T* operator->() noexcept { return &Value(); }
  T& operator*() & noexcept { return Value(); }
  T&& operator*() && noexcept { return std::move(*this).Value(); }

  // Asserts that there is an error.
  const Error& GetError() const noexcept {
    STADIAL_ASSERT_ALWAYS(!hasValue_, "Result::GetError called on a value");
    return error_;
  }

 private:
  union {
    T value_;
    Error error_;
  };
  bool hasValue_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() noexcept : dummy_(0), hasValue_(true) {}
  Result(const Error& error) noexcept
      : error_(error), hasValue_(false) {}  // NOLINT(google-explicit-constructor)

  bool HasValue() const noexcept { return hasValue_; }
  explicit operator bool() const noexcept { return hasValue_; }
  const Error& GetError() const noexcept {
    STADIAL_ASSERT_ALWAYS(!hasValue_, "Result::GetError called on a value");
    return error_;
  }

 private:
  union {
    char dummy_;
    Error error_;
  };
  bool hasValue_;
};

}  // namespace stadial::arenas

// Returns the error of `expression` (a Result) from the enclosing function, which itself returns a Result.
#define STADIAL_RETURN_IF_ERROR(expression) \
  do {                                      \
    auto&& stadialResult = (expression);    \
    if (!stadialResult) [[unlikely]]        \
      return stadialResult.GetError();      \
  } while (false)

// STADIAL_ASSIGN_OR_RETURN(auto x, Make()): x is the value, or the enclosing function returns the error.
#define STADIAL_CONCAT_(a, b) a##b
#define STADIAL_CONCAT(a, b) STADIAL_CONCAT_(a, b)
#define STADIAL_ASSIGN_OR_RETURN(declaration, expression)      \
  auto STADIAL_CONCAT(stadialResult, __LINE__) = (expression); \
  if (!STADIAL_CONCAT(stadialResult, __LINE__)) [[unlikely]]   \
    return STADIAL_CONCAT(stadialResult, __LINE__).GetError(); \
  declaration = std::move(STADIAL_CONCAT(stadialResult, __LINE__)).Value()
