// The owner's side of a TaskSystem: queueing, dependencies, overflow, and what a budget starts.
#include "stadial/runtime/task_system.h"

#include <algorithm>
#include <iterator>
#include <new>

#include "core_count.h"
#include "stadial/runtime/thread_registry.h"
#include "task_system_state.h"

namespace stadial::runtime {
namespace {

constexpr std::uint32_t kWavesMaxMax = 0xFFFF;  // TaskRecord::wave
constexpr std::uint32_t kDequeMaxLeast = 64;    // a batch from the shared list must fit
constexpr std::uint32_t kDequeMaxMax = 1u << 20;

struct Sizes {
  std::uint32_t table;    // options.tasksMax, and two magazines for each worker
  std::uint32_t records;  // the table and the reserve
  std::uint32_t edges;
};
Sizes SizesOf(const TaskSystemOptions& options, std::uint32_t workerCount) noexcept {
  const std::uint32_t table = options.tasksMax + workerCount * 2 * kMagazineTasks;
  const std::uint32_t reserve = options.reserveTasks != 0 ? options.reserveTasks : options.tasksMax / 4;
  const bool hasReserve = options.mode == arenas::AllocationMode::Fallback;
  return {.table = table,
          .records = table + (hasReserve ? reserve : 0),
          .edges = options.edgesMax != 0 ? options.edgesMax : options.tasksMax * 2};
}

}  // namespace

const char* ToString(TaskOutcome outcome) noexcept {
  switch (outcome) {
    case TaskOutcome::Accepted:
      return "Accepted";
    case TaskOutcome::AcceptedFromReserve:
      return "AcceptedFromReserve";
    case TaskOutcome::AcceptedOlderDropped:
      return "AcceptedOlderDropped";
    case TaskOutcome::Rejected:
      return "Rejected";
  }
  return "Unknown";
}

Result<void> TaskSystem::Check(const TaskSystemOptions& options, std::uint32_t workerCount) noexcept {
  const struct {
    const char* name;
    std::uint64_t value, least, most;
  } ranges[] = {
      {"TaskSystemOptions::tasksMax", options.tasksMax, 1, kTasksMaxMax},
      {"TaskSystemOptions::edgesMax", options.edgesMax, 0, kTasksMaxMax * 8ull},
      {"TaskSystemOptions::reserveTasks", options.reserveTasks, 0, kTasksMaxMax},
      {"TaskSystemOptions::wavesMax", options.wavesMax, 1, kWavesMaxMax},
      {"TaskSystemOptions::dequeMax", options.dequeMax, kDequeMaxLeast, kDequeMaxMax},
      {"TaskSystemOptions::mode", static_cast<std::uint64_t>(options.mode), 0,
       static_cast<std::uint64_t>(arenas::AllocationMode::Discard)},
      {"TaskRunner::WorkerCount()", workerCount, 1, kRegisteredThreadsMax},
  };
  for (const auto& range : ranges) {
    if (range.value >= range.least && range.value <= range.most) continue;
    return Error::Format(ErrorCode::InvalidArgument, "%s is %llu; it must be %llu to %llu", range.name,
                         static_cast<unsigned long long>(range.value),
                         static_cast<unsigned long long>(range.least),
                         static_cast<unsigned long long>(range.most));
  }
  return CheckGateRules("TaskSystemOptions::policy", options.policy);
}

// One addend per table, each with what its alignment may skip.
std::size_t TaskSystem::CalculateBytes(std::uint32_t workerCount, const TaskSystemOptions& options) noexcept {
  const Sizes sizes = SizesOf(options, workerCount);
  constexpr std::size_t kSkipped = 64;
  const std::size_t dequeBytes = WorkDeque::SlotsFor(options.dequeMax) * sizeof(std::uint32_t) + kSkipped;
  const std::size_t bytes =
      sizeof(State) + kSkipped + sizeof(TaskSystem) + kSkipped +                      // itself
      sizes.records * (sizeof(TaskRecord) + sizeof(TaskCosts)) + 2 * kSkipped +       // tasks
      sizes.edges * sizeof(TaskEdge) + kSkipped +                                     // dependencies
      workerCount * (sizeof(TaskWorker) + kTaskPriorities * dequeBytes) + kSkipped +  // workers
      options.wavesMax * sizeof(TaskWave) + kSkipped;
  return (bytes + kSkipped - 1) & ~(kSkipped - 1);
}

Result<TaskSystem*> TaskSystem::Create(arenas::Arena& setup, TaskRunner& runner,
                                       const TaskSystemOptions& options) noexcept {
  const std::uint32_t workerCount = runner.WorkerCount();
  STADIAL_RETURN_IF_ERROR(Check(options, workerCount));
  const std::size_t bytes = CalculateBytes(workerCount, options);
  if (setup.RemainingBytes() < bytes) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "arena '%s' has %zu B left, and a task system of %u tasks and %u workers takes %zu B; "
        "raise its capacity or lower TaskSystemOptions::tasksMax",
        setup.Name(), setup.RemainingBytes(), options.tasksMax, workerCount, bytes);
  }
  const Sizes sizes = SizesOf(options, workerCount);
  State& state = *setup.New<State>();
  state.options = options;
  state.runner = &runner;
  state.workerCount = workerCount;
  state.spinNs = workerCount > CoreCount() ? 0 : options.spinNs;
  state.tableTasks = sizes.table;
  state.records = setup.NewArray<TaskRecord>(sizes.records);
  state.costs = setup.NewArray<TaskCosts>(sizes.records);
  state.edges = setup.NewArray<TaskEdge>(sizes.edges);
  state.waves = setup.NewArray<TaskWave>(options.wavesMax);
  auto* const workers =
      static_cast<TaskWorker*>(setup.Allocate(workerCount * sizeof(TaskWorker), alignof(TaskWorker)));
  for (std::uint32_t i = 0; i < workerCount; ++i) ::new (workers + i) TaskWorker(setup, options.dequeMax);
  state.workers = {workers, workerCount};
  state.FillStore();
  state.object = setup.New<TaskSystem>(state);
  return state.object;
}

