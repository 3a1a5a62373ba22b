// What a task is: its options, its budget, what became of it, and what its body sees. See task_system.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"

namespace stadial::runtime {

class Budget;
class TaskSystem;

inline constexpr std::size_t kTaskPayloadBytesMax = 32;

enum class TaskPriority : std::uint8_t { High, Normal, Low };
inline constexpr std::uint32_t kTaskPriorities = 3;

// Names a submitted task until it has ended. A default one names none, and neither does one that ended.
struct TaskId {
  std::uint32_t index = 0xFFFFFFFF;
  std::uint32_t generation = 0;
};

struct TaskOptions {
  TaskPriority priority = TaskPriority::Normal;
  bool isPinned = false;    // Discard does not drop it to make room
  std::uint64_t cost = 1;   // in the unit of TaskBudget::costMax: nanoseconds, points, what the caller likes
  std::uint64_t bytes = 0;  // memory that it takes while it runs, counted against TaskBudget::bytesSoft
  // Tasks that must have ended first. Each was submitted before this one, so no cycle can be built. Of tasks
  // spawned by a body: must be empty (asserted).
  std::span<const TaskId> after = {};
};

enum class TaskOutcome : std::uint8_t {
  Accepted,
  AcceptedFromReserve,   // Fallback: it stands in the reserve
  AcceptedOlderDropped,  // Discard: the oldest unpinned task made room
  Rejected,
};
const char* ToString(TaskOutcome outcome) noexcept;

// Converts to true unless the task was rejected.
struct [[nodiscard]] TaskResult {
  TaskOutcome outcome = TaskOutcome::Rejected;
  TaskId id;
  explicit operator bool() const noexcept { return outcome != TaskOutcome::Rejected; }
};

inline constexpr std::uint64_t kNoTaskLimit = ~std::uint64_t{0};

// What one ExecuteParallel may use.
struct TaskBudget {
  // Defer: tasks are started in order while the sum of their costs stays within it; the rest waits for the
  // next call. At least one task is started.
  std::uint64_t costMax = kNoTaskLimit;
  // The throttle: no task starts that would take `bytesInUse` and the bytes of the running tasks above
  // throttlePercent of bytesSoft. It waits, and so do all that have bytes, until the sum is down at
  // resumePercent. While nothing with bytes runs, one task starts whatever it takes.
  std::uint64_t bytesSoft = kNoTaskLimit;
  std::uint64_t bytesInUse = 0;  // by everybody else, on the same heap
  std::uint32_t throttlePercent = 85;
  std::uint32_t resumePercent = 75;  // at most throttlePercent
};

// Under the limits of `budget`, with what is in use of it now; costs unlimited.
TaskBudget MakeTaskBudget(const Budget& budget) noexcept;

// What one ExecuteParallel did.
struct TaskReport {
  std::uint64_t ran = 0;        // bodies called, spawned ones included
  std::uint64_t spawned = 0;    // by bodies
  std::uint64_t dropped = 0;    // because a task they waited for was dropped
  std::uint64_t deferred = 0;   // still queued
  std::uint64_t throttled = 0;  // waits of tasks for the throttle
  std::uint64_t cost = 0;       // of the tasks started; 0 when costMax is kNoTaskLimit
  std::uint32_t waves = 0;      // barriers passed
};

// Since construction; accepted + spawned == ran + dropped + queued, at any time between two executions.
struct TaskStats {
  std::uint64_t accepted = 0;  // by Submit
  std::uint64_t spawned = 0;   // accepted from bodies
  std::uint64_t ran = 0;
  std::uint64_t dropped = 0;        // by Discard, with all that waited for them
  std::uint64_t rejected = 0;       // Submit refused: no room
  std::uint64_t spawnRejected = 0;  // Spawn refused: no room
  std::uint64_t fromReserve = 0;    // accepted in the reserve
  std::uint64_t stolen = 0;         // by one worker from another
  std::uint64_t throttled = 0;      // waits of tasks for the throttle
  std::uint64_t bytesPeak = 0;      // most bytes of running tasks at once
  std::uint64_t queued = 0;
  std::uint64_t queuedPeak = 0;
  std::uint64_t capacity = 0;  // tasksMax
};

// What a body sees. Valid during the call, on its thread.
class TaskContext {
 public:
  // Below the runner's WorkerCount; one task at a time has it.
  std::uint32_t WorkerIndex() const noexcept { return worker_; }
  // The worker's own lane of the frame. Asserts that ExecuteParallel was given lanes.
  arenas::Arena& Lane() const noexcept {
    STADIAL_ASSERT_ALWAYS(lane_ != nullptr, "this ExecuteParallel was given no lanes");
    return *lane_;
  }
  bool HasLane() const noexcept { return lane_ != nullptr; }

  // Queues another task, to run in the same wave, on any worker. False when there is no room for it (with
  // Fallback: not in the reserve either), which is counted: run it here, as in
  //   if (!task.Spawn(body)) body(task);
  template <class F>
  [[nodiscard]] bool Spawn(F&& body, const TaskOptions& options = {}) const noexcept STADIAL_NONALLOCATING;

 private:
  friend class TaskSystem;
  TaskSystem* system_ = nullptr;
  arenas::Arena* lane_ = nullptr;
  std::uint32_t worker_ = 0;
};

namespace detail {

using TaskFunction = void (*)(TaskContext& context, void* payload) noexcept STADIAL_NONALLOCATING;

// A body as a function and the bytes of its captures. They are built where the task system keeps them.
template <class F>
struct TaskCall {
  using Body = std::remove_cvref_t<F>;
  static_assert(std::is_trivially_copyable_v<Body> && std::is_trivially_destructible_v<Body>,
                "a task's captures are copied as bytes and never destroyed: capture pointers and values");
  static_assert(sizeof(Body) <= kTaskPayloadBytesMax && alignof(Body) <= 16,
                "a task captures at most kTaskPayloadBytesMax bytes: put the rest in an arena");
  static_assert(std::is_invocable_v<Body&, TaskContext&> || std::is_invocable_v<Body&>,
                "a task is body(TaskContext&) or body()");

  static void Call(TaskContext& context, void* payload) noexcept STADIAL_NONALLOCATING {
    Body& self = *std::launder(static_cast<Body*>(payload));
    if constexpr (std::is_invocable_v<Body&, TaskContext&>) {
      self(context);
    } else {
      static_cast<void>(context);
      self();
    }
  }
};

}  // namespace detail
}  // namespace stadial::runtime
