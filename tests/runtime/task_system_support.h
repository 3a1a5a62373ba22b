// A task system with threads of its own, over memory of its own.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>

#include "stadial/runtime/task_system.h"
#include "stadial/runtime/worker_threads.h"
#include "test_support.h"

namespace stadial::runtime::testing {

class TestTasks {
 public:
  explicit TestTasks(std::uint32_t workerCount, const TaskSystemOptions& options = {})
      : arena_(TaskSystem::CalculateBytes(workerCount, options) + (64 << 10)),
        workers_(WorkerThreads::Create(arena_.Get(), {.workerCount = workerCount}).Value()),
        tasks_(TaskSystem::Create(arena_.Get(), *workers_, options).Value()) {}
  TaskSystem& Get() { return *tasks_; }
  TaskSystem* operator->() { return tasks_; }

 private:
  TestArena arena_;
  WorkerThreadsPtr workers_;
  TaskSystem* tasks_;
};

// No task is lost or counted twice.
inline void ExpectBalanced(const TaskStats& stats) {
  EXPECT_EQ(stats.accepted + stats.spawned, stats.ran + stats.dropped + stats.queued);
}

}  // namespace stadial::runtime::testing