// Queued tasks of the wave being filled. Those of earlier waves are waited for by the barrier.
std::uint32_t TaskSystem::State::CountObstacles(std::span<const TaskId> after) const noexcept {
  std::uint32_t count = 0;
  for (const TaskId id : after) count += IsQueued(id) && records[id.index].wave == fillingWave;
  return count;
}

void TaskSystem::State::Link(std::span<const TaskId> after, std::uint32_t task) noexcept {
  for (const TaskId id : after) {
    if (!IsQueued(id) || records[id.index].wave != fillingWave) continue;
    const std::uint32_t edge = freeEdges;
    freeEdges = edges[edge].next;
    --freeEdgeCount;
    edges[edge] = {.task = task, .next = records[id.index].firstEdge};
    records[id.index].firstEdge = edge;
  }
}

// A record when the table is full. kNoTask: the new task is rejected.
std::uint32_t TaskSystem::State::MakeRoom(std::span<const TaskId> after, TaskOutcome& outcome) noexcept {
  switch (options.mode) {
    case AllocationMode::Strict:
      return kNoTask;
    case AllocationMode::Fallback: {
      const std::uint32_t task = TakeFromReserve();
      if (task == kNoTask) return kNoTask;
      ++fromReserve;
      outcome = TaskOutcome::AcceptedFromReserve;
      return task;
    }
    case AllocationMode::Discard: {
      const std::uint32_t obstacles = CountObstacles(after);
      if (!DropOldest()) return kNoTask;
      // What the new task would have waited for is gone: it cannot run either.
      if (CountObstacles(after) != obstacles) return kNoTask;
      outcome = TaskOutcome::AcceptedOlderDropped;
      return TakeRecord(workers[0]);
    }
  }
  return kNoTask;
}

