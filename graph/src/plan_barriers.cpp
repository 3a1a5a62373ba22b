// Two passes over the accesses of a frame: the first finds what a frame leaves behind, the second derives, as
// if it were the frame after. Places count on from one to the other: position p is place p in the first frame
// and place positions + p in the second.
#include <algorithm>
#include <utility>

#include "byte_rounding.h"
#include "stadial/arenas/assert.h"
#include "sync_tables.h"

namespace stadial::graph {

std::size_t SyncPlanner::BytesFor(const SyncCapacity& capacity) noexcept {
  std::size_t bytes = ArenaBytes(sizeof(Tables));
  Tables tables;
  tables.ForEach(capacity,
                 [&bytes]<class T>(std::span<T>&, std::size_t count) { bytes += ArenaBytes<T>(count); });
  return bytes;
}

SyncPlanner::SyncPlanner(arenas::Arena& memory, const SyncCapacity& capacity) : capacity_(capacity) {
  STADIAL_ASSERT_ALWAYS(capacity.queues >= 1 && capacity.queues <= kQueuesMax,
                        "a device has one to kQueuesMax queues");
  tables_ = memory.New<Tables>();
  tables_->ForEach(capacity, [&memory]<class T>(std::span<T>& table, std::size_t count) {
    table = memory.NewArrayUninitialized<T>(count);
  });
}

class SyncDerivation {
 public:
  SyncDerivation(SyncPlanner::Tables& tables, const SyncInput& input)
      : t_(tables), input_(input), queueCount_(input.queues.Count()) {}

  SyncPlan Run() {
    std::fill_n(t_.states.begin(), input_.resources, ResourceState{});
    t_.kindCount = 0;
    for (std::uint32_t i = 0; i < input_.accesses.size(); ++i) {
      const ResourceAccess& access = input_.accesses[i];
      t_.kindOf[i] = KindOf(access.access);
      Leave(i, access, access.position);
    }
    Begin();
    std::uint32_t i = 0;
    for (std::uint32_t position = 0; position < input_.positions; ++position) {
      t_.barrierBegin[position] = barrierCount_;
      const std::uint32_t place = input_.positions + position;
      const std::uint32_t first = i;
      while (i < input_.accesses.size() && input_.accesses[i].position == position) ++i;
      if (i != first) DerivePosition(first, i, place);
      if (queueCount_ > 1) {
        Clock& clock = t_.clocks[position];
        clock = known_[QueueAt(position)];
        clock[QueueAt(position)] = place + 1;
      }
    }
    t_.barrierBegin[input_.positions] = barrierCount_;
    return Finish();
  }

 private:
  std::uint8_t QueueAt(std::uint32_t position) const {
    if (queueCount_ <= 1) return 0;
    const std::uint8_t queue = input_.queueOf[position];
    return queue == kNoQueue ? std::uint8_t{0} : queue;
  }
  QueueClass FamilyOf(std::uint8_t queue) const { return input_.queues.ClassOf(queue); }
  std::uint32_t PositionOf(std::uint32_t place) const {
    return place < input_.positions ? place : place - input_.positions;
  }
  bool IsFrameBefore(std::uint32_t place) const { return place < input_.positions; }
  std::span<const AccessKind> Kinds() const { return std::span(t_.kinds).first(t_.kindCount); }

  std::uint8_t KindOf(const Access& access) {
    const AccessKind wanted{access.stages, access.access};
    for (std::uint32_t k = 0; k < t_.kindCount; ++k) {
      if (t_.kinds[k].stages == wanted.stages && t_.kinds[k].access == wanted.access)
        return static_cast<std::uint8_t>(k);
    }
    if (t_.kindCount < kAccessKindsMax) {
      t_.kinds[t_.kindCount] = wanted;
      return static_cast<std::uint8_t>(t_.kindCount++);
    }
    AccessKind& rest = t_.kinds[kAccessKindsMax - 1];
    rest.stages |= wanted.stages;
    rest.access |= wanted.access;
    return kAccessKindsMax - 1;
  }

  // What an access leaves behind, once all that it needs has been placed before it.
  void Leave(std::uint32_t index, const ResourceAccess& access, std::uint32_t place) {
    ResourceState& state = t_.states[access.resource];
    const std::uint8_t queue = QueueAt(access.position);
    if (ChangesHands(state, access, queue)) LeaveTransition(state, t_.kindOf[index], queue, place);
    if (access.access.Writes()) {
      state.writePlace = place;
      state.writeKind = t_.kindOf[index];
      state.writeQueue = queue;
      state.isTransition = false;
      state.lastReader = kNowhere;
    } else {
      t_.readers[index] = {state.lastReader, place, t_.kindOf[index], queue};
      state.lastReader = index;
    }
    if (access.access.layout != ImageLayout::Any) state.layout = access.access.layout;
    state.lastPlace = place;
    state.lastQueue = queue;
  }

