// Random programs on a task system and on a model of it. The model is serial and knows nothing of workers:
// what is accepted, which tasks an execution starts, which it defers and which are dropped must agree
// exactly, whatever the number of workers; every task runs once and after all that it waits for.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "task_system_support.h"

namespace stadial::runtime {
namespace {

using testing::Random;
using testing::Repetitions;
using testing::TestSeed;
using testing::TestTasks;
using Mode = TaskSystem::AllocationMode;

// What a mistake in the model would look like; each must be noticed.
enum class Canary { None, DropsNewest, PaysTooMuch, ForgetsDependents };

constexpr std::uint32_t kTasksMax = 48;
constexpr std::uint32_t kReserve = 12;

struct ModelTask {
  TaskId id;
  std::uint32_t priority = 0;
  bool isPinned = false;
  std::uint64_t cost = 0;
  std::size_t wave = 0;
  std::uint32_t waitsFor = 0;  // not started
  std::vector<std::size_t> obstacles;
  std::vector<std::size_t> waiting;  // in order of submission
  bool isDropped = false;
  bool isGone = false;
};

class Model {
 public:
  Model(Mode mode, Canary canary) : mode_(mode), canary_(canary) {}

  std::vector<ModelTask> tasks;  // of the whole program
  std::vector<std::size_t> started;
  std::uint64_t dropped = 0;
  std::size_t queued = 0;
  std::size_t fillingWave = 0;

  TaskOutcome Submit(ModelTask task) {
    TaskOutcome outcome = TaskOutcome::Accepted;
    // Records of the reserve do not become free while those of the table are.
    std::size_t inTable = 0, inReserve = 0;
    for (const std::size_t i : live_) (isReserve_[i] ? inReserve : inTable) += 1;
    bool takesReserve = false;
    if (inTable == kTasksMax) {
      if (mode_ == Mode::Strict) return TaskOutcome::Rejected;
      if (mode_ == Mode::Fallback) {
        if (inReserve == kReserve) return TaskOutcome::Rejected;
        takesReserve = true;
        outcome = TaskOutcome::AcceptedFromReserve;
      } else {
        const std::size_t before = Obstacles(task).size();
        if (!DropOldest()) return TaskOutcome::Rejected;
        if (Obstacles(task).size() != before) return TaskOutcome::Rejected;
        outcome = TaskOutcome::AcceptedOlderDropped;
      }
    }
    const std::size_t index = tasks.size();
    task.wave = fillingWave;
    task.obstacles = Obstacles(task);
    task.waitsFor = static_cast<std::uint32_t>(task.obstacles.size());
    for (const std::size_t i : task.obstacles) {
      tasks[i].waiting.push_back(index);
      if (tasks[i].isDropped && canary_ != Canary::ForgetsDependents) task.isDropped = true;
    }
    tasks.push_back(task);
    isReserve_.push_back(takesReserve);
    live_.push_back(index);
    if (task.waitsFor == 0) Ready(index).push_back(index);
    ++Wave(fillingWave).queued;
    ++queued;
    return outcome;
  }

  void NextWave() {
    if (Wave(fillingWave).queued != 0) ++fillingWave;
  }

  void Execute(std::uint64_t costMax) {
    started.clear();
    std::uint64_t cost = 0;
    bool hasStarted = false;
    for (;; ++firstWave_) {
      ModelWave& wave = Wave(firstWave_);
      if (!StartWave(wave, costMax, cost, hasStarted)) break;
      if (firstWave_ == fillingWave) break;
    }
    for (const std::size_t i : started) End(i);
  }

 private:
  struct ModelWave {
    std::deque<std::size_t> ready[6];
    std::size_t queued = 0;
  };

  ModelWave& Wave(std::size_t wave) {
    if (waves_.size() <= wave) waves_.resize(wave + 1);
    return waves_[wave];
  }
  std::deque<std::size_t>& Ready(std::size_t i) {
    return Wave(tasks[i].wave).ready[tasks[i].priority * 2 + (tasks[i].isPinned ? 0 : 1)];
  }
  std::vector<std::size_t> Obstacles(const ModelTask& task) const {
    std::vector<std::size_t> found;
    for (const std::size_t i : task.obstacles) {
      if (!tasks[i].isGone && tasks[i].wave == fillingWave) found.push_back(i);
    }
    return found;
  }

