#include "stadial/runtime/budget.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "stadial/arenas/byte_text.h"

namespace stadial::runtime {
namespace {

using arenas::FormatBytes;

// Rounded down; `bytes` is at most kBudgetBytesMax, so that the product fits.
std::uint64_t Share(std::uint64_t bytes, std::uint32_t percent) noexcept { return bytes * percent / 100; }

}  // namespace

Result<void> Budget::Check(const char* name, const BudgetLimits& limits) noexcept {
  if (limits.softBytes > limits.hardBytes || limits.hardBytes > kBudgetBytesMax) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "budget '%s': soft limit %s and hard limit %s; soft must not exceed hard, nor hard %s", name,
        FormatBytes(limits.softBytes).Get(), FormatBytes(limits.hardBytes).Get(),
        FormatBytes(kBudgetBytesMax).Get());
  }
  if (limits.resumePercent == 0 || limits.resumePercent >= limits.throttlePercent ||
      limits.throttlePercent > 100) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "budget '%s': throttle at %u %% of soft, resume at %u %%; 0 < resume < throttle <= "
                         "100 is demanded",
                         name, limits.throttlePercent, limits.resumePercent);
  }
  return {};
}

Budget::Budget(const char* name, const BudgetLimits& limits) noexcept : name_(name), limits_(limits) {
  STADIAL_ASSERT_ALWAYS(Check(name, limits).HasValue(), "limits that Budget::Check refuses");
  Apply(limits.softBytes, limits.hardBytes, 0);
}

// The word after a change of what is reserved: the throttle sets in at one threshold and lets go at a lower
// one.
std::uint64_t Budget::WordFor(std::uint64_t word, std::uint64_t reserved,
                              std::uint64_t outside) const noexcept {
  const std::uint64_t used = reserved + outside;
  const bool wasThrottled = (word & kThrottledBit) != 0;
  const bool isThrottled = wasThrottled ? used > resumeBytes_.load(std::memory_order_relaxed)
                                        : used >= throttleBytes_.load(std::memory_order_relaxed);
  return (word & ~(kBytesMask | kThrottledBit)) | reserved | (isThrottled ? kThrottledBit : 0);
}

void Budget::NoteThrottle(std::uint64_t before, std::uint64_t after) noexcept {
  if ((after & ~before & kThrottledBit) != 0) throttles_.fetch_add(1, std::memory_order_relaxed);
}

