// The throttle of TaskBudget: which tasks with bytes may run now. Private to the runtime. Any thread; one
// lock, which tasks without bytes never touch.
#pragma once

#include <cstdint>

#include "spin_lock.h"
#include "stadial/arenas/effects.h"
#include "stadial/runtime/task.h"

namespace stadial::runtime {

class TaskThrottle {
 public:
  // Between two executions. It stays closed over them, if it was.
  void SetBudget(const TaskBudget& budget) noexcept STADIAL_NONALLOCATING;

  // True: `bytes` are taken, and the task runs now. False: Hold it; both under Lock.
  bool TryTake(std::uint64_t bytes) noexcept STADIAL_NONALLOCATING;
  void Return(std::uint64_t bytes) noexcept STADIAL_NONALLOCATING;
  void CountWait() noexcept { ++waits_; }

  SpinLock& Lock() noexcept { return lock_; }
  std::uint64_t WaitCount() const noexcept { return waits_; }
  std::uint64_t BytesPeak() const noexcept { return bytesPeak_; }

 private:
  SpinLock lock_;
  bool isClosed_ = false;
  std::uint64_t closeAbove_ = kNoTaskLimit;
  std::uint64_t openAt_ = kNoTaskLimit;
  std::uint64_t bytesElsewhere_ = 0;
  std::uint64_t bytesRunning_ = 0;
  std::uint32_t tasksRunning_ = 0;
  std::uint64_t waits_ = 0;
  std::uint64_t bytesPeak_ = 0;
};

}  // namespace stadial::runtime