  static void LeaveTransition(ResourceState& state, std::uint8_t kind, std::uint8_t queue,
                              std::uint32_t place) {
    state.writePlace = place;
    state.writeKind = kind;
    state.writeQueue = queue;
    state.isTransition = true;
    state.lastReader = kNowhere;
  }

  static bool ChangesLayout(const ResourceState& state, const ResourceAccess& access) {
    return state.layout != ImageLayout::Any && access.access.layout != ImageLayout::Any &&
           state.layout != access.access.layout;
  }
  bool ChangesHands(const ResourceState& state, const ResourceAccess& access, std::uint8_t queue) const {
    if (state.lastPlace == kNowhere) return false;
    return ChangesLayout(state, access) || FamilyOf(state.lastQueue) != FamilyOf(queue);
  }

  // Nothing of the frame before is counted upon but its order on its queue.
  void Begin() {
    for (std::uint32_t q = 0; q < queueCount_; ++q) {
      t_.coverage[q].Reset(t_.kindCount);
      known_[q].fill(0);
      returned_[q] = 0;
    }
    if (queueCount_ > 1) std::fill_n(t_.signalValue.begin(), input_.positions, 0u);
  }

  // Waits and barriers of single resources first: much of what is left is covered by them.
  void DerivePosition(std::uint32_t first, std::uint32_t last, std::uint32_t place) {
    const std::span<const ResourceAccess> uses = input_.accesses.subspan(first, last - first);
    batchBegin_ = barrierCount_;
    queue_ = QueueAt(uses.front().position);
    awaited_.fill(0);
    globalCount_ = 0;
    for (std::uint32_t i = 0; i < uses.size(); ++i) RequireElsewhere(first + i, uses[i]);
    if (queueCount_ > 1) PlaceWaits(place);
    transitionEnd_ = barrierCount_;
    for (std::uint32_t i = 0; i < uses.size(); ++i) {
      RequireHere(first + i, uses[i]);
      Leave(first + i, uses[i], place);
    }
    MergeSameSources();
    const std::span<const Barrier> batch = t_.barriers.subspan(batchBegin_, barrierCount_ - batchBegin_);
    if (!batch.empty()) t_.coverage[queue_].Apply(batch, Kinds(), place);
  }

  Barrier MakeNeed(const ResourceAccess& access, std::uint8_t kind) const {
    return {.targetStages = t_.kinds[kind].stages,
            .resource = access.resource,
            .position = access.position,
            .sourceQueue = queue_,
            .targetQueue = queue_};
  }

  // Changes of layout and owner, and what other queues have to be waited for.
  void RequireElsewhere(std::uint32_t index, const ResourceAccess& access) {
    const ResourceState& state = t_.states[access.resource];
    if (state.lastPlace == kNowhere) return;
    if (ChangesHands(state, access, queue_)) {
      need_ = MakeNeed(access, t_.kindOf[index]);
      RequireTransition(state, access, t_.kindOf[index]);
    } else if (queueCount_ > 1) {
      const bool wasRead = state.lastReader != kNowhere;
      if ((access.access.Reads() || !wasRead) && state.writePlace != kNowhere && state.writeQueue != queue_)
        Await(state.writeQueue, state.writePlace);
      if (!access.access.Writes()) return;
      for (std::uint32_t i = state.lastReader; i != kNowhere; i = t_.readers[i].previous) {
        if (t_.readers[i].queue != queue_) Await(t_.readers[i].queue, t_.readers[i].place);
      }
    }
  }

  // What this queue itself has to be ordered after.
  void RequireHere(std::uint32_t index, const ResourceAccess& access) {
    const ResourceState& state = t_.states[access.resource];
    if (state.lastPlace == kNowhere || ChangesHands(state, access, queue_)) return;
    const std::uint8_t kind = t_.kindOf[index];
    const bool isRead = access.access.Reads();
    const bool wasRead = state.lastReader != kNowhere;
    need_ = MakeNeed(access, kind);
    isNeeded_ = false;
    // A write behind readers: they came after the last write, and it is available since.
    if (isRead || !wasRead)
      RequireWrite(state, kind, isRead ? BarrierReason::ReadAfterWrite : BarrierReason::WriteAfterWrite);
    if (access.access.Writes() && wasRead) RequireReaders(state, kind);
    if (isNeeded_) AddNeed();
  }

