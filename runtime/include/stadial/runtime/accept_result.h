// AcceptResult: what a bounded queue did with an item, in one vocabulary for all of them (overflow.h has the
// modes). Converts to true unless the item was rejected. A plain byte; no cost.
#pragma once

#include <cstdint>

namespace stadial::runtime {

class [[nodiscard]] AcceptResult {
 public:
  enum Value : std::uint8_t {
    Accepted,
    AcceptedAfterGrowth,   // it stands in growth borrowed from the fallback
    AcceptedOlderDropped,  // the oldest item that may be dropped made room
    Coalesced,             // merged into a queued item of the same type and key
    Rejected,
  };
  constexpr AcceptResult(Value value) noexcept : value_(value) {}  // NOLINT(google-explicit-constructor)
  constexpr operator bool() const noexcept {
    return value_ != Rejected;
  }  // NOLINT(google-explicit-constructor)
  constexpr Value Get() const noexcept { return value_; }

 private:
  Value value_;
};

}  // namespace stadial::runtime
