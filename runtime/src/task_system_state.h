// What a TaskSystem consists of. Private to the runtime.
//
// A task is a record of one cache line in a table. It is free (in a worker's magazines or the shared ones),
// queued (its wave counts it; it stands in a ready list once it waits for nothing), or started (in a shared
// list, in a deque, or held by the throttle). Between two runs the owner moves tasks from queued to started;
// workers run started tasks, release those that wait for them, and know nothing of waves and budgets. Hence
// what is started does not depend on them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "spin_lock.h"
#include "stadial/arenas/effects.h"
#include "stadial/runtime/task_system.h"
#include "stadial/runtime/work_deque.h"
#include "task_throttle.h"

namespace stadial::runtime {

inline constexpr std::uint32_t kNoTask = WorkDeque::kNothing;

struct alignas(64) TaskRecord {
  // Flags.
  static constexpr std::uint8_t kPinned = 1;
  static constexpr std::uint8_t kDropped = 2;    // ends without its body
  static constexpr std::uint8_t kStarted = 4;    // may run as soon as it waits for nothing
  static constexpr std::uint8_t kHasBytes = 8;   // has to pass the throttle
  static constexpr std::uint8_t kTaken = 16;     // has passed it
  static constexpr std::uint8_t kHasCosts = 32;  // a cost other than 1, or bytes: they stand in TaskCosts

  alignas(16) std::byte payload[kTaskPayloadBytesMax];
  detail::TaskFunction function;
  std::atomic<std::uint32_t> waitsFor;  // tasks that have not ended
  std::uint32_t waitsForStart;          // tasks that have not been started; the owner's
  std::uint32_t firstEdge;   // to those that wait for this one; of a free record: the next magazine
  std::uint32_t next;        // in whatever list it stands in
  std::uint32_t generation;  // of ids; grows when the record becomes free
  TaskPriority priority;
  std::atomic<std::uint8_t> flags;
  std::uint16_t wave;
};
static_assert(sizeof(TaskRecord) == 64, "a task is one cache line");
static_assert(std::is_standard_layout_v<TaskRecord> && offsetof(TaskRecord, payload) == 0,
              "EndSpawn relies on it");

// What few tasks need, apart, so that the others do not pay for it.
struct TaskCosts {
  std::uint64_t cost;
  std::uint64_t bytes;
};

struct TaskEdge {
  std::uint32_t task;  // that waits
  std::uint32_t next;
};

struct TaskList {
  std::uint32_t head = kNoTask;
  std::uint32_t tail = kNoTask;
  std::uint32_t count = 0;

  void PushBack(std::span<TaskRecord> records, std::uint32_t task) noexcept {
    records[task].next = kNoTask;
    if (head == kNoTask) {
      head = task;
    } else {
      records[tail].next = task;
    }
    tail = task;
    ++count;
  }
  std::uint32_t PopFront(std::span<TaskRecord> records) noexcept {
    const std::uint32_t task = head;
    head = records[task].next;
    if (head == kNoTask) tail = kNoTask;
    --count;
    return task;
  }
  // `other` is left empty.
  void Append(std::span<TaskRecord> records, TaskList& other) noexcept {
    if (other.head == kNoTask) return;
    if (head == kNoTask) {
      head = other.head;
    } else {
      records[tail].next = other.head;
    }
    tail = other.tail;
    count += other.count;
    other = TaskList();
  }
};

// Started tasks that no worker has yet.
struct alignas(64) SharedTaskList {
  SpinLock lock;
  TaskList list;                            // under `lock`
  std::atomic<std::uint32_t> countHint{0};  // of `list`, for those who only look
};

// Free records of one worker, in two magazines: one to take from and give to, one full or empty in reserve,
// so that a worker goes to the shared store once in kMagazineTasks and never twice in a row. What two
// magazines of every worker hold is added to the table, so that a worker finds a record while fewer than
// tasksMax are taken.
inline constexpr std::uint32_t kMagazineTasks = 64;
struct TaskMagazine {
  std::uint32_t head = kNoTask;
  std::uint32_t count = 0;
};

struct alignas(64) TaskWorker {
  TaskWorker(arenas::Arena& setup, std::size_t dequeMax) noexcept
      : deques{{setup, dequeMax}, {setup, dequeMax}, {setup, dequeMax}} {}

