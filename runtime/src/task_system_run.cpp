// The workers' side of a TaskSystem.
#include <algorithm>
#include <array>

#include "stadial/runtime/clock.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/kernel_witness.h"
#include "stadial/runtime/wait_on_word.h"
#include "task_system_state.h"

namespace stadial::runtime {
namespace {

constexpr std::uint32_t kBatchTasksMax = 32;  // taken from a shared list at once
constexpr std::uint32_t kPausesMax = 32;      // between two looks of a worker without work; about 1 us

}  // namespace

// Until nothing of this wave is left, on any worker. Every worker runs it, and one alone would do.
void TaskSystem::State::Loop(std::uint32_t index) noexcept {
  const GateRule& rule = options.policy.Of(phase);
  const GateScope gate(rule.allocate, rule.free, phase, "task");
  TaskWorker& worker = workers[index];
  TaskContext context;
  context.system_ = object;
  context.worker_ = index;
  context.lane_ = lanes == nullptr ? nullptr : &lanes->Lane(index);
  std::uint32_t pauses = 1;
  std::uint64_t idleSinceNs = 0;
  for (;;) {
    const std::uint32_t task = Find(worker, index);
    if (task != kNoTask) {
      RunTask(worker, task, context);
      pauses = 1;
      idleSinceNs = 0;
      continue;
    }
    if (worker.finishedKnown.load(std::memory_order_relaxed) != worker.finished) {
      worker.createdKnown.store(worker.created, std::memory_order_release);
      worker.finishedKnown.store(worker.finished, std::memory_order_seq_cst);
    }
    if (IsQuiescent()) {
      WakeSleepers(kWakeAll);
      return;
    }
    for (std::uint32_t i = 0; i < pauses; ++i) PauseProcessor();
    pauses = std::min(pauses * 2, kPausesMax);
    const std::uint64_t nowNs = spinNs == 0 ? 0 : NowNs();
    if (idleSinceNs == 0) idleSinceNs = nowNs;
    if (nowNs - idleSinceNs < spinNs) continue;
    Park();
    idleSinceNs = 0;
  }
}

std::uint32_t TaskSystem::State::Find(TaskWorker& worker, std::uint32_t index) noexcept {
  const std::uint32_t met = priorities.load(std::memory_order_relaxed);
  for (std::uint32_t priority = 0; priority < kTaskPriorities; ++priority) {
    if ((met >> priority & 1u) == 0) continue;
    std::uint32_t task = worker.deques[priority].TryPop();
    if (task != kNoTask) return task;
    if (shared[priority].countHint.load(std::memory_order_relaxed) != 0) {
      task = TakeShared(worker, priority);
      if (task != kNoTask) return task;
    }
    for (std::uint32_t i = 1; i < workerCount; ++i) {
      const std::uint32_t victim = index + i < workerCount ? index + i : index + i - workerCount;
      task = workers[victim].deques[priority].TrySteal();
      if (task == kNoTask) continue;
      ++worker.stolen;
      return task;
    }
  }
  return kNoTask;
}

// A batch that is small against what is left for everybody. The rest of it goes to the worker's deque, where
// others can steal it.
std::uint32_t TaskSystem::State::TakeShared(TaskWorker& worker, std::uint32_t priority) noexcept {
  SharedTaskList& source = shared[priority];
  std::array<std::uint32_t, kBatchTasksMax> batch;
  std::uint32_t count = 0;
  {
    SpinGuard guard(source.lock);
    if (source.list.count == 0) return kNoTask;
    count = std::clamp(source.list.count / (2 * workerCount), 1u, kBatchTasksMax);
    // Backwards, since the deque gives the last one first.
    for (std::uint32_t i = count; i-- > 0;) batch[i] = source.list.PopFront(records);
    source.countHint.store(source.list.count, std::memory_order_seq_cst);
  }
  const std::uint32_t task = batch[count - 1];
  if (count == 1) return task;
  // The deque of this priority was found empty, and only its worker pushes.
  STADIAL_ASSERT_ALWAYS(worker.deques[priority].TryPush(std::span(batch.data(), count - 1)),
                        "a batch does not fit into an empty deque");
  WakeSleepers(1);
  return task;
}

void TaskSystem::State::RunTask(TaskWorker& worker, std::uint32_t task, TaskContext& context) noexcept {
  TaskRecord& record = records[task];
  const std::uint8_t flags = record.flags.load(std::memory_order_relaxed);
  const bool isDropped = (flags & TaskRecord::kDropped) != 0;
  if (!isDropped) [[likely]] {
    if ((flags & TaskRecord::kHasBytes) == 0) [[likely]] {
      record.function(context, record.payload);
    } else {
      if ((flags & TaskRecord::kTaken) == 0 && !PassThrottle(task)) return;
      record.function(context, record.payload);
      ReturnBytes(worker, costs[task].bytes);
    }
  } else {
    ++worker.dropped;
  }
  if (record.firstEdge != kNoTask) Release(worker, record, isDropped);
  FreeRecord(worker, task);
  ++worker.finished;
}

// What waited for the task and for nothing else is pushed, unless the budget leaves it for a later call: then
// it stands in a ready list already.
void TaskSystem::State::Release(TaskWorker& worker, TaskRecord& record, bool isDropped) noexcept {
  const std::uint32_t first = record.firstEdge;
  std::uint32_t last = first;
  std::uint32_t count = 0;
  for (std::uint32_t edge = first; edge != kNoTask; edge = edges[edge].next) {
    const std::uint32_t task = edges[edge].task;
    TaskRecord& waiting = records[task];
    if (isDropped) waiting.flags.fetch_or(TaskRecord::kDropped, std::memory_order_relaxed);
    if (waiting.waitsFor.fetch_sub(1, std::memory_order_acq_rel) == 1 &&
        (isAllStarted || (waiting.flags.load(std::memory_order_relaxed) & TaskRecord::kStarted) != 0)) {
      Push(worker, task);
    }
    last = edge;
    ++count;
  }
  edges[last].next = worker.freeEdges;
  if (worker.freeEdges == kNoTask) worker.lastFreeEdge = last;
  worker.freeEdges = first;
  worker.freeEdgeCount += count;
}

bool TaskSystem::State::PassThrottle(std::uint32_t task) noexcept {
  const auto priority = static_cast<std::uint32_t>(records[task].priority);
  SpinGuard guard(throttle.Lock());
  // Behind those of its own priority and of higher ones that wait, or a large one would wait for ever.
  const bool isFirst =
      std::all_of(held, held + priority + 1, [](const TaskList& list) { return list.count == 0; });
  if (isFirst && throttle.TryTake(costs[task].bytes)) return true;
  throttle.CountWait();
  held[priority].PushBack(records, task);
  return false;
}

void TaskSystem::State::ReturnBytes(TaskWorker& worker, std::uint64_t bytes) noexcept {
  TaskList passed;
  {
    SpinGuard guard(throttle.Lock());
    throttle.Return(bytes);
    for (TaskList& list : held) {
      while (list.count != 0 && throttle.TryTake(costs[list.head].bytes)) {
        const std::uint32_t task = list.PopFront(records);
        records[task].flags.fetch_or(TaskRecord::kTaken, std::memory_order_relaxed);
        passed.PushBack(records, task);
      }
      if (list.count != 0) break;  // a lower priority must not overtake it
    }
  }
  while (passed.count != 0) Push(worker, passed.PopFront(records));
}

void TaskSystem::State::Push(TaskWorker& worker, std::uint32_t task) noexcept {
  if (!worker.deques[static_cast<std::uint32_t>(records[task].priority)].TryPush(task)) [[unlikely]]
    PushShared(task);
  WakeSleepers(1);
}

void TaskSystem::State::PushShared(std::uint32_t task) noexcept {
  SharedTaskList& target = shared[static_cast<std::uint32_t>(records[task].priority)];
  SpinGuard guard(target.lock);
  target.list.PushBack(records, task);
  target.countHint.store(target.list.count, std::memory_order_seq_cst);
}

void* TaskSystem::BeginSpawn(detail::TaskFunction function, const TaskOptions& options,
                             std::uint32_t workerIndex) noexcept {
  State& state = *state_;
  STADIAL_ASSERT_ALWAYS(options.after.empty(), "a spawned task waits for nothing");
  STADIAL_ASSERT_COMPARE(static_cast<std::uint32_t>(options.priority), <, kTaskPriorities,
                         "no such priority");
  TaskWorker& worker = state.workers[workerIndex];
  std::uint32_t task = state.TakeRecord(worker);
  if (task == kNoTask) [[unlikely]] {
    if (state.options.mode == AllocationMode::Fallback) task = state.TakeFromReserve();
    if (task == kNoTask) {
      ++worker.spawnRejected;
      return nullptr;
    }
    ++worker.fromReserve;
  }
  TaskRecord& record = state.records[task];
  record.function = function;
  record.firstEdge = kNoTask;
  record.priority = options.priority;
  record.flags.store(options.bytes != 0 ? TaskRecord::kHasBytes : 0, std::memory_order_relaxed);
  if (options.bytes != 0) state.costs[task] = {.cost = options.cost, .bytes = options.bytes};
  return record.payload;
}

void TaskSystem::EndSpawn(void* payload, std::uint32_t workerIndex) noexcept {
  State& state = *state_;
  TaskWorker& worker = state.workers[workerIndex];
  // The payload is the record's first member.
  const auto* const record = static_cast<const TaskRecord*>(payload);
  ++worker.created;
  ++worker.spawned;
  const std::uint32_t bit = 1u << static_cast<std::uint32_t>(record->priority);
  if ((state.priorities.load(std::memory_order_relaxed) & bit) == 0)
    state.priorities.fetch_or(bit, std::memory_order_relaxed);
  state.Push(worker, static_cast<std::uint32_t>(record - state.records.data()));
}

bool TaskSystem::State::HasWork() const noexcept {
  for (std::uint32_t priority = 0; priority < kTaskPriorities; ++priority) {
    if (shared[priority].countHint.load(std::memory_order_seq_cst) != 0) return true;
    for (const TaskWorker& worker : workers) {
      if (!worker.deques[priority].LooksEmpty()) return true;
    }
  }
  return false;
}

// Counts what has finished before what was created. A task that is created and not finished has an ancestor,
// or is itself, among those counted as created and not among those counted as finished (each worker tells of
// what it created before it tells of what it finished), so the sums are equal only when there is none.
bool TaskSystem::State::IsQuiescent() const noexcept {
  std::uint64_t finished = 0;
  std::uint64_t created = 0;
  for (const TaskWorker& worker : workers) finished += worker.finishedKnown.load(std::memory_order_seq_cst);
  for (const TaskWorker& worker : workers) created += worker.createdKnown.load(std::memory_order_seq_cst);
  return finished == created;
}

// A sleeper counts itself before its last look, and who has news looks for sleepers after it: one of the two
// sees the other.
void TaskSystem::State::Park() noexcept {
  sleepers.fetch_add(1, std::memory_order_seq_cst);
  const std::uint32_t signal = signals.load(std::memory_order_seq_cst);
  if (!HasWork() && !IsQuiescent()) {
    const WitnessExemption exemption;
    WaitOnWord(signals, signal, kNoDeadline);
  }
  sleepers.fetch_sub(1, std::memory_order_relaxed);
}

void TaskSystem::State::WakeSleepers(std::uint32_t count) noexcept {
  if (sleepers.load(std::memory_order_seq_cst) == 0) [[likely]]
    return;
  signals.fetch_add(1, std::memory_order_seq_cst);
  const WitnessExemption exemption;
  WakeWord(signals, count);
}

}  // namespace stadial::runtime
