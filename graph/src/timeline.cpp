#include "stadial/graph/timeline.h"

namespace stadial::graph {

void TimelineNode::PreAllocateHistory(arenas::Arena& memory, const FrameHistoryOptions& options) {
  history_ = FrameHistory(memory, options);
  hasHistory_ = true;
}

StoreResult TimelineNode::StoreCurrentFrameResource(ResourceId id, ResourceHandle resource,
                                                    bool isImage) noexcept {
  return history_.Store(id, resource, isImage ? ResourceKind::Image : ResourceKind::Buffer);
}

HistoryLookup TimelineNode::GetPreviousFrameResource(std::uint32_t framesAgo, ResourceId id) const noexcept {
  return history_.Get(framesAgo, id);
}

}  // namespace stadial::graph
