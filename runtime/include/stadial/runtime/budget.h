// Budget: how many bytes one heap or one subsystem may hold (B-a), host or device. Reserve before the memory
// is taken, Release after it was given back:
//
//   hard      a reservation that would pass it is refused, with an error that names the numbers;
//   soft      may be passed; above it the budget says IsOverSoft;
//   throttle  from 85 % of soft up the budget says IsThrottled, until use has fallen to 75 %: whoever can
//             wait (task queues, streaming) stops starting new work meanwhile. The gap keeps the state from
//             flickering.
//
// Use is what was reserved here plus the outside bytes: what others take from the same heap, as fed in by
// whoever knows (the device's own account). Numbers cross layers as plain values, nothing here asks a driver.
//
// The six answers. Growth: never. Exhaustion: see hard; refusals are counted. Alignment: 64, so that two
// budgets share no cache line. Destructors: a Budget has none; a BudgetCharge releases. Threads: reserve,
// release and read on any; SetLimits, SetOutsideBytes and Feed on one at a time. Invalidation: a table's
// budgets live as long as the arena they were carved from.
//
// Cost: one compare-and-swap per reservation or release. Use and throttle state change in one step, so no
// interleaving leaves a stale state behind. Nothing allocates.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <utility>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/result.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

// 128 TiB - 1: what an address can reach, and as a limit none.
inline constexpr std::uint64_t kBudgetBytesMax = (std::uint64_t{1} << 47) - 1;

struct BudgetLimits {
  std::uint64_t softBytes = kBudgetBytesMax;
  std::uint64_t hardBytes = kBudgetBytesMax;
  std::uint32_t throttlePercent = 85;  // of soft: throttled from here up
  std::uint32_t resumePercent = 75;    // of soft: until here or below
};

// What a device says of one of its heaps (VK_EXT_memory_budget): what this process holds of it, by whatever
// way, and what it may hold.
struct HeapReading {
  std::uint64_t usageBytes = 0;
  std::uint64_t budgetBytes = 0;
};

struct BudgetStats {
  std::uint64_t reservedBytes = 0;
  std::uint64_t outsideBytes = 0;
  std::uint64_t usedBytes = 0;  // the sum
  std::uint64_t peakBytes = 0;  // highest usedBytes that a reservation left
  std::uint64_t softBytes = 0;  // in force now
  std::uint64_t hardBytes = 0;
  std::uint64_t refused = 0;    // reservations
  std::uint64_t throttles = 0;  // times the throttle set in
  bool isThrottled = false;
};

class alignas(64) Budget {
 public:
  // `name` is not copied. The limits must pass Check (asserted).
  explicit Budget(const char* name, const BudgetLimits& limits = {}) noexcept;
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  // InvalidArgument: soft above hard, hard above kBudgetBytesMax, or percentages that are not
  // 0 < resume < throttle <= 100.
  static Result<void> Check(const char* name, const BudgetLimits& limits) noexcept;

  // False: it would pass the hard limit; counted. Any size is safe. Zero bytes are always granted.
  [[nodiscard]] bool TryReserve(std::uint64_t bytes) noexcept STADIAL_NONALLOCATING;
  // The same, with CapacityExceeded that names the numbers and `what` wanted them.
  Result<void> Reserve(std::uint64_t bytes, const char* what) noexcept STADIAL_NONALLOCATING;
  // At most what is reserved (asserted).
  void Release(std::uint64_t bytes) noexcept STADIAL_NONALLOCATING;

  bool IsThrottled() const noexcept { return (word_.load(std::memory_order_acquire) & kThrottledBit) != 0; }
  bool IsOverSoft() const noexcept { return UsedBytes() > softBytes_.load(std::memory_order_relaxed); }
  std::uint64_t ReservedBytes() const noexcept { return word_.load(std::memory_order_acquire) & kBytesMask; }
  std::uint64_t UsedBytes() const noexcept {
    return ReservedBytes() + outsideBytes_.load(std::memory_order_relaxed);
  }
  // Left below the hard limit; what another thread reserves meanwhile is gone from it.
  std::uint64_t RemainingBytes() const noexcept;
  const char* Name() const noexcept { return name_; }
  // As given; a reading may have lowered those in force (Stats).
  const BudgetLimits& Limits() const noexcept { return limits_; }
  BudgetStats Stats() const noexcept;

  // In force for reservations that begin afterwards. What is reserved already stays, over the limit or not.
  // InvalidArgument as Check, and nothing changes.
  Result<void> SetLimits(const BudgetLimits& limits) noexcept;
  // At most kBudgetBytesMax; more counts as that.
  void SetOutsideBytes(std::uint64_t bytes) noexcept;
  // Once a frame, from the device's account: what it counts beyond our reservations is outside, and its
  // budget bounds soft and hard while it is the smaller one. A budget of 0 means that the device gives none.
  void Feed(const HeapReading& reading) noexcept;