  // False: the budget is used up.
  bool StartWave(ModelWave& wave, std::uint64_t costMax, std::uint64_t& cost, bool& hasStarted) {
    for (;;) {
      std::deque<std::size_t>* ready = nullptr;
      for (std::deque<std::size_t>& list : wave.ready) {
        if (!list.empty() && ready == nullptr) ready = &list;
      }
      if (ready == nullptr) return true;
      const std::size_t i = ready->front();
      const std::uint64_t own = tasks[i].isDropped ? 0 : tasks[i].cost;
      if (costMax != kNoTaskLimit) {
        if (cost + own > costMax + (canary_ == Canary::PaysTooMuch ? 1 : 0)) {
          if (hasStarted) return false;
          cost = costMax;
        } else {
          cost += own;
        }
      }
      if (!tasks[i].isDropped) hasStarted = true;
      ready->pop_front();
      --wave.queued;
      --queued;
      started.push_back(i);
      for (auto next = tasks[i].waiting.rbegin(); next != tasks[i].waiting.rend(); ++next) {
        if (--tasks[*next].waitsFor == 0) Ready(*next).push_back(*next);
      }
    }
  }

  void End(std::size_t i) {
    tasks[i].isGone = true;
    std::erase(live_, i);
    if (!tasks[i].isDropped) return;
    ++dropped;
  }

  bool DropOldest() {
    for (std::uint32_t priority = 3; priority-- > 0;) {
      for (std::size_t wave = firstWave_; wave <= fillingWave; ++wave) {
        std::deque<std::size_t>& list = Wave(wave).ready[priority * 2 + 1];
        if (list.empty()) continue;
        const std::size_t i = canary_ == Canary::DropsNewest ? list.back() : list.front();
        canary_ == Canary::DropsNewest ? list.pop_back() : list.pop_front();
        Drop(i);
        return true;
      }
    }
    return false;
  }

  void MarkDropped(std::size_t i) {
    if (tasks[i].isDropped) return;
    tasks[i].isDropped = true;
    // What waits for it will not run either.
    for (const std::size_t next : tasks[i].waiting) MarkDropped(next);
  }
  void Drop(std::size_t i) {
    if (canary_ == Canary::ForgetsDependents) {
      tasks[i].isDropped = true;
    } else {
      MarkDropped(i);
    }
    std::vector<std::size_t> stack{i};
    while (!stack.empty()) {
      const std::size_t top = stack.back();
      stack.pop_back();
      --Wave(tasks[top].wave).queued;
      --queued;
      End(top);
      for (const std::size_t next : tasks[top].waiting) {
        if (--tasks[next].waitsFor == 0) {
          if (tasks[next].isDropped) {
            stack.push_back(next);
          } else {
            Ready(next).push_back(next);
          }
        }
      }
    }
  }

  Mode mode_;
  Canary canary_;
  std::vector<ModelWave> waves_;
  std::size_t firstWave_ = 0;
  std::vector<std::size_t> live_;
  std::vector<bool> isReserve_;
};

// What the bodies leave: when each ran, and how many children.
struct Trace {
  explicit Trace(std::size_t tasks) : stamps(std::make_unique<std::atomic<std::uint32_t>[]>(tasks)) {}
  std::unique_ptr<std::atomic<std::uint32_t>[]> stamps;
  std::atomic<std::uint32_t> next{1};
  std::atomic<std::uint64_t> twice{0};
  std::atomic<std::uint64_t> children{0};