  // The last write is visible to `kind` here.
  void RequireWrite(const ResourceState& state, std::uint8_t kind, BarrierReason reason) {
    if (state.writePlace == kNowhere || state.writeQueue != queue_) return;
    if (returned_[queue_] > state.writePlace) return;
    const AccessKind& write = t_.kinds[state.writeKind];
    const BarrierCoverage& coverage = t_.coverage[queue_];
    if (state.isTransition) {
      const AccessKind& target = t_.kinds[kind];
      if (Contains(write.stages, target.stages) && Contains(write.access, target.access)) return;
      if (coverage.Revealed(state.writeKind, kind) > state.writePlace) return;
      Need(reason, state.writePlace, write.stages, 0, target.access);
    } else if (coverage.Visible(state.writeKind, kind) <= state.writePlace) {
      Need(reason, state.writePlace, write.stages, write.Writes(), t_.kinds[kind].access);
    }
  }

  // All reads since the last write are done before `kind` here. Each is looked at once: a write follows.
  void RequireReaders(const ResourceState& state, std::uint8_t kind) {
    for (std::uint32_t i = state.lastReader; i != kNowhere; i = t_.readers[i].previous) {
      const Reader& reader = t_.readers[i];
      if (reader.queue != queue_ || returned_[queue_] > reader.place ||
          t_.coverage[queue_].Executed(reader.kind, kind) > reader.place ||
          IsExecutedHere(t_.kinds[reader.kind].stages, t_.kinds[kind].stages))
        continue;
      Need(BarrierReason::WriteAfterRead, reader.place, t_.kinds[reader.kind].stages, 0, 0);
    }
  }

  // By a change of layout at this very position.
  bool IsExecutedHere(std::uint64_t sourceStages, std::uint64_t targetStages) const {
    const std::uint32_t end = std::min(transitionEnd_, batchBegin_ + BarrierCoverage::kBatchMax);
    for (std::uint32_t i = batchBegin_; i < end; ++i) {
      if (Contains(t_.barriers[i].sourceStages, sourceStages) &&
          Contains(t_.barriers[i].targetStages, targetStages))
        return true;
    }
    return false;
  }

  void Need(BarrierReason reason, std::uint32_t place, std::uint64_t sourceStages, std::uint64_t sourceAccess,
            std::uint64_t targetAccess) {
    if (!isNeeded_) {
      need_.reason = reason;
      need_.sourcePosition = PositionOf(place);
      need_.isFrameBefore = IsFrameBefore(place);
    }
    isNeeded_ = true;
    need_.sourceStages |= sourceStages;
    need_.sourceAccess |= sourceAccess;
    need_.targetAccess |= targetAccess;
  }

  // Joins a barrier of this position with the same target stages: its order of execution grows by nothing
  // that was not asked for.
  void AddNeed() {
    for (const std::uint32_t i : std::span(global_).first(globalCount_)) {
      Barrier& other = t_.barriers[i];
      if (other.targetStages != need_.targetStages) continue;
      other.sourceStages |= need_.sourceStages;
      other.sourceAccess |= need_.sourceAccess;
      other.targetAccess |= need_.targetAccess;
      ++other.resourceCount;
      return;
    }
    global_[globalCount_++] = barrierCount_;
    t_.barriers[barrierCount_++] = need_;
  }

  // Barriers of this position with the same sources are one with all their targets, and mean the same.
  void MergeSameSources() {
    const std::uint32_t begin = transitionEnd_;
    for (std::uint32_t i = begin; i < barrierCount_; ++i) {
      Barrier& barrier = t_.barriers[i];
      std::uint32_t kept = i + 1;
      for (std::uint32_t j = i + 1; j < barrierCount_; ++j) {
        const Barrier& other = t_.barriers[j];
        if (other.sourceStages != barrier.sourceStages || other.sourceAccess != barrier.sourceAccess) {
          t_.barriers[kept++] = other;
          continue;
        }
        barrier.targetStages |= other.targetStages;
        barrier.targetAccess |= other.targetAccess;
        barrier.resourceCount += other.resourceCount;
      }
      barrierCount_ = kept;
    }
  }

