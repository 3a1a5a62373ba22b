#include "mutation_world.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "stadial/runtime/gate.h"
#include "stadial/runtime/thread_registry.h"

namespace stadial::mutation {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr auto kEvent = runtime::EventType::NodeDirty;

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "the mutation's world cannot be built: %s\n", what);
  std::_Exit(104);
}

template <class T>
T Must(runtime::Result<T>&& result) {
  if (!result) Fail(result.GetError().Message());
  return std::move(result).Value();
}

volatile char* MapPages(int count) {
  void* const pages = ::mmap(nullptr, static_cast<std::size_t>(count) * kPageBytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) Fail("no pages");
  return static_cast<volatile char*>(pages);
}

template <class Function>
Function* Find(void* library, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(library, name));
}

}  // namespace

World::World(runtime::GatePolicy policy) {
  runtime = Must(runtime::Runtime::Create({.lanes = 2, .gate = policy, .warmupFrames = 0}));
  arenas::Arena& setup = runtime->SetupArena();
  workers = Must(runtime::WorkerThreads::Create(setup, {.workerCount = 2, .policy = policy}));
  tasks = Must(runtime::TaskSystem::Create(setup, *workers, {.tasksMax = 16, .policy = policy}));
  // Setup memory is never destroyed piecewise.
  deferred = ::new (setup.Allocate(sizeof(runtime::DeferredQueue), alignof(runtime::DeferredQueue)))
      runtime::DeferredQueue(setup, {});
  subscription = Must(runtime->Events().Subscribe(kEvent, &InAHandler, nullptr));
  if (!runtime->SealSetup()) Fail("Setup cannot be sealed");
}

void World::Prepare() {
  prepared.block = std::malloc(200);
  prepared.freshPage = MapPages(1);
  prepared.usedPages = MapPages(2);
  prepared.usedPages[0] = 1;
  prepared.usedPages[kPageBytes] = 1;
}

void World::LoadDeepbound() {
  library_ = ::dlopen(STADIAL_BYPASSING_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (library_ == nullptr) Fail(::dlerror());
  prepared.deepAllocate = Find<void*(std::size_t)>(library_, "BypassingAllocate");
  prepared.deepFree = Find<void(void*)>(library_, "BypassingFree");
}

void World::RunFrames(int count, void (*body)(World&)) {
  for (int i = 0; i < count; ++i) {
    runtime::FrameContext* const frame = Must(runtime->Frames().Begin());
    prepared.lane = frame->lane;
    body(*this);
    runtime->Frames().End(frame->completionValue);
  }
}

// As a driver would: inside a call of ours it calls ours.
void CallBackFromADriver(World&) {
  const runtime::DriverCallScope call("vkCreateBuffer");
  void* block = nullptr;
  {
    const runtime::DriverCallbackScope callback("allocation callback");
    block = InADriverCallback(nullptr, 64);
  }
  std::free(block);
}

void DeliverAnEvent(World& world) {
  static_cast<void>(world.runtime->Events().Emit({.type = kEvent}));
  world.runtime->Events().ProcessEvents();
}

void RunATask(World& world) {
  static_cast<void>(world.tasks->Submit([] { InATask(); }));
  static_cast<void>(world.tasks->ExecuteParallel());
}

void RetireARecord(World& world) {
  static_cast<void>(world.deferred->Enqueue({.function = &InADeferredDestruction,
                                             .device = nullptr,
                                             .handle = reinterpret_cast<std::uint64_t>(prepared.block),
                                             .retireValue = 1}));
  world.deferred->Retire(1);
}

}  // namespace stadial::mutation