  static std::uint32_t ChildrenOf(std::uint32_t task) { return task * 2654435761u >> 30; }
  void Run(TaskContext& context, std::uint32_t task) {
    if (stamps[task].exchange(next.fetch_add(1)) != 0) ++twice;
    for (std::uint32_t i = ChildrenOf(task); i != 0; --i) {
      const TaskOptions options{.priority = static_cast<TaskPriority>(i % 3), .bytes = i};
      if (!context.Spawn([this] { ++children; }, options)) ++children;
    }
  }
};

// The first difference, or nothing.
std::string RunProgram(std::uint64_t seed, Mode mode, std::uint32_t workers, std::uint32_t operations,
                       Canary canary) {
  Random random(seed);
  TestTasks tasks(workers, {.tasksMax = kTasksMax,
                            .edgesMax = 4096,
                            .reserveTasks = kReserve,
                            .wavesMax = 4096,
                            .dequeMax = 64,
                            .mode = mode});
  Model model(mode, canary);
  Trace trace(operations);
  std::uint64_t expectedChildren = 0;
  for (std::uint32_t operation = 0; operation < operations; ++operation) {
    const std::string where = "operation " + std::to_string(operation) + ": ";
    const std::uint64_t kind = random.Below(100);
    if (kind < 90) {
      ModelTask task;
      const auto number = static_cast<std::uint32_t>(model.tasks.size());
      task.priority = static_cast<std::uint32_t>(random.Below(3));
      task.isPinned = random.Below(4) == 0;
      task.cost = random.Below(4);
      std::vector<TaskId> after;
      for (std::uint64_t i = random.Below(3); i != 0 && number != 0; --i) {
        const std::size_t other = number - 1 - random.Below(std::min<std::uint64_t>(number, 30));
        task.obstacles.push_back(other);
        after.push_back(model.tasks[other].id);
      }
      const TaskResult result =
          tasks->Submit([&trace, number](TaskContext& context) { trace.Run(context, number); },
                        {.priority = static_cast<TaskPriority>(task.priority),
                         .isPinned = task.isPinned,
                         .cost = task.cost,
                         .bytes = random.Below(3),
                         .after = after});
      task.id = result.id;
      const TaskOutcome expected = model.Submit(task);
      if (result.outcome != expected)
        return where + "Submit says " + ToString(result.outcome) + ", the model " + ToString(expected);
    } else if (kind < 94) {
      if (!tasks->NextWave()) return where + "NextWave refused";
      model.NextWave();
    } else {
      const std::uint64_t costMax = random.Below(3) == 0 ? kNoTaskLimit : random.Below(40);
      const TaskReport report = tasks->ExecuteParallel({.costMax = costMax, .bytesSoft = 4});
      const std::uint64_t droppedBefore = model.dropped;
      model.Execute(costMax);
      std::uint64_t ran = 0;
      for (const std::size_t i : model.started) {
        const bool hasRun = trace.stamps[i] != 0;
        if (hasRun == model.tasks[i].isDropped) return where + "task " + std::to_string(i) + " differs";
        if (!hasRun) continue;
        ++ran;
        expectedChildren += Trace::ChildrenOf(static_cast<std::uint32_t>(i));
        for (const std::size_t before : model.tasks[i].obstacles) {
          if (trace.stamps[before] > trace.stamps[i])
            return where + "task " + std::to_string(i) + " ran early";
        }
      }
      if (report.ran != ran + report.spawned) return where + "ran differs";
      if (report.dropped != model.dropped - droppedBefore) return where + "dropped differs";
      if (report.deferred != model.queued) return where + "deferred differs";
      if (trace.next != 1 + [&] {
            std::uint32_t all = 0;
            for (std::size_t i = 0; i < model.tasks.size(); ++i) all += trace.stamps[i] != 0;
            return all;
          }())
        return where + "a task ran that is not there";
    }
    if (tasks->QueuedCount() != model.queued) return where + "queued differs";
  }
  const TaskStats stats = tasks->GetStats();
  if (trace.twice != 0) return "a task ran twice";
  if (trace.children != expectedChildren) return "children differ";
  if (stats.dropped != model.dropped) return "dropped differ in the end";
  if (stats.accepted + stats.spawned != stats.ran + stats.dropped + stats.queued)
    return "stats do not balance";
  return {};
}

class TaskSystemModel : public ::testing::TestWithParam<Mode> {};

TEST_P(TaskSystemModel, KaBb_RandomProgramsAgreeForEveryNumberOfWorkers) {
  const std::uint64_t seed = TestSeed(20);
  for (std::uint64_t round = 0; round < Repetitions(60); ++round) {
    for (const std::uint32_t workers : {1u, 2u, 3u, 8u}) {
      ASSERT_EQ(RunProgram(seed + round, GetParam(), workers, 1000, Canary::None), "")
          << "seed " << seed + round << ", " << workers << " workers";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, TaskSystemModel,
                         ::testing::Values(Mode::Strict, Mode::Fallback, Mode::Discard),
                         [](const auto& mode) { return std::string(arenas::ToString(mode.param)); });

TEST(TaskSystemModelCanary, WrongModelsAreNoticed) {
  for (const Canary canary : {Canary::DropsNewest, Canary::PaysTooMuch, Canary::ForgetsDependents}) {
    bool isNoticed = false;
    for (std::uint64_t round = 0; round < 20 && !isNoticed; ++round)
      isNoticed = !RunProgram(TestSeed(20) + round, Mode::Discard, 2, 1000, canary).empty();
    EXPECT_TRUE(isNoticed) << "canary " << static_cast<int>(canary);
  }
}

}  // namespace
}  // namespace stadial::runtime