void* TaskSystem::SubmitFunction(detail::TaskFunction function, const TaskOptions& options,
                                 TaskResult& result) noexcept {
  State& state = *state_;
  STADIAL_ASSERT_ALWAYS(!state.isExecuting,
                        "TaskSystem::Submit while tasks run; a body queues tasks by TaskContext::Spawn");
  STADIAL_ASSERT_COMPARE(static_cast<std::uint32_t>(options.priority), <, kTaskPriorities,
                         "no such priority");
  TaskOutcome outcome = TaskOutcome::Accepted;
  const bool isFull = state.queued - state.reserveTaken >= state.options.tasksMax;
  std::uint32_t task = isFull ? state.MakeRoom(options.after, outcome) : state.TakeRecord(state.workers[0]);
  std::uint32_t obstacles = 0;
  if (task != kNoTask && !options.after.empty()) {
    obstacles = state.CountObstacles(options.after);
    if (obstacles > state.freeEdgeCount) state.CollectEdges();
    if (obstacles > state.freeEdgeCount) [[unlikely]] {
      state.FreeRecord(state.workers[0], task);
      task = kNoTask;
    }
  }
  if (task == kNoTask) [[unlikely]] {
    ++state.rejected;
    return nullptr;
  }
  TaskRecord& record = state.records[task];
  record.function = function;
  record.waitsFor.store(obstacles, std::memory_order_relaxed);
  record.waitsForStart = obstacles;
  record.firstEdge = kNoTask;
  record.priority = options.priority;
  std::uint8_t flags = options.isPinned ? TaskRecord::kPinned : std::uint8_t{0};
  if (options.cost != 1 || options.bytes != 0) {
    flags |=
        static_cast<std::uint8_t>(TaskRecord::kHasCosts | (options.bytes != 0 ? TaskRecord::kHasBytes : 0));
    state.costs[task] = {.cost = options.cost, .bytes = options.bytes};
  }
  record.flags.store(flags, std::memory_order_relaxed);
  record.wave = static_cast<std::uint16_t>(state.fillingWave);
  TaskWave& wave = state.FillingWave();
  if (obstacles != 0) {
    state.Link(options.after, task);
  } else {
    wave.ready[TaskWave::ListOf(record)].PushBack(state.records, task);
  }
  ++wave.queued;
  wave.priorities |= 1u << static_cast<std::uint32_t>(options.priority);
  ++state.accepted;
  if (++state.queued > state.queuedPeak) state.queuedPeak = state.queued;
  result.outcome = outcome;
  result.id = {.index = task, .generation = record.generation};
  return record.payload;
}

bool TaskSystem::NextWave() noexcept {
  State& state = *state_;
  STADIAL_ASSERT_ALWAYS(!state.isExecuting, "TaskSystem::NextWave while tasks run");
  if (state.FillingWave().queued == 0) return true;
  if (state.waveCount == state.waves.size()) return false;
  ++state.waveCount;
  state.fillingWave = (state.fillingWave + 1) % static_cast<std::uint32_t>(state.waves.size());
  state.FillingWave() = TaskWave();
  return true;
}

bool TaskSystem::State::DropOldest() noexcept {
  for (std::uint32_t priority = kTaskPriorities; priority-- > 0;) {
    for (std::uint32_t i = 0; i < waveCount; ++i) {
      TaskList& list = waves[(firstWave + i) % waves.size()].ready[priority * 2 + 1];
      if (list.head == kNoTask) continue;
      Drop(list.PopFront(records));
      return true;
    }
  }
  return false;
}