  // A new layout, a new owner, or both: everything that has used the resource comes before.
  void RequireTransition(const ResourceState& state, const ResourceAccess& access, std::uint8_t kind) {
    const bool changesOwner = FamilyOf(state.lastQueue) != FamilyOf(queue_);
    Barrier release = need_;  // the sources that the last user's queue has to wait for
    bool isAwaited = changesOwner;
    const auto addSource = [&](std::uint8_t queue, std::uint32_t place, std::uint64_t stages,
                               std::uint64_t writes) {
      if (changesOwner && queue == state.lastQueue) {
        release.sourceStages |= stages;
        release.sourceAccess |= writes;
      } else if (changesOwner) {
        AwaitBefore(state.lastPlace, queue, place);
      } else if (queue == queue_) {
        need_.sourceStages |= stages;
        need_.sourceAccess |= writes;
      } else {
        Await(queue, place);
        isAwaited = true;
      }
    };
    if (state.lastReader == kNowhere) {
      addSource(state.writeQueue, state.writePlace, t_.kinds[state.writeKind].stages,
                state.isTransition ? 0 : t_.kinds[state.writeKind].Writes());
    }
    for (std::uint32_t i = state.lastReader; i != kNowhere; i = t_.readers[i].previous) {
      const Reader& reader = t_.readers[i];
      addSource(reader.queue, reader.place, t_.kinds[reader.kind].stages, 0);
    }
    // A wait holds back all stages; naming the targets as sources puts the barrier behind it.
    if (isAwaited) need_.sourceStages |= t_.kinds[kind].stages;
    need_.targetAccess = t_.kinds[kind].access;
    need_.sourcePosition = PositionOf(state.lastPlace);
    need_.isFrameBefore = IsFrameBefore(state.lastPlace);
    need_.reason = changesOwner ? BarrierReason::OwnerAcquire : BarrierReason::LayoutChange;
    need_.oldLayout = state.layout;
    need_.newLayout = access.access.layout == ImageLayout::Any ? state.layout : access.access.layout;
    need_.sourceQueue = changesOwner ? state.lastQueue : queue_;
    t_.barriers[barrierCount_++] = need_;
    if (!changesOwner) return;
    release.reason = BarrierReason::OwnerRelease;
    release.position = release.sourcePosition = PositionOf(state.lastPlace);
    release.targetStages = 0;
    release.oldLayout = need_.oldLayout;
    release.newLayout = need_.newLayout;
    release.sourceQueue = state.lastQueue;
    t_.looseReleases[releaseCount_++] = release;
    Await(state.lastQueue, state.lastPlace);
  }

  // This position waits for `queue` to be past `place`.
  void Await(std::uint8_t queue, std::uint32_t place) {
    if (known_[queue_][queue] <= place) awaited_[queue] = std::max(awaited_[queue], place + 1);
  }

  // An earlier place of `waiting` must wait, too: what it releases is still in use on `queue`.
  void AwaitBefore(std::uint32_t waitingPlace, std::uint8_t queue, std::uint32_t place) {
    const bool isThisFrame = !IsFrameBefore(waitingPlace);
    Clock& clock = t_.clocks[PositionOf(waitingPlace)];
    if (isThisFrame && clock[queue] > place) return;
    if (isThisFrame) clock[queue] = place + 1;
    AddWait(PositionOf(waitingPlace), queue, place, isThisFrame && IsFrameBefore(place));
  }

  // What queue `queue` had waited for itself by the end of `place`.
  std::uint32_t KnownThrough(std::uint8_t queue, std::uint32_t place, std::uint8_t of) const {
    if (queue == of) return place + 1;
    return IsFrameBefore(place) ? 0 : t_.clocks[PositionOf(place)][of];
  }

  // The waits of this position that no other of them covers, and what the queue knows after them.
  void PlaceWaits(std::uint32_t place) {
    for (std::uint8_t queue = 0; queue < queueCount_; ++queue) {
      if (awaited_[queue] == 0) continue;
      bool isCovered = false;
      for (std::uint8_t other = 0; other < queueCount_ && !isCovered; ++other) {
        isCovered = other != queue && awaited_[other] != 0 &&
                    KnownThrough(other, awaited_[other] - 1, queue) >= awaited_[queue];
      }
      if (!isCovered)
        AddWait(PositionOf(place), queue, awaited_[queue] - 1, IsFrameBefore(awaited_[queue] - 1));
    }
    for (std::uint8_t queue = 0; queue < queueCount_; ++queue) {
      if (awaited_[queue] == 0) continue;
      for (std::uint8_t of = 0; of < queueCount_; ++of) {
        const std::uint32_t through = KnownThrough(queue, awaited_[queue] - 1, of);
        std::uint32_t& knows = of == queue_ ? returned_[queue_] : known_[queue_][of];
        knows = std::max(knows, through);
      }
    }
  }

