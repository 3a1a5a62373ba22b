// A runtime with everything that calls back: tasks, an event handler, a deferred queue; and what the
// violations need.
#pragma once

#include "stadial/runtime/deferred_queue.h"
#include "stadial/runtime/runtime.h"
#include "stadial/runtime/task_system.h"
#include "stadial/runtime/worker_threads.h"
#include "violations.h"

namespace stadial::mutation {

// Ends the process when something of it cannot be had.
class World {
 public:
  explicit World(runtime::GatePolicy policy);

  // Renews `prepared`.
  void Prepare();
  // For the one violation that needs it: the module scan names it from then on.
  void LoadDeepbound();
  void RunFrames(int count, void (*body)(World&));

  runtime::RuntimePtr runtime;
  runtime::WorkerThreadsPtr workers;
  runtime::TaskSystem* tasks = nullptr;
  runtime::DeferredQueue* deferred = nullptr;
  runtime::Subscription subscription;

 private:
  void* library_ = nullptr;
};

// The violations that stand in something that is called back.
void CallBackFromADriver(World& world);
void DeliverAnEvent(World& world);
void RunATask(World& world);
void RetireARecord(World& world);

}  // namespace stadial::mutation