// Drops a ready task that stands in no list, and what waits for it and for nothing else. What waits for
// others too is marked, and ends without its body when they have ended.
void TaskSystem::State::Drop(std::uint32_t first) noexcept {
  std::uint32_t stack = first;
  records[first].next = kNoTask;
  while (stack != kNoTask) {
    const std::uint32_t task = stack;
    TaskRecord& record = records[task];
    stack = record.next;
    while (record.firstEdge != kNoTask) {
      const std::uint32_t edge = record.firstEdge;
      record.firstEdge = edges[edge].next;
      TaskRecord& waiting = records[edges[edge].task];
      waiting.flags.fetch_or(TaskRecord::kDropped, std::memory_order_relaxed);
      --waiting.waitsForStart;
      if (waiting.waitsFor.fetch_sub(1, std::memory_order_relaxed) == 1) {
        waiting.next = stack;
        stack = edges[edge].task;
      }
      edges[edge].next = freeEdges;
      freeEdges = edge;
      ++freeEdgeCount;
    }
    --waves[record.wave].queued;
    --queued;
    ++dropped;
    FreeRecord(workers[0], task);
  }
}

void TaskSystem::DropAll() noexcept {
  State& state = *state_;
  STADIAL_ASSERT_ALWAYS(!state.isExecuting, "TaskSystem::DropAll while tasks run");
  for (TaskWave& wave : state.waves) {
    for (TaskList& list : wave.ready) {
      while (list.head != kNoTask) state.Drop(list.PopFront(state.records));
    }
    STADIAL_ASSERT_COMPARE(wave.queued, ==, 0u, "a task waits for none that is queued");
    wave = TaskWave();
  }
  state.firstWave = state.fillingWave = 0;
  state.waveCount = 1;
}

// Everything: in O(priorities), however many there are.
std::uint32_t TaskSystem::State::StartAll(TaskWave& wave) noexcept {
  isAllStarted = true;
  for (std::uint32_t i = 0; i < TaskWave::kLists; ++i) {
    SharedTaskList& target = shared[i / 2];
    target.list.Append(records, wave.ready[i]);
    target.countHint.store(target.list.count, std::memory_order_seq_cst);
  }
  const std::uint32_t started = wave.queued;
  wave.queued = 0;
  return started;
}

// A list schedule: of the ready tasks always the first of the highest priority, which makes those ready that
// wait for it alone. It ends before the first that the budget cannot pay.
std::uint32_t TaskSystem::State::StartWithin(TaskWave& wave, Spending& spending) noexcept {
  isAllStarted = false;
  std::uint32_t started = 0;
  for (;;) {
    TaskList* const ready = std::find_if(std::begin(wave.ready), std::end(wave.ready),
                                         [](const TaskList& list) { return list.count != 0; });
    if (ready == std::end(wave.ready)) return started;
    TaskRecord& record = records[ready->head];
    const bool isDropped = (record.flags.load(std::memory_order_relaxed) & TaskRecord::kDropped) != 0;
    const std::uint64_t cost = isDropped ? 0 : CostOf(ready->head);
    if (cost > spending.costMax - spending.cost) {
      if (spending.hasStarted) return started;
      spending.cost = spending.costMax;  // the progress guarantee
    } else {
      spending.cost += cost;
    }
    if (!isDropped) spending.hasStarted = true;
    const std::uint32_t task = ready->PopFront(records);
    record.flags.fetch_or(TaskRecord::kStarted, std::memory_order_relaxed);
    for (std::uint32_t edge = record.firstEdge; edge != kNoTask; edge = edges[edge].next) {
      TaskRecord& waiting = records[edges[edge].task];
      if (isDropped) waiting.flags.fetch_or(TaskRecord::kDropped, std::memory_order_relaxed);
      if (--waiting.waitsForStart == 0)
        wave.ready[TaskWave::ListOf(waiting)].PushBack(records, edges[edge].task);
    }
    if (record.waitsFor.load(std::memory_order_relaxed) == 0) PushShared(task);
    --wave.queued;
    ++started;
  }
}