bool Budget::TryReserve(std::uint64_t bytes) noexcept {
  std::uint64_t word = word_.load(std::memory_order_acquire);
  for (;;) {
    const std::uint64_t reserved = word & kBytesMask;
    const std::uint64_t outside = outsideBytes_.load(std::memory_order_relaxed);
    const std::uint64_t hard = hardBytes_.load(std::memory_order_relaxed);
    const std::uint64_t used = reserved + outside;
    if (bytes != 0 && (used > hard || bytes > hard - used)) [[unlikely]] {
      refused_.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    const std::uint64_t next = WordFor(word, reserved + bytes, outside);
    if (word_.compare_exchange_weak(word, next, std::memory_order_acq_rel, std::memory_order_acquire)) {
      NoteThrottle(word, next);
      std::uint64_t peak = peakBytes_.load(std::memory_order_relaxed);
      while (peak < used + bytes &&
             !peakBytes_.compare_exchange_weak(peak, used + bytes, std::memory_order_relaxed)) {
      }
      return true;
    }
  }
}

Result<void> Budget::Reserve(std::uint64_t bytes, const char* what) noexcept {
  if (TryReserve(bytes)) [[likely]]
    return {};
  const BudgetStats stats = Stats();
  return Error::Format(
      ErrorCode::CapacityExceeded,
      "budget '%s' refused %s for %s: %s of hard limit %s in use (%s of them outside, soft limit %s, peak "
      "%s); release something or raise its hardBytes",
      name_, FormatBytes(bytes).Get(), what, FormatBytes(stats.usedBytes).Get(),
      FormatBytes(stats.hardBytes).Get(), FormatBytes(stats.outsideBytes).Get(),
      FormatBytes(stats.softBytes).Get(), FormatBytes(stats.peakBytes).Get());
}

void Budget::Release(std::uint64_t bytes) noexcept {
  std::uint64_t word = word_.load(std::memory_order_acquire);
  std::uint64_t next = 0;
  do {
    STADIAL_ASSERT_COMPARE_ALWAYS(bytes, <=, word & kBytesMask, "more is released than was reserved");
    next = WordFor(word, (word & kBytesMask) - bytes, outsideBytes_.load(std::memory_order_relaxed));
  } while (!word_.compare_exchange_weak(word, next, std::memory_order_acq_rel, std::memory_order_acquire));
  NoteThrottle(word, next);
}

// Numbers first, then the epoch: a swap that was decided by old numbers fails, and one that follows sees the
// new ones.
void Budget::Apply(std::uint64_t soft, std::uint64_t hard, std::uint64_t outside) noexcept {
  softBytes_.store(soft, std::memory_order_relaxed);
  hardBytes_.store(hard, std::memory_order_relaxed);
  // Also for a soft limit of next to nothing the two differ, or the state would flicker.
  const std::uint64_t resume = Share(soft, limits_.resumePercent);
  resumeBytes_.store(resume, std::memory_order_relaxed);
  throttleBytes_.store(std::max(Share(soft, limits_.throttlePercent), resume + 1), std::memory_order_relaxed);
  outsideBytes_.store(outside, std::memory_order_relaxed);
  std::uint64_t word = word_.load(std::memory_order_acquire);
  std::uint64_t next = 0;
  do {
    next = WordFor(word, word & kBytesMask, outside) + kEpochOne;
  } while (!word_.compare_exchange_weak(word, next, std::memory_order_acq_rel, std::memory_order_acquire));
  NoteThrottle(word, next);
}

Result<void> Budget::SetLimits(const BudgetLimits& limits) noexcept {
  STADIAL_RETURN_IF_ERROR(Check(name_, limits));
  limits_ = limits;
  Apply(limits.softBytes, limits.hardBytes, outsideBytes_.load(std::memory_order_relaxed));
  return {};
}

void Budget::SetOutsideBytes(std::uint64_t bytes) noexcept {
  Apply(softBytes_.load(std::memory_order_relaxed), hardBytes_.load(std::memory_order_relaxed),
        std::min(bytes, kBudgetBytesMax));
}

void Budget::Feed(const HeapReading& reading) noexcept {
  const std::uint64_t most = reading.budgetBytes == 0 ? kBudgetBytesMax : reading.budgetBytes;
  const std::uint64_t usage = std::min(reading.usageBytes, kBudgetBytesMax);
  const std::uint64_t reserved = ReservedBytes();
  Apply(std::min(limits_.softBytes, most), std::min(limits_.hardBytes, most),
        usage > reserved ? usage - reserved : 0);
}

std::uint64_t Budget::RemainingBytes() const noexcept {
  const std::uint64_t hard = hardBytes_.load(std::memory_order_relaxed);
  const std::uint64_t used = UsedBytes();
  return used < hard ? hard - used : 0;
}

BudgetStats Budget::Stats() const noexcept {
  const std::uint64_t word = word_.load(std::memory_order_acquire);
  BudgetStats stats;
  stats.reservedBytes = word & kBytesMask;
  stats.outsideBytes = outsideBytes_.load(std::memory_order_relaxed);
  stats.usedBytes = stats.reservedBytes + stats.outsideBytes;
  stats.peakBytes = peakBytes_.load(std::memory_order_relaxed);
  stats.softBytes = softBytes_.load(std::memory_order_relaxed);
  stats.hardBytes = hardBytes_.load(std::memory_order_relaxed);
  stats.refused = refused_.load(std::memory_order_relaxed);
  stats.throttles = throttles_.load(std::memory_order_relaxed);
  stats.isThrottled = (word & kThrottledBit) != 0;
  return stats;
}

BudgetCharge& BudgetCharge::operator=(BudgetCharge&& other) noexcept {
  if (this != &other) {
    Reset();
    subsystem_ = std::exchange(other.subsystem_, nullptr);
    heap_ = std::exchange(other.heap_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

Result<BudgetCharge> BudgetCharge::Make(Budget& subsystem, Budget& heap, std::uint64_t bytes,
                                        const char* what) noexcept {
  STADIAL_RETURN_IF_ERROR(subsystem.Reserve(bytes, what));
  const Result<void> reserved = heap.Reserve(bytes, what);
  if (!reserved.HasValue()) {
    subsystem.Release(bytes);
    return reserved.GetError();
  }
  return BudgetCharge(&subsystem, &heap, bytes);
}

Result<BudgetCharge> BudgetCharge::Make(Budget& budget, std::uint64_t bytes, const char* what) noexcept {
  STADIAL_RETURN_IF_ERROR(budget.Reserve(bytes, what));
  return BudgetCharge(&budget, nullptr, bytes);
}

void BudgetCharge::Reset() noexcept {
  if (subsystem_ != nullptr) subsystem_->Release(bytes_);
  if (heap_ != nullptr) heap_->Release(bytes_);
  subsystem_ = heap_ = nullptr;
  bytes_ = 0;
}

BudgetTable::BudgetTable(arenas::Arena& setup, const BudgetTableOptions& options) noexcept {
  const auto carve = [&](std::uint32_t count, const char* option) {
    void* const memory = setup.Allocate(std::size_t{count} * sizeof(Budget), alignof(Budget));
    void* const names = setup.Allocate(std::size_t{count} * kNameBytesMax);
    return Budgets{.first = static_cast<Budget*>(memory),
                   .names = static_cast<char(*)[kNameBytesMax]>(names),
                   .count = 0,
                   .max = count,
                   .option = option};
  };
  heaps_ = carve(options.heapsMax, "heapsMax");
  subsystems_ = carve(options.subsystemsMax, "subsystemsMax");
}

std::size_t BudgetTable::CalculateBytes(const BudgetTableOptions& options) noexcept {
  const std::size_t budgets = std::size_t{options.heapsMax} + options.subsystemsMax;
  return budgets * (sizeof(Budget) + kNameBytesMax) + 2 * alignof(Budget);
}

Result<Budget*> BudgetTable::AddHeap(const char* name, const BudgetLimits& limits) noexcept {
  return Add(heaps_, name, limits);
}

Result<Budget*> BudgetTable::AddSubsystem(const char* name, const BudgetLimits& limits) noexcept {
  return Add(subsystems_, name, limits);
}

Result<Budget*> BudgetTable::Add(Budgets& budgets, const char* name, const BudgetLimits& limits) noexcept {
  if (name == nullptr || name[0] == '\0')
    return Error::Format(ErrorCode::InvalidArgument, "a budget without a name");
  if (std::strlen(name) >= kNameBytesMax) {
    return Error::Format(ErrorCode::InvalidArgument, "the name of budget '%s' is longer than %zu characters",
                         name, kNameBytesMax - 1);
  }
  if (Find(name) != nullptr)
    return Error::Format(ErrorCode::InvalidArgument, "budget '%s' exists already", name);
  STADIAL_RETURN_IF_ERROR(Budget::Check(name, limits));
  if (budgets.count == budgets.max) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "budget '%s' does not fit: %u of %u are in use; raise BudgetTableOptions::%s", name,
                         budgets.count, budgets.max, budgets.option);
  }
  char* const copy = budgets.names[budgets.count];
  std::memcpy(copy, name, std::strlen(name) + 1);
  return ::new (&budgets.first[budgets.count++]) Budget(copy, limits);
}

void BudgetTable::Remove(Budget* budget) noexcept {
  if (budget == nullptr) return;
  STADIAL_ASSERT_COMPARE_ALWAYS(budget->ReservedBytes(), ==, std::uint64_t{0}, "the budget is in use");
  for (Budgets* const budgets : {&heaps_, &subsystems_}) {
    if (budgets->count != 0 && budget == budgets->first + budgets->count - 1) --budgets->count;
  }
}

Budget* BudgetTable::Find(const char* name) noexcept {
  for (const std::span<Budget> budgets : {Heaps(), Subsystems()}) {
    for (Budget& budget : budgets) {
      if (std::strcmp(budget.Name(), name) == 0) return &budget;
    }
  }
  return nullptr;
}

}  // namespace stadial::runtime
