#include "stadial/runtime/allocation_tracker.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "allocation_tracker_access.h"
#include "allocation_tracker_tables.h"
#include "gate_counters.h"
#include "spin_lock.h"
#include "stadial/arenas/assert.h"
#include "stadial/arenas/virtual_memory.h"
#include "stadial/runtime/gate.h"

namespace stadial::runtime {
namespace {

constexpr std::string_view kPlantComponent = "allocation tracker self-test";
constexpr std::string_view kNoComponent = "(no component)";

// The trackers that listen now. A notifier announces itself before it reads the pointer, so that a tracker
// that has left its place and has seen no user left cannot be touched any more.
struct Listener {
  std::atomic<AllocationTracker*> tracker{nullptr};
  std::atomic<std::uint32_t> users{0};
};
constinit Listener listeners[AllocationTracker::kActiveTrackersMax];
constinit SpinLock listenersLock;

// The tracker whose plant the calling thread is making: the others must not see it.
constinit thread_local const AllocationTracker* plantingFor = nullptr;

bool IsPlantOfAnother(const AllocationTracker& tracker) noexcept {
  return plantingFor != nullptr && plantingFor != &tracker;
}

Phase CurrentPhase() noexcept {
  return static_cast<Phase>((detail::gateThread.word & detail::kGatePhaseMask) >> detail::kGatePhaseShift);
}

}  // namespace

// The gate's side of the trackers, and what fork needs.
struct AllocationTrackerAccess {
  static bool IsTracked(const AllocationTracker& tracker) noexcept {
    switch (tracker.options_.threads) {
      case TrackedThreads::All:
        return true;
      case TrackedThreads::Current:
        return tracker.tables_->starter == &detail::gateThread;
      case TrackedThreads::Ours:
        return tracker.tables_->starter == &detail::gateThread || detail::gateThread.slot != nullptr;
    }
    return true;
  }

  static void OnAllocation(AllocationTracker& tracker, void* block, std::size_t sizeBytes, const void* caller,
                           std::uintptr_t frame) noexcept {
    if (IsPlantOfAnother(tracker)) return;
    const BiasedLock::Guard guard(tracker.lock_);
    if (!tracker.tracking_.load(std::memory_order_relaxed)) return;
    AllocationTracker::Tables& tables = *tracker.tables_;
    if (!IsTracked(tracker)) {
      ++tables.otherCount;
      tables.otherBytes += sizeBytes;
    } else if ((detail::gateThread.word & detail::kGateDriverBit) != 0) {
      ++tables.driverCount;
      tables.driverBytes += sizeBytes;
    } else {
      const char* const component = detail::gateThread.component;
      tables.Add(block, sizeBytes,
                 {caller, frame, arenas::PeekThreadSlot(),
                  component == nullptr ? kNoComponent : std::string_view(component), CurrentPhase()});
    }
  }

  static void OnFree(AllocationTracker& tracker, const void* block) noexcept {
    if (IsPlantOfAnother(tracker)) return;
    const BiasedLock::Guard guard(tracker.lock_);
    if (!tracker.tracking_.load(std::memory_order_relaxed)) return;
    const bool wasFollowed = tracker.tables_->Remove(block);
    const bool isOurs = IsTracked(tracker) && (detail::gateThread.word & detail::kGateDriverBit) == 0;
    if (!wasFollowed && isOurs) ++tracker.tables_->otherFrees;
  }

  static void OnSource(AllocationTracker& tracker, AllocationSource source, std::size_t sizeBytes,
                       bool isFree) noexcept {
    const BiasedLock::Guard guard(tracker.lock_);
    if (!tracker.tracking_.load(std::memory_order_relaxed)) return;
    SourceStats& stats = tracker.tables_->sources[static_cast<std::size_t>(source)];
    ++(isFree ? stats.frees : stats.count);
    (isFree ? stats.freedBytes : stats.bytes) += sizeBytes;
  }

  template <class Visit>
  static void ForEach(Visit visit) noexcept {
    for (Listener& listener : listeners) {
      if (listener.tracker.load(std::memory_order_relaxed) == nullptr) continue;
      listener.users.fetch_add(1, std::memory_order_seq_cst);
      if (AllocationTracker* const tracker = listener.tracker.load(std::memory_order_seq_cst);
          tracker != nullptr)
        visit(*tracker);
      listener.users.fetch_sub(1, std::memory_order_release);
    }
  }