  void AddWait(std::uint32_t position, std::uint8_t queue, std::uint32_t place, bool isFrameBefore) {
    t_.looseWaits[waitCount_++] = {.position = position,
                                   .signalPosition = PositionOf(place),
                                   .queue = queue,
                                   .isFrameBefore = isFrameBefore};
    t_.signalValue[PositionOf(place)] = 1;
  }

  // Counting sort by position.
  template <class T>
  void SortByPosition(std::span<const T> loose, std::span<std::uint32_t> begin, std::span<T> sorted) const {
    std::fill_n(begin.begin(), input_.positions + 1, 0u);
    for (const T& item : loose) ++begin[item.position];
    std::uint32_t sum = 0;
    for (std::uint32_t i = 0; i <= input_.positions; ++i) sum += std::exchange(begin[i], sum);
    for (const T& item : loose) sorted[begin[item.position]++] = item;
    for (std::uint32_t i = input_.positions; i > 0; --i) begin[i] = begin[i - 1];
    begin[0] = 0;
  }

  SyncPlan Finish() {
    SyncPlan plan;
    plan.queueCount = queueCount_;
    plan.barrierBegin = t_.barrierBegin.first(input_.positions + 1);
    plan.barriers = t_.barriers.first(barrierCount_);
    if (queueCount_ <= 1) return plan;
    std::uint32_t signals = 0;
    for (std::uint32_t position = 0; position < input_.positions; ++position) {
      if (t_.signalValue[position] == 0) continue;
      const std::uint8_t queue = QueueAt(position);
      t_.signalValue[position] = ++plan.signalsPerFrame[queue];
      t_.signals[signals++] = {position, t_.signalValue[position], queue};
    }
    for (SemaphoreWait& wait : t_.looseWaits.first(waitCount_))
      wait.value = t_.signalValue[wait.signalPosition];
    SortByPosition<SemaphoreWait>(t_.looseWaits.first(waitCount_), t_.waitBegin, t_.waits);
    SortByPosition<Barrier>(t_.looseReleases.first(releaseCount_), t_.releaseBegin, t_.releases);
    plan.queueOf = input_.queueOf;
    plan.releaseBegin = t_.releaseBegin.first(input_.positions + 1);
    plan.releases = t_.releases.first(releaseCount_);
    plan.waitBegin = t_.waitBegin.first(input_.positions + 1);
    plan.waits = t_.waits.first(waitCount_);
    plan.signals = t_.signals.first(signals);
    return plan;
  }

  SyncPlanner::Tables& t_;
  const SyncInput& input_;
  const std::uint32_t queueCount_;
  std::uint32_t barrierCount_ = 0;
  std::uint32_t releaseCount_ = 0;
  std::uint32_t waitCount_ = 0;

  std::array<Clock, kQueuesMax> known_;             // by queue: what it has waited for
  std::array<std::uint32_t, kQueuesMax> returned_;  // by queue: its own work that came back to it so
  // Of the position in hand.
  std::uint8_t queue_ = 0;
  std::array<std::uint32_t, kAccessKindsMax> global_;  // its barriers for all resources
  std::uint32_t globalCount_ = 0;
  Clock awaited_;  // by queue: the place to wait for, plus one; 0: none
  Barrier need_;
  bool isNeeded_ = false;
  std::uint32_t batchBegin_ = 0;     // its barriers
  std::uint32_t transitionEnd_ = 0;  // of them, those of single resources
};

SyncPlan SyncPlanner::Derive(const SyncInput& input) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(input.accesses.size(), <=, capacity_.accesses,
                                "more accesses than there is room for");
  STADIAL_ASSERT_COMPARE_ALWAYS(input.positions, <=, capacity_.positions,
                                "more positions than there is room for");
  STADIAL_ASSERT_COMPARE_ALWAYS(input.resources, <=, capacity_.resources,
                                "more resources than there is room for");
  STADIAL_ASSERT_COMPARE_ALWAYS(input.queues.Count(), <=, capacity_.queues,
                                "more queues than there is room for");
  return SyncDerivation(*tables_, input).Run();
}

}  // namespace stadial::graph