  WorkDeque deques[kTaskPriorities];

  // The worker's own, and the owner's between two runs.
  TaskMagazine magazine;
  TaskMagazine spare;
  std::uint32_t freeEdges = kNoTask;
  std::uint32_t lastFreeEdge = kNoTask;
  std::uint32_t freeEdgeCount = 0;
  std::uint64_t created = 0;   // tasks started by it: spawned, and for worker 0 those of the owner
  std::uint64_t finished = 0;  // ran or dropped
  std::uint64_t spawned = 0;
  std::uint64_t dropped = 0;
  std::uint64_t spawnRejected = 0;
  std::uint64_t fromReserve = 0;
  std::uint64_t stolen = 0;

  // What the others know of created and finished: written when the worker runs out of work, so that a task
  // costs no shared line. `created` first: whoever knows that a task has finished knows of all that it
  // created.
  alignas(64) std::atomic<std::uint64_t> createdKnown{0};
  std::atomic<std::uint64_t> finishedKnown{0};
};

struct TaskWave {
  // By priority, pinned ones first.
  static constexpr std::uint32_t kLists = kTaskPriorities * 2;
  static std::uint32_t ListOf(const TaskRecord& record) noexcept {
    const bool isPinned = (record.flags.load(std::memory_order_relaxed) & TaskRecord::kPinned) != 0;
    return static_cast<std::uint32_t>(record.priority) * 2 + (isPinned ? 0 : 1);
  }
  TaskList ready[kLists];
  std::uint32_t queued = 0;      // in `ready`, and those that still wait
  std::uint32_t priorities = 0;  // bits of those that its tasks have
};

struct TaskSystem::State {
  TaskSystemOptions options;
  TaskRunner* runner = nullptr;
  TaskSystem* object = nullptr;
  std::uint32_t workerCount = 0;
  std::uint64_t spinNs = 0;
  std::uint32_t tableTasks = 0;   // tasksMax, and what the magazines of other workers may hold
  std::span<TaskRecord> records;  // tableTasks, then the reserve
  std::span<TaskCosts> costs;
  std::span<TaskEdge> edges;
  std::span<TaskWorker> workers;
  std::span<TaskWave> waves;  // a ring

  // The owner's.
  std::uint32_t firstWave = 0;
  std::uint32_t waveCount = 1;
  std::uint32_t fillingWave = 0;  // the last of them
  std::uint32_t freeEdges = kNoTask;
  std::uint32_t freeEdgeCount = 0;
  std::uint64_t accepted = 0;
  std::uint64_t rejected = 0;
  std::uint64_t dropped = 0;  // by the owner
  std::uint64_t fromReserve = 0;
  std::uint64_t throttledReported = 0;
  std::uint64_t queued = 0;
  std::uint64_t queuedPeak = 0;
  bool isExecuting = false;

  // Written between two runs, read by the workers.
  const arenas::LaneSet* lanes = nullptr;
  Phase phase = Phase::Frame;
  bool isAllStarted = false;  // of the wave: no task of it lacks kStarted for want of budget

  SharedTaskList shared[kTaskPriorities];
  alignas(64) std::atomic<std::uint32_t> priorities{0};  // bits of those that this run has met
  alignas(64) std::atomic<std::uint32_t> sleepers{0};
  std::atomic<std::uint32_t> signals{0};  // sleepers wait on it

  alignas(64) SpinLock storeLock;
  std::uint32_t magazines = kNoTask;  // chained by firstEdge
  std::uint32_t reserve = kNoTask;    // chained by next
  std::uint32_t reserveTaken = 0;

