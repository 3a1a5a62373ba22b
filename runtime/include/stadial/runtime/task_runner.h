// TaskRunner: where the threads of tasks come from. Stadial's own are WorkerThreads; a game that has a job
// system implements the two functions on it, and TaskSystem, with dependencies, priorities and budgets, runs
// on its threads. SerialTaskRunner has no threads at all: for tests, tools and single-core machines.
//
//   class EngineJobs final : public TaskRunner {
//     std::uint32_t WorkerCount() const noexcept override { return jobs.ThreadCount(); }
//     void Run(Job job, void* data) noexcept override { jobs.RunOnAllAndWait(job, data); }
//   };
//
// ParallelFor is the wave: a range cut into chunks that the workers take one by one, and a barrier. Which
// worker takes a chunk is left to chance; where chunks begin is not (it follows from `count` and `grain`
// alone), so results that are stored or summed by chunk are the same for every number of workers.
//
// Threads: one thread calls Run and ParallelFor, and not from inside a job (a wave does not nest).
// Cost: WorkerThreads: well below a microsecond from Run to the end of the barrier while the workers spin.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "stadial/arenas/effects.h"

namespace stadial::runtime {

class TaskRunner {
 public:
  // `worker` is below WorkerCount, and one call at a time has it: it may index lanes and other tables.
  using Job = void (*)(void* data, std::uint32_t worker) noexcept STADIAL_NONALLOCATING;

  // At least 1; constant. More than there are threads is legal.
  virtual std::uint32_t WorkerCount() const noexcept STADIAL_NONALLOCATING = 0;
  // Calls job(data, w) once for w == 0, and at most once for each other w below WorkerCount: those that come
  // in time, on any threads, at once or one after the other. Returns when all of these calls have. A job must
  // therefore be such that one worker alone can finish it, as ParallelFor's and TaskSystem's are; then
  // nothing waits for a thread that the system keeps from its core. What happened before Run is visible to
  // the jobs, and what they did is visible after it.
  virtual void Run(Job job, void* data) noexcept STADIAL_NONALLOCATING = 0;

 protected:
  ~TaskRunner() = default;
};

// Every job on the calling thread, in the order of the workers.
class SerialTaskRunner final : public TaskRunner {
 public:
  explicit SerialTaskRunner(std::uint32_t workerCount = 1) noexcept
      : workerCount_(workerCount == 0 ? 1 : workerCount) {}
  std::uint32_t WorkerCount() const noexcept override { return workerCount_; }
  void Run(Job job, void* data) noexcept override {
    for (std::uint32_t worker = 0; worker < workerCount_; ++worker) job(data, worker);
  }

 private:
  std::uint32_t workerCount_;
};

struct TaskChunk {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t index = 0;   // begin / grain
  std::uint32_t worker = 0;  // for lanes; not for results
};

// Calls body(const TaskChunk&) for [0, grain), [grain, 2 * grain) ... up to `count`, each once. `body` is
// called by several threads at once. `grain` 0 counts as 1.
template <class Body>
void ParallelFor(TaskRunner& runner, std::uint64_t count, std::uint64_t grain,
                 const Body& body) noexcept STADIAL_NONALLOCATING {
  static_assert(std::is_invocable_v<const Body&, const TaskChunk&>, "body(const TaskChunk&), const");
  if (count == 0) return;
  struct Range {
    const Body& body;
    std::uint64_t count;
    std::uint64_t grain;
    std::uint64_t chunkCount;
    alignas(64) std::atomic<std::uint64_t> nextChunk{0};
  };
  if (grain == 0) grain = 1;
  Range range{.body = body, .count = count, .grain = grain, .chunkCount = (count - 1) / grain + 1};
  runner.Run(
      [](void* data, std::uint32_t worker) noexcept STADIAL_NONALLOCATING {
        auto& job = *static_cast<Range*>(data);
        for (;;) {
          const std::uint64_t index = job.nextChunk.fetch_add(1, std::memory_order_relaxed);
          if (index >= job.chunkCount) return;
          const std::uint64_t begin = index * job.grain;
          const std::uint64_t end = job.count - begin < job.grain ? job.count : begin + job.grain;
          job.body(TaskChunk{.begin = begin, .end = end, .index = index, .worker = worker});
        }
      },
      &range);
}

}  // namespace stadial::runtime