 private:
  // One word, so that one compare-and-swap decides: bytes reserved, throttled or not, and a count of the
  // changes of limits and outside bytes, which makes a swap fail that was decided by the old ones.
  static constexpr std::uint64_t kBytesMask = kBudgetBytesMax;
  static constexpr std::uint64_t kThrottledBit = std::uint64_t{1} << 47;
  static constexpr std::uint64_t kEpochOne = std::uint64_t{1} << 48;

  std::uint64_t WordFor(std::uint64_t word, std::uint64_t reserved, std::uint64_t outside) const noexcept;
  void NoteThrottle(std::uint64_t before, std::uint64_t after) noexcept;
  void Apply(std::uint64_t soft, std::uint64_t hard, std::uint64_t outside) noexcept;

  std::atomic<std::uint64_t> word_{0};
  std::atomic<std::uint64_t> outsideBytes_{0};
  std::atomic<std::uint64_t> hardBytes_{0};
  std::atomic<std::uint64_t> softBytes_{0};
  std::atomic<std::uint64_t> throttleBytes_{0};
  std::atomic<std::uint64_t> resumeBytes_{0};
  std::atomic<std::uint64_t> peakBytes_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> throttles_{0};
  const char* name_;
  BudgetLimits limits_;  // of the configuring thread
};

// A reservation in one or two budgets, released when it goes out of scope. Move-only; must not outlive them.
class [[nodiscard]] BudgetCharge {
 public:
  BudgetCharge() noexcept = default;
  BudgetCharge(BudgetCharge&& other) noexcept
      : subsystem_(std::exchange(other.subsystem_, nullptr)),
        heap_(std::exchange(other.heap_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  BudgetCharge& operator=(BudgetCharge&& other) noexcept;
  ~BudgetCharge() { Reset(); }

  // All of it in both, or nothing in either; the error is that of the one that refused. Between the two steps
  // another thread can see the first one's share and be refused for it.
  static Result<BudgetCharge> Make(Budget& subsystem, Budget& heap, std::uint64_t bytes,
                                   const char* what) noexcept;
  static Result<BudgetCharge> Make(Budget& budget, std::uint64_t bytes, const char* what) noexcept;

  void Reset() noexcept;
  // Leaves the reservation in place, for a holder that calls Budget::Release itself.
  void Keep() noexcept {
    subsystem_ = heap_ = nullptr;
    bytes_ = 0;
  }
  std::uint64_t Bytes() const noexcept { return bytes_; }

 private:
  BudgetCharge(Budget* subsystem, Budget* heap, std::uint64_t bytes) noexcept
      : subsystem_(subsystem), heap_(heap), bytes_(bytes) {}
  Budget* subsystem_ = nullptr;
  Budget* heap_ = nullptr;
  std::uint64_t bytes_ = 0;
};

struct BudgetTableOptions {
  std::uint32_t heapsMax = 17;  // the host, and the 16 heaps that a Vulkan device can have
  std::uint32_t subsystemsMax = 32;
};

// The budgets of a program, by name. Lives in Setup memory; Add and Remove in Setup, on one thread.
class BudgetTable {
 public:
  static constexpr std::size_t kNameBytesMax = 32;  // of a name, with its zero

  explicit BudgetTable(arenas::Arena& setup, const BudgetTableOptions& options = {}) noexcept;
  BudgetTable(const BudgetTable&) = delete;
  BudgetTable& operator=(const BudgetTable&) = delete;

  // What the constructor takes from its arena.
  static std::size_t CalculateBytes(const BudgetTableOptions& options) noexcept;

  // The name is copied. InvalidArgument: an empty, overlong or taken name, or limits that do not pass Check;
  // CapacityExceeded: the table is full. The pointers are stable.
  Result<Budget*> AddHeap(const char* name, const BudgetLimits& limits = {}) noexcept;
  Result<Budget*> AddSubsystem(const char* name, const BudgetLimits& limits = {}) noexcept;

  // For owners that end or fail in Setup, in reverse order of Add: the youngest budget of its kind makes room
  // again, any other stays listed. Nothing may be in use of it (asserted). Null is fine.
  void Remove(Budget* budget) noexcept;

  Budget* Find(const char* name) noexcept;
  std::span<Budget> Heaps() noexcept { return {heaps_.first, heaps_.count}; }
  std::span<Budget> Subsystems() noexcept { return {subsystems_.first, subsystems_.count}; }

 private:
  struct Budgets {
    Budget* first = nullptr;
    char (*names)[kNameBytesMax] = nullptr;  // one for each budget
    std::uint32_t count = 0;
    std::uint32_t max = 0;
    const char* option = "";
  };
  Result<Budget*> Add(Budgets& budgets, const char* name, const BudgetLimits& limits) noexcept;

  Budgets heaps_;
  Budgets subsystems_;
};

}  // namespace stadial::runtime