  TaskThrottle throttle;
  TaskList held[kTaskPriorities];  // under throttle.Lock()

  // task_system_memory.cpp
  void FillStore() noexcept;
  // A record for the worker; kNoTask when there is none.
  std::uint32_t TakeRecord(TaskWorker& worker) noexcept {
    TaskMagazine& magazine = worker.magazine;
    if (magazine.head == kNoTask && !LoadMagazine(worker)) [[unlikely]]
      return kNoTask;
    const std::uint32_t task = magazine.head;
    magazine.head = records[task].next;
    magazine.count = magazine.head == kNoTask ? 0 : magazine.count - 1;
    return task;
  }
  void FreeRecord(TaskWorker& worker, std::uint32_t task) noexcept {
    TaskRecord& record = records[task];
    ++record.generation;
    if (task >= tableTasks) [[unlikely]] {
      FreeToReserve(task);
      return;
    }
    if (worker.magazine.count >= kMagazineTasks) [[unlikely]]
      StoreMagazine(worker);
    record.next = worker.magazine.head;
    worker.magazine.head = task;
    ++worker.magazine.count;
  }
  bool LoadMagazine(TaskWorker& worker) noexcept STADIAL_NONALLOCATING;
  void StoreMagazine(TaskWorker& worker) noexcept STADIAL_NONALLOCATING;
  void FreeToReserve(std::uint32_t task) noexcept STADIAL_NONALLOCATING;
  std::uint32_t TakeFromReserve() noexcept STADIAL_NONALLOCATING;
  void CollectEdges() noexcept STADIAL_NONALLOCATING;

  // task_system.cpp
  TaskWave& FillingWave() noexcept { return waves[fillingWave]; }
  std::uint64_t CostOf(std::uint32_t task) const noexcept {
    return (records[task].flags.load(std::memory_order_relaxed) & TaskRecord::kHasCosts) != 0
               ? costs[task].cost
               : 1;
  }
  std::uint32_t CountObstacles(std::span<const TaskId> after) const noexcept;
  bool IsQueued(TaskId id) const noexcept {
    return id.index < records.size() && records[id.index].generation == id.generation;
  }
  void Link(std::span<const TaskId> after, std::uint32_t task) noexcept;
  std::uint32_t MakeRoom(std::span<const TaskId> after, TaskOutcome& outcome) noexcept;
  bool DropOldest() noexcept;
  void Drop(std::uint32_t task) noexcept;
  std::uint32_t StartAll(TaskWave& wave) noexcept;
  struct Spending {
    std::uint64_t costMax = 0;
    std::uint64_t cost = 0;
    bool hasStarted = false;
  };
  std::uint32_t StartWithin(TaskWave& wave, Spending& spending) noexcept;
  void HandOverLanes() noexcept;
  void RunWave(TaskWave& wave, std::uint32_t started) noexcept;

  // task_system_run.cpp
  void Loop(std::uint32_t index) noexcept STADIAL_NONALLOCATING;
  std::uint32_t Find(TaskWorker& worker, std::uint32_t index) noexcept;
  std::uint32_t TakeShared(TaskWorker& worker, std::uint32_t priority) noexcept;
  void RunTask(TaskWorker& worker, std::uint32_t task, TaskContext& context) noexcept;
  void Release(TaskWorker& worker, TaskRecord& record, bool isDropped) noexcept;
  bool PassThrottle(std::uint32_t task) noexcept;
  void ReturnBytes(TaskWorker& worker, std::uint64_t bytes) noexcept;
  void Push(TaskWorker& worker, std::uint32_t task) noexcept;
  void PushShared(std::uint32_t task) noexcept STADIAL_NONALLOCATING;
  bool HasWork() const noexcept;
  bool IsQuiescent() const noexcept STADIAL_NONALLOCATING;
  void Park() noexcept;
  void WakeSleepers(std::uint32_t count) noexcept;
};

}  // namespace stadial::runtime
