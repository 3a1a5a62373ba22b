// TimelineNode: the mix-in that gives a node a history. Use TimelineTypedNode<Config>, or add TimelineNode to
// another typed node's bases; the graph finds it, sizes it, and rotates it at the start of every frame.
//
//   class TaaNode final : public graph::TimelineTypedNode<TaaConfig> {
//     std::uint32_t GetMaxHistoryFrames() const override { return 1; }
//     void Execute(ExecuteContext& ctx) override {
//       graph::HistoryLookup previous = GetPreviousFrameResource(1, kColor);
//       ...                                                  // previous.reason says why there is none
//       StoreCurrentFrameResource(kColor, color, true);
//     }
//   };
//
// H-a: RenderGraph::Setup surveys all timeline nodes and gives each a history of the deepest request, but at
// least GraphOptions::historyFramesMin frames, in Setup memory. Rotation is a plain call at frame start,
// never an event.
#pragma once

#include <cstdint>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/graph/frame_history.h"
#include "stadial/graph/node.h"

namespace stadial::graph {

class TimelineNode {
 public:
  TimelineNode() noexcept = default;
  TimelineNode(const TimelineNode&) = delete;
  TimelineNode& operator=(const TimelineNode&) = delete;
  virtual ~TimelineNode() = default;

  // Earlier frames this node reads: TAA 4, motion blur 8, temporal filter 2.
  virtual std::uint32_t GetMaxHistoryFrames() const { return 4; }
  // Ids it stores per frame.
  virtual std::uint32_t GetHistoryResourceCount() const { return 4; }

  // Takes the history's memory from `memory`; the graph calls it in Setup. Again: a new, empty history.
  void PreAllocateHistory(arenas::Arena& memory, const FrameHistoryOptions& options);

  // Keeps `resource` under `id` for later frames. What was refused is counted (FrameHistory::RefusedStores).
  StoreResult StoreCurrentFrameResource(ResourceId id, ResourceHandle resource,
                                        bool isImage) noexcept STADIAL_NONALLOCATING;
  HistoryLookup GetPreviousFrameResource(std::uint32_t framesAgo,
                                         ResourceId id) const noexcept STADIAL_NONALLOCATING;
  // After a resize or a change of configuration: nothing stored so far is returned any more.
  void Invalidate() noexcept { history_.Invalidate(); }

  // Called by the graph at frame start.
  void BeginFrame(std::uint64_t frameIndex) noexcept { history_.Rotate(frameIndex); }
  const FrameHistory& History() const noexcept { return history_; }
  bool HasHistory() const noexcept { return hasHistory_; }

 private:
  FrameHistory history_;
  bool hasHistory_ = false;
};

template <class ConfigT>
class TimelineTypedNode : public TypedNode<ConfigT>, public TimelineNode {};

}  // namespace stadial::graph
