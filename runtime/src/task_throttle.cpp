#include "task_throttle.h"

#include <algorithm>

#include "stadial/arenas/assert.h"
#include "stadial/runtime/budget.h"

namespace stadial::runtime {
namespace {

std::uint64_t AddSaturated(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? kNoTaskLimit : sum;
}

// Rounded down; kNoTaskLimit stays what it is.
std::uint64_t PercentOf(std::uint64_t value, std::uint32_t percent) noexcept {
  if (value == kNoTaskLimit) return kNoTaskLimit;
  return value / 100 * percent + value % 100 * percent / 100;
}

}  // namespace

TaskBudget MakeTaskBudget(const Budget& budget) noexcept {
  const BudgetStats stats = budget.Stats();
  return {.bytesSoft = stats.softBytes,
          .bytesInUse = stats.usedBytes,
          .throttlePercent = budget.Limits().throttlePercent,
          .resumePercent = budget.Limits().resumePercent};
}

void TaskThrottle::SetBudget(const TaskBudget& budget) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(budget.throttlePercent, <=, 100u, "TaskBudget::throttlePercent out of range");
  STADIAL_ASSERT_COMPARE_ALWAYS(budget.resumePercent, <=, budget.throttlePercent,
                                "TaskBudget::resumePercent must not be above throttlePercent");
  STADIAL_ASSERT_COMPARE(tasksRunning_, ==, 0u, "tasks are running");
  closeAbove_ = PercentOf(budget.bytesSoft, budget.throttlePercent);
  openAt_ = PercentOf(budget.bytesSoft, budget.resumePercent);
  bytesElsewhere_ = budget.bytesInUse;
}

bool TaskThrottle::TryTake(std::uint64_t bytes) noexcept {
  const std::uint64_t now = AddSaturated(bytesElsewhere_, bytesRunning_);
  if (isClosed_ && now <= openAt_) isClosed_ = false;
  if (!isClosed_ && AddSaturated(now, bytes) > closeAbove_) isClosed_ = true;
  // The progress guarantee: with nothing running there is nothing to wait for.
  if (isClosed_ && tasksRunning_ != 0) return false;
  bytesRunning_ = AddSaturated(bytesRunning_, bytes);
  ++tasksRunning_;
  bytesPeak_ = std::max(bytesPeak_, bytesRunning_);
  return true;
}

void TaskThrottle::Return(std::uint64_t bytes) noexcept {
  STADIAL_ASSERT_COMPARE(tasksRunning_, !=, 0u, "more bytes returned than taken");
  --tasksRunning_;
  // Saturated sums cannot be taken apart, but nothing is left when nobody runs.
  bytesRunning_ = tasksRunning_ == 0 ? 0 : bytesRunning_ - std::min(bytes, bytesRunning_);
}

}  // namespace stadial::runtime
