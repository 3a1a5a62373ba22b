// An independent judge of barriers and semaphores: executes a few frames, follows every single use of a
// resource through all that comes after it, in O(N^2), and says what is not ordered, not visible, in a wrong
// layout or with a wrong owner. It shares no code with the planner and knows no shortcut.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "stadial/graph/barriers.h"

namespace stadial::graph::testing {

// A frame's work with what is said to synchronise it; plain vectors, so that parts can be taken out.
struct SynchronizedFrame {
  std::uint32_t positions = 0;
  DeviceQueues queues;
  std::vector<std::uint8_t> queueOf;  // by position
  std::vector<ResourceAccess> accesses;
  std::vector<Barrier> barriers;
  std::vector<Barrier> releases;
  std::vector<SemaphoreWait> waits;

  static SynchronizedFrame From(const SyncInput& input, const SyncPlan& plan) {
    SynchronizedFrame frame;
    frame.positions = input.positions;
    frame.queues = input.queues;
    frame.queueOf.assign(input.positions, 0);
    if (input.queues.Count() > 1) frame.queueOf.assign(input.queueOf.begin(), input.queueOf.end());
    frame.accesses.assign(input.accesses.begin(), input.accesses.end());
    for (std::uint32_t p = 0; p < input.positions; ++p) {
      for (const Barrier& barrier : plan.BarriersAt(p)) frame.barriers.push_back(barrier);
      for (const Barrier& release : plan.ReleasesBehind(p)) frame.releases.push_back(release);
      for (const SemaphoreWait& wait : plan.WaitsAt(p)) frame.waits.push_back(wait);
    }
    return frame;
  }
};

class HazardOracle {
 public:
  explicit HazardOracle(const SynchronizedFrame& frame) : frame_(frame) { BuildOperations(); }

  // Empty, or the first fault found.
  std::string FindFault() {
    if (std::string fault = CheckLayoutsAndOwners(); !fault.empty()) return fault;
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      if (std::string fault = CheckFrom(i); !fault.empty()) return fault;
    }
    return {};
  }

 private:
  static constexpr std::uint32_t kFrames = 3;

  enum class Kind { Wait, Barriers, Work, Signal };
  struct Operation {
    Kind kind;
    std::uint32_t frame;
    std::uint32_t position;
    std::uint8_t queue;
    std::vector<Barrier> barriers;
    std::vector<ResourceAccess> accesses;
    std::uint32_t signalFrame = 0;  // of a wait
    std::uint32_t signalPosition = 0;
  };

  void BuildOperations() {
    for (std::uint32_t f = 0; f < kFrames; ++f) {
      for (std::uint32_t p = 0; p < frame_.positions; ++p) {
        const std::uint8_t queue = frame_.queueOf[p] == kNoQueue ? std::uint8_t{0} : frame_.queueOf[p];
        for (const SemaphoreWait& wait : frame_.waits) {
          if (wait.position != p || (wait.isFrameBefore && f == 0)) continue;
          Add(Kind::Wait, f, p, queue);
          operations_.back().signalFrame = f - (wait.isFrameBefore ? 1 : 0);
          operations_.back().signalPosition = wait.signalPosition;
        }
        Add(Kind::Barriers, f, p, queue);
        for (const Barrier& barrier : frame_.barriers) {
          if (barrier.position == p) operations_.back().barriers.push_back(barrier);
        }
        Add(Kind::Work, f, p, queue);
        for (const ResourceAccess& access : frame_.accesses) {
          if (access.position == p) operations_.back().accesses.push_back(access);
        }
        Add(Kind::Barriers, f, p, queue);
        for (const Barrier& release : frame_.releases) {
          if (release.position == p) operations_.back().barriers.push_back(release);
        }
        Add(Kind::Signal, f, p, queue);  // for whoever waits for it
      }
    }
  }
  void Add(Kind kind, std::uint32_t f, std::uint32_t p, std::uint8_t queue) {
    operations_.push_back({kind, f, p, queue, {}, {}});
  }

  std::string Say(const char* what, const Operation& from, const Operation& to,
                  std::uint32_t resource) const {
    return std::string(what) + ": resource " + std::to_string(resource) + ", frame " +
           std::to_string(from.frame) + " #" + std::to_string(from.position) + " on queue " +
           std::to_string(from.queue) + " to frame " + std::to_string(to.frame) + " #" +
           std::to_string(to.position) + " on queue " + std::to_string(to.queue);
  }

  // The first frame ends as every frame does; the others are judged.
  std::string CheckLayoutsAndOwners() const {
    struct State {
      ImageLayout layout = ImageLayout::Any;
      QueueClass owner = QueueClass::Any;
      std::optional<Barrier> release;
    };
    std::map<std::uint32_t, State> states;
    for (const Operation& op : operations_) {
      const bool isJudged = op.frame > 0;
      const QueueClass family = frame_.queues.ClassOf(op.queue);
      for (const Barrier& barrier : op.barriers) {
        if (barrier.IsGlobal()) continue;
        State& state = states[barrier.resource];
        if (isJudged && state.layout != barrier.oldLayout) return Say("old layout", op, op, barrier.resource);
        if (barrier.reason == BarrierReason::OwnerRelease) {
          if (isJudged && (state.owner != family || state.release))
            return Say("release by who does not own", op, op, barrier.resource);
          state.release = barrier;
          continue;
        }
        const bool isAcquire = barrier.reason == BarrierReason::OwnerAcquire;
        if (isJudged && isAcquire &&
            (!state.release || state.release->newLayout != barrier.newLayout ||
             state.release->sourceQueue != barrier.sourceQueue ||
             state.release->targetQueue != barrier.targetQueue))
          return Say("acquire without its release", op, op, barrier.resource);
        if (isJudged && !isAcquire && state.owner != family)
          return Say("layout changed by who does not own", op, op, barrier.resource);
        state.release.reset();
        state.owner = family;
        state.layout = barrier.newLayout;
      }
      for (const ResourceAccess& access : op.accesses) {
        State& state = states[access.resource];
        if (isJudged && access.access.layout != ImageLayout::Any && access.access.layout != state.layout)
          return Say("layout", op, op, access.resource);
        if (isJudged && (state.owner != family || state.release))
          return Say("used by who does not own", op, op, access.resource);
        if (access.access.layout != ImageLayout::Any) state.layout = access.access.layout;
        state.owner = family;
      }
    }
    return {};
  }

