// TaskSystem: tasks with dependencies, waves, priorities and a budget, run by stealing workers. Everything it
// needs is carved from a Setup arena; a task costs no allocation.
//
//   TaskSystem* tasks = TaskSystem::Create(setup, *workers, {.tasksMax = 4096}).Value();
//   const TaskResult step = tasks->Submit([=](TaskContext& task) { Step(*cells, task.Lane()); });
//   tasks->Submit([=] { Sum(*cells); }, {.priority = TaskPriority::High, .after = {&step.id, 1}});
//   tasks->NextWave();  // a barrier
//   const TaskReport report = tasks->ExecuteParallel(*frame, {.costMax = 2'000'000});
//
// Submit queues; nothing runs before ExecuteParallel, which returns when all that it started has ended.
// Order: waves one after the other; in a wave by priority, then in order of submission, as far as
// dependencies and idle workers allow. Which tasks a call starts, which wait for the next one and which are
// dropped follows from the submissions and costMax alone, never from the number of workers or their luck. A
// program whose concurrent tasks write different places therefore computes the same in every run.
//
// When tasksMax tasks are queued, the mode decides (arenas/overflow.h):
//   Strict    the new task is rejected.
//   Fallback  It goes to the reserve (reserveTasks, counted), and is rejected when that is full too.
//   Discard   The oldest ready task of the lowest priority that is not pinned is dropped, with all that waits
//             for it. When there is none, the new one is rejected. Bodies that spawn are refused as by
//             Strict: what has been started is not dropped.
// Defer is what costMax does, in every mode.
// An id whose task has ended or was dropped is no obstacle to a later one, nor is one of an earlier wave: the
// barrier stands between them anyway.
//
// Growth:       none.
// Exhaustion:   as above. Of edges (dependencies): the task is rejected in every mode.
// Alignment:    captures up to 16.
// Destructors:  none; captures are trivially copyable. Tasks still queued at the end are forgotten.
// Threads:      one thread, the owner, calls everything here; bodies call TaskContext. Bodies run inside a
//               gate scope of `policy` on every worker, the owner included, and must not call the owner's
//               functions (asserted).
// Invalidation: ids by the end of their task.
//
// Cost: that of a submitted and run task, and of a wave, beside oneTBB and OpenMP: bench/runtime/task_bench.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/lanes.h"
#include "stadial/arenas/overflow.h"
#include "stadial/arenas/result.h"
#include "stadial/runtime/frame_loop.h"
#include "stadial/runtime/gate_policies.h"
#include "stadial/runtime/task.h"
#include "stadial/runtime/task_runner.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

struct TaskSystemOptions {
  // Queued at once; and of queued and running ones together at least as many, so that a body may spawn while
  // there are fewer. A body's own record is free when it ends.
  std::uint32_t tasksMax = 4096;
  std::uint32_t edgesMax = 0;      // dependencies of queued tasks; 0: tasksMax * 2
  std::uint32_t reserveTasks = 0;  // Fallback only; 0: tasksMax / 4
  std::uint32_t wavesMax = 64;     // with tasks in them, at once
  std::uint32_t dequeMax = 256;    // of each worker and priority; beyond it tasks go to the shared list
  arenas::AllocationMode mode = arenas::AllocationMode::Strict;
  // How long a worker without work looks for some before it parks, while others still run. 0: at once.
  std::uint64_t spinNs = 20'000;
  // What a body's malloc and free meet, by the phase of `phases`; null: always that of phase Frame. Of a
  // Runtime's tasks both are its own (RuntimeOptions::gate).
  GateRules policy = GatePolicy::Trap;
  const PhaseMachine* phases = nullptr;
};

inline constexpr std::uint32_t kTasksMaxMax = std::uint32_t{1} << 24;

class TaskSystem {
 public:
  using AllocationMode = arenas::AllocationMode;

  // `runner` must outlive it. InvalidArgument: an option out of range; CapacityExceeded: `setup` has less
  // than CalculateBytes left.
  static Result<TaskSystem*> Create(arenas::Arena& setup, TaskRunner& runner,
                                    const TaskSystemOptions& options = {}) noexcept;
  // The error of Create for these options, without making anything.
  static Result<void> Check(const TaskSystemOptions& options, std::uint32_t workerCount) noexcept;
  // What Create takes from its arena, at most.
  static std::size_t CalculateBytes(std::uint32_t workerCount, const TaskSystemOptions& options) noexcept;

  // Queues body() or body(TaskContext&) in the wave that is being filled.
  template <class F>
  TaskResult Submit(F&& body, const TaskOptions& options = {}) noexcept STADIAL_NONALLOCATING {
    using Call = detail::TaskCall<F>;
    TaskResult result;
    void* const payload = SubmitFunction(&Call::Call, options, result);
    if (payload != nullptr) ::new (payload) typename Call::Body(std::forward<F>(body));
    return result;
  }

  // What is submitted from now on runs when everything submitted so far has ended. Nothing changes when no
  // task was submitted since the last wave. False when wavesMax waves are queued.
  [[nodiscard]] bool NextWave() noexcept STADIAL_NONALLOCATING;

  // Runs what is queued, within the budget, with the lanes of the frame: lane i for worker i, so there must
  // be as many as workers (asserted). What the budget leaves for a later call, and waits for the throttle,
  // are the frame's budgetDeferrals.
  TaskReport ExecuteParallel(FrameContext& frame,
                             const TaskBudget& budget = {}) noexcept STADIAL_NONALLOCATING {
    const TaskReport report = ExecuteParallel(budget, frame.lanes);
    frame.budgetDeferrals += report.deferred + report.throttled;
    return report;
  }
  // `lanes` may be null: TaskContext::Lane then asserts.
  TaskReport ExecuteParallel(const TaskBudget& budget = {},
                             const arenas::LaneSet* lanes = nullptr) noexcept STADIAL_NONALLOCATING;

  // Forgets everything queued; counted as dropped.
  void DropAll() noexcept STADIAL_NONALLOCATING;

  std::uint64_t QueuedCount() const noexcept;
  bool IsQueued(TaskId id) const noexcept;
  std::uint32_t WorkerCount() const noexcept;
  TaskStats GetStats() const noexcept;

  struct State;

 private:
  friend class TaskContext;
  friend class arenas::Arena;
  explicit TaskSystem(State& state) noexcept : state_(&state) {}
  // Returns where the body belongs; null when the task is rejected. (The result in registers would be written
  // in parts and read as a whole, which takes as long as all the rest.)
  void* SubmitFunction(detail::TaskFunction function, const TaskOptions& options,
                       TaskResult& result) noexcept STADIAL_NONALLOCATING;
  // In two halves, between which the body is built. Null when there is no room.
  void* BeginSpawn(detail::TaskFunction function, const TaskOptions& options,
                   std::uint32_t worker) noexcept STADIAL_NONALLOCATING;
  void EndSpawn(void* payload, std::uint32_t worker) noexcept STADIAL_NONALLOCATING;
  State* state_;
};

template <class F>
bool TaskContext::Spawn(F&& body, const TaskOptions& options) const noexcept STADIAL_NONALLOCATING {
  using Call = detail::TaskCall<F>;
  void* const payload = system_->BeginSpawn(&Call::Call, options, worker_);
  if (payload == nullptr) return false;
  ::new (payload) typename Call::Body(std::forward<F>(body));
  system_->EndSpawn(payload, worker_);
  return true;
}

}  // namespace stadial::runtime