  // False when all places are taken.
  static bool Listen(AllocationTracker& tracker) noexcept {
    listenersLock.Lock();
    const auto free =
        std::find_if(std::begin(listeners), std::end(listeners), [](const Listener& listener) noexcept {
          return listener.tracker.load(std::memory_order_relaxed) == nullptr;
        });
    const bool found = free != std::end(listeners);
    if (found) {
      free->tracker.store(&tracker, std::memory_order_seq_cst);
      detail::SetGateProcessFlag(detail::kGateTrackersActive, true);
    }
    listenersLock.Unlock();
    return found;
  }

  static void Leave(const AllocationTracker& tracker) noexcept {
    listenersLock.Lock();
    bool isAnyLeft = false;
    for (Listener& listener : listeners) {
      if (listener.tracker.load(std::memory_order_relaxed) == &tracker) {
        listener.tracker.store(nullptr, std::memory_order_seq_cst);
        while (listener.users.load(std::memory_order_seq_cst) != 0) sched_yield();
      }
      isAnyLeft |= listener.tracker.load(std::memory_order_relaxed) != nullptr;
    }
    if (!isAnyLeft) detail::SetGateProcessFlag(detail::kGateTrackersActive, false);
    listenersLock.Unlock();
  }

  // A forked child has one thread; a lock that another one held would stay locked there for ever.
  static void BeforeFork() noexcept {
    listenersLock.Lock();
    for (Listener& listener : listeners) {
      if (AllocationTracker* const tracker = listener.tracker.load(std::memory_order_relaxed);
          tracker != nullptr)
        tracker->lock_.LockUnbiased();
    }
  }
  static void AfterForkInParent() noexcept {
    for (Listener& listener : listeners) {
      if (AllocationTracker* const tracker = listener.tracker.load(std::memory_order_relaxed);
          tracker != nullptr)
        tracker->lock_.UnlockUnbiased();
    }
    listenersLock.Unlock();
  }
  static void AfterForkInChild() noexcept {
    for (Listener& listener : listeners) listener.users.store(0, std::memory_order_relaxed);
    AfterForkInParent();
  }
};

namespace detail {

void NotifyTrackersOfAllocation(void* block, std::size_t sizeBytes, const void* caller) noexcept {
  const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  AllocationTrackerAccess::ForEach([=](AllocationTracker& tracker) noexcept {
    AllocationTrackerAccess::OnAllocation(tracker, block, sizeBytes, caller, frame);
  });
}

void NotifyTrackersOfFree(void* block) noexcept {
  AllocationTrackerAccess::ForEach(
      [=](AllocationTracker& tracker) noexcept { AllocationTrackerAccess::OnFree(tracker, block); });
}

}  // namespace detail

namespace {

void Note(AllocationSource source, std::size_t sizeBytes, bool isFree) noexcept {
  if (!TrackersListen() || sizeBytes == 0) [[likely]]
    return;
  AllocationTrackerAccess::ForEach([=](AllocationTracker& tracker) noexcept {
    AllocationTrackerAccess::OnSource(tracker, source, sizeBytes, isFree);
  });
}

}  // namespace

void NoteAllocation(AllocationSource source, std::size_t sizeBytes) noexcept {
  Note(source, sizeBytes, false);
}
void NoteFree(AllocationSource source, std::size_t sizeBytes) noexcept { Note(source, sizeBytes, true); }

AllocationTracker::AllocationTracker(const AllocationTrackerOptions& options) noexcept : options_(options) {
  static const bool forkHandled =
      pthread_atfork(&AllocationTrackerAccess::BeforeFork, &AllocationTrackerAccess::AfterForkInParent,
                     &AllocationTrackerAccess::AfterForkInChild) == 0;
  static_cast<void>(forkHandled);
  const std::size_t recordsMax = std::bit_ceil(std::max<std::size_t>(options.liveBlocksMax, 1));
  STADIAL_ASSERT_COMPARE(recordsMax, <=, std::size_t{1} << 30, "AllocationTrackerOptions::liveBlocksMax");
  const std::size_t page = arenas::PageSize();
  const std::size_t bytes = (Tables::BytesFor(recordsMax) + page - 1) / page * page;
  auto memory = arenas::ReserveAddressSpace(bytes, page);
  if (!memory) return;
  if (!arenas::CommitPages(memory.Value(), bytes)) {
    arenas::ReleaseAddressSpace(memory.Value(), bytes);
    return;
  }
  // A forked child that allocates writes to its copy of the tables.
  madvise(memory.Value(), bytes, MADV_DOFORK);
  tables_ = Tables::Place(memory.Value(), recordsMax);
  tablesBytes_ = bytes;
}

AllocationTracker::~AllocationTracker() {
  StopTracking();
  if (tables_ != nullptr) arenas::ReleaseAddressSpace(reinterpret_cast<std::byte*>(tables_), tablesBytes_);
}

void AllocationTracker::StartTracking() noexcept {
  StopTracking();
  sawPlant_ = false;
  if (tables_ == nullptr) return;
  RunGateSelfTest();
  {
    const BiasedLock::Guard guard(lock_);
    tables_->Clear();
    tables_->starter = &detail::gateThread;
    tracking_.store(true, std::memory_order_relaxed);
  }
  listening_ = AllocationTrackerAccess::Listen(*this);
  {
    const GateScope scope(GatePolicy::Allow, GatePolicy::Allow, CurrentPhase(), kPlantComponent.data());
    plantingFor = this;
    void* plant = std::malloc(1);
    asm volatile("" : "+r"(plant) : : "memory");
    std::free(plant);
    plantingFor = nullptr;
  }
  const BiasedLock::Guard guard(lock_);
  for (std::size_t index = 0; index < tables_->componentCount; ++index) {
    sawPlant_ |= tables_->ComponentName(index) == kPlantComponent;
  }
  tables_->Clear();
  tables_->starter = &detail::gateThread;
}

void AllocationTracker::StopTracking() noexcept {
  if (tables_ == nullptr) return;
  if (listening_) AllocationTrackerAccess::Leave(*this);
  listening_ = false;
  const BiasedLock::Guard guard(lock_);  // no recording is under way when it is false
  tracking_.store(false, std::memory_order_relaxed);
  tables_->origins.ForgetSites();  // so that none is added quickly
}

bool AllocationTracker::IsTracking() const noexcept { return tracking_.load(std::memory_order_relaxed); }

bool AllocationTracker::IsArmed() const noexcept {
  return sawPlant_ && CurrentGateState() == GateState::Armed;
}

const char* AllocationTracker::WhyNotArmed() const noexcept {
  if (tables_ == nullptr)
    return "the tracker's tables could not be reserved: the address space or memory is limited";
  if (CurrentGateState() != GateState::Armed) return RunGateSelfTest().why;
  if (sawPlant_) return "armed";
  return listening_ ? "the tracker did not see the allocation it planted"
                    : "tracking was never started, or kActiveTrackersMax trackers were active already";
}

// The walk begins at the frame of Record, whose return address is the site's.
void AllocationTracker::Record(void* ptr, std::size_t size, std::string_view component) noexcept {
  const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const std::uint32_t thread = arenas::PeekThreadSlot();
  if (lock_.TryLockBiased(thread)) [[likely]] {
    const bool isDone = tables_->AddQuickly(
        ptr, size, {__builtin_return_address(0), frame, thread, component, CurrentPhase()});
    lock_.UnlockBiased(thread);
    if (isDone) [[likely]]
      return;
  }
  RecordSlowly(ptr, size, component, frame);  // no call but this: registers would have to be saved for it
}

void AllocationTracker::RecordSlowly(void* ptr, std::size_t size, std::string_view component,
                                     std::uintptr_t frame) noexcept {
  if (!IsTracking()) return;
  detail::FrameLink link;
  std::memcpy(&link, reinterpret_cast<const void*>(frame), sizeof link);
  const BiasedLock::Guard guard(lock_);
  if (tracking_.load(std::memory_order_relaxed)) {
    tables_->Add(ptr, size,
                 {reinterpret_cast<const void*>(link.returnAddress), frame, arenas::PeekThreadSlot(),
                  component, CurrentPhase()});
  }
}

void AllocationTracker::RecordFree(void* ptr) noexcept {
  const std::uint32_t thread = arenas::PeekThreadSlot();
  if (lock_.TryLockBiased(thread)) [[likely]] {
    const bool isDone = tracking_.load(std::memory_order_relaxed) && tables_->RemoveQuickly(ptr);
    lock_.UnlockBiased(thread);
    if (isDone) [[likely]]
      return;
  }
  RecordFreeSlowly(ptr);
}

void AllocationTracker::RecordFreeSlowly(void* ptr) noexcept {
  if (ptr == nullptr || !IsTracking()) return;
  const BiasedLock::Guard guard(lock_);
  if (tracking_.load(std::memory_order_relaxed) && !tables_->Remove(ptr)) ++tables_->otherFrees;
}

}  // namespace stadial::runtime