  // What is known on one queue about one stage of one use.
  struct View {
    bool isAfter = false;     // everything on this queue comes after it
    std::uint64_t after = 0;  // or only these stages
    bool isAvailable = false;
    bool isVisible = false;  // to everything on this queue
    std::vector<std::pair<std::uint64_t, std::uint64_t>> visibleTo;

    bool Precedes(std::uint64_t stages) const { return isAfter || (stages & ~after) == 0; }
    bool IsVisibleTo(const Access& access) const {
      if (isVisible) return true;
      for (std::uint64_t rest = access.stages; rest != 0; rest &= rest - 1) {
        const std::uint64_t stage = rest & ~(rest - 1);
        std::uint64_t seen = 0;
        for (const auto& [stages, accessBits] : visibleTo) {
          if ((stages & stage) != 0) seen |= accessBits;
        }
        if ((access.access & ~seen) != 0) return false;
      }
      return true;
    }
  };

  struct Use {
    std::uint32_t resource;
    std::uint64_t stage;   // one; 0: a release, which only a signal can carry on
    std::uint64_t writes;  // not yet available; 0 for reads, and for what a barrier does
    bool isWrite;
    View start;  // on its own queue
  };

  std::string CheckFrom(std::size_t at) {
    const Operation& op = operations_[at];
    for (const ResourceAccess& access : op.accesses) {
      for (std::uint64_t rest = access.access.stages; rest != 0; rest &= rest - 1) {
        const Use use{access.resource,
                      rest & ~(rest - 1),
                      access.access.access & accesses::kWrites,
                      access.access.Writes(),
                      {}};
        if (std::string fault = Follow(at, use); !fault.empty()) return fault;
      }
    }
    for (const Barrier& barrier : op.barriers) {
      if (barrier.IsGlobal()) continue;
      Use use{barrier.resource, 0, 0, true, {}};
      use.start.isAvailable = true;
      if (barrier.reason != BarrierReason::OwnerRelease) {
        use.start.after = barrier.targetStages;
        use.start.visibleTo.emplace_back(barrier.targetStages, barrier.targetAccess);
      }
      if (std::string fault = Follow(at, use); !fault.empty()) return fault;
    }
    return {};
  }

  std::string Follow(std::size_t at, const Use& use) {
    const Operation& source = operations_[at];
    std::vector<View> views(frame_.queues.Count());
    views[source.queue] = use.start;
    std::map<std::pair<std::uint32_t, std::uint32_t>, bool> carried;  // by signal: it comes after the use
    bool isLatestWrite = use.isWrite;
    for (std::size_t i = at + 1; i < operations_.size(); ++i) {
      const Operation& op = operations_[i];
      View& view = views[op.queue];
      switch (op.kind) {
        case Kind::Signal:
          carried[{op.frame, op.position}] = op.queue == source.queue || view.isAfter;
          break;
        case Kind::Wait:
          if (carried[{op.signalFrame, op.signalPosition}])
            view.isAfter = view.isAvailable = view.isVisible = true;
          break;
        case Kind::Barriers: {
          const View before = view;
          for (const Barrier& barrier : op.barriers) {
            const bool isOwn = op.queue == source.queue && (barrier.sourceStages & use.stage) != 0;
            const bool isAfter = before.isAfter || (before.after & barrier.sourceStages) != 0 || isOwn;
            const bool concerns = barrier.IsGlobal() || barrier.resource == use.resource;
            const bool isAvailable =
                before.isAvailable || (isOwn && concerns && (use.writes & ~barrier.sourceAccess) == 0);
            if (!barrier.IsGlobal() && barrier.resource == use.resource) {
              if (op.frame > 0 && !isAfter)
                return Say("barrier of a resource in use", source, op, use.resource);
              if (op.frame > 0 && use.isWrite && !isAvailable)
                return Say("barrier of what is not available", source, op, use.resource);
              isLatestWrite = false;
            }
            if (!isAfter) continue;
            view.after |= barrier.targetStages;
            if (!isAvailable) continue;
            view.isAvailable = true;
            if (concerns) view.visibleTo.emplace_back(barrier.targetStages, barrier.targetAccess);
          }
          break;
        }
        case Kind::Work:
          for (const ResourceAccess& target : op.accesses) {
            if (target.resource != use.resource) continue;
            const bool conflicts = use.isWrite || target.access.Writes();
            if (op.frame > 0 && conflicts) {
              if (!view.Precedes(target.access.stages)) return Say("not ordered", source, op, use.resource);
              if (use.isWrite && !view.isAvailable) return Say("not available", source, op, use.resource);
              if (isLatestWrite && target.access.Reads() && !view.IsVisibleTo(target.access))
                return Say("not visible", source, op, use.resource);
            }
            if (target.access.Writes()) isLatestWrite = false;
          }
          break;
      }
    }
    return {};
  }

  const SynchronizedFrame& frame_;
  std::vector<Operation> operations_;
};

inline std::string FindFault(const SynchronizedFrame& frame) { return HazardOracle(frame).FindFault(); }

}  // namespace stadial::graph::testing
