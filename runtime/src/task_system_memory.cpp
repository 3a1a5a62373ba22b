// Free records and edges of a TaskSystem.
#include <utility>

#include "task_system_state.h"

namespace stadial::runtime {

// Records lie in order in their magazines, and those of low index on top, so that a first fill walks the
// table from its start.
void TaskSystem::State::FillStore() noexcept {
  for (auto index = static_cast<std::uint32_t>(records.size()); index-- > 0;) {
    TaskRecord& record = records[index];
    record.generation = 0;
    record.firstEdge = kNoTask;
    if (index >= tableTasks) {
      record.next = reserve;
      reserve = index;
      continue;
    }
    const bool isLastOfMagazine = index % kMagazineTasks == kMagazineTasks - 1 || index == tableTasks - 1;
    record.next = isLastOfMagazine ? kNoTask : index + 1;
    if (index % kMagazineTasks != 0) continue;
    record.firstEdge = magazines;
    magazines = index;
  }
  for (auto index = static_cast<std::uint32_t>(edges.size()); index-- > 0;) {
    edges[index].next = freeEdges;
    freeEdges = index;
  }
  freeEdgeCount = static_cast<std::uint32_t>(edges.size());
}

// The spare magazine, or one of the store.
bool TaskSystem::State::LoadMagazine(TaskWorker& worker) noexcept {
  if (worker.spare.head != kNoTask) {
    std::swap(worker.magazine, worker.spare);
    return true;
  }
  SpinGuard guard(storeLock);
  if (magazines == kNoTask) return false;
  // The last one of the table may hold fewer; the count only says when it is full.
  worker.magazine = {.head = magazines, .count = kMagazineTasks};
  magazines = records[magazines].firstEdge;
  return true;
}

void TaskSystem::State::StoreMagazine(TaskWorker& worker) noexcept {
  if (worker.spare.head != kNoTask) {
    SpinGuard guard(storeLock);
    records[worker.spare.head].firstEdge = magazines;
    magazines = worker.spare.head;
  }
  worker.spare = worker.magazine;
  worker.magazine = TaskMagazine();
}

void TaskSystem::State::FreeToReserve(std::uint32_t task) noexcept {
  SpinGuard guard(storeLock);
  records[task].next = reserve;
  reserve = task;
  --reserveTaken;
}

std::uint32_t TaskSystem::State::TakeFromReserve() noexcept {
  SpinGuard guard(storeLock);
  const std::uint32_t task = reserve;
  if (task == kNoTask) return kNoTask;
  reserve = records[task].next;
  ++reserveTaken;
  return task;
}

void TaskSystem::State::CollectEdges() noexcept {
  for (TaskWorker& worker : workers) {
    if (worker.freeEdges == kNoTask) continue;
    edges[worker.lastFreeEdge].next = freeEdges;
    freeEdges = worker.freeEdges;
    freeEdgeCount += worker.freeEdgeCount;
    worker.freeEdges = worker.lastFreeEdge = kNoTask;
    worker.freeEdgeCount = 0;
  }
}

}  // namespace stadial::runtime