// A game's runner may bring another thread for the same worker in each wave. Only checked builds mind.
void TaskSystem::State::HandOverLanes() noexcept {
  if constexpr (arenas::kArenaChecks) {
    for (std::uint32_t i = 0; lanes != nullptr && i < workerCount; ++i) lanes->Lane(i).HandOver();
  }
}

void TaskSystem::State::RunWave(TaskWave& wave, std::uint32_t started) noexcept {
  priorities.store(wave.priorities, std::memory_order_relaxed);
  workers[0].created += started;
  workers[0].createdKnown.store(workers[0].created, std::memory_order_seq_cst);
  HandOverLanes();
  runner->Run(
      [](void* data, std::uint32_t worker) noexcept STADIAL_NONALLOCATING {
        static_cast<State*>(data)->Loop(worker);
      },
      this);
  HandOverLanes();
  STADIAL_ASSERT_ALWAYS(IsQuiescent(), "TaskRunner::Run returned before every job had ended");
  queued -= started;
}

TaskReport TaskSystem::ExecuteParallel(const TaskBudget& budget, const arenas::LaneSet* lanes) noexcept {
  State& state = *state_;
  STADIAL_ASSERT_ALWAYS(!state.isExecuting, "TaskSystem::ExecuteParallel inside a body");
  if (lanes != nullptr) {
    STADIAL_ASSERT_COMPARE_ALWAYS(lanes->Count(), >=, state.workerCount,
                                  "fewer lanes than workers: raise RuntimeOptions::lanes");
  }
  const TaskStats before = GetStats();
  state.throttle.SetBudget(budget);
  state.lanes = lanes;
  state.phase = state.options.phases != nullptr ? state.options.phases->Current() : Phase::Frame;
  state.isExecuting = true;
  State::Spending spending{.costMax = budget.costMax};
  TaskReport report;
  for (;;) {
    TaskWave& wave = state.waves[state.firstWave];
    const bool isLimited = budget.costMax != kNoTaskLimit;
    const std::uint32_t started = isLimited ? state.StartWithin(wave, spending) : state.StartAll(wave);
    if (started != 0) {
      state.RunWave(wave, started);
      ++report.waves;
    }
    if (wave.queued != 0) break;
    wave = TaskWave();
    if (state.waveCount == 1) break;
    state.firstWave = (state.firstWave + 1) % static_cast<std::uint32_t>(state.waves.size());
    --state.waveCount;
  }
  state.isExecuting = false;
  state.lanes = nullptr;
  const TaskStats after = GetStats();
  report.ran = after.ran - before.ran;
  report.spawned = after.spawned - before.spawned;
  report.dropped = after.dropped - before.dropped;
  report.throttled = after.throttled - before.throttled;
  report.deferred = after.queued;
  report.cost = spending.cost;
  return report;
}

std::uint64_t TaskSystem::QueuedCount() const noexcept { return state_->queued; }
bool TaskSystem::IsQueued(TaskId id) const noexcept { return state_->IsQueued(id); }
std::uint32_t TaskSystem::WorkerCount() const noexcept { return state_->workerCount; }

TaskStats TaskSystem::GetStats() const noexcept {
  const State& state = *state_;
  TaskStats stats{.accepted = state.accepted,
                  .dropped = state.dropped,
                  .rejected = state.rejected,
                  .fromReserve = state.fromReserve,
                  .throttled = state.throttle.WaitCount(),
                  .bytesPeak = state.throttle.BytesPeak(),
                  .queued = state.queued,
                  .queuedPeak = state.queuedPeak,
                  .capacity = state.options.tasksMax};
  for (const TaskWorker& worker : state.workers) {
    stats.spawned += worker.spawned;
    stats.ran += worker.finished - worker.dropped;
    stats.dropped += worker.dropped;
    stats.spawnRejected += worker.spawnRejected;
    stats.fromReserve += worker.fromReserve;
    stats.stolen += worker.stolen;
  }
  return stats;
}

}  // namespace stadial::runtime
