#include "stadial/graph/resources.h"

#include "byte_rounding.h"

namespace stadial::graph {

const char* ToString(ResourceKind kind) noexcept { return kind == ResourceKind::Buffer ? "buffer" : "image"; }

ResourceTable::ResourceTable(arenas::Arena& memory, std::uint32_t capacity)
    : descriptions_(memory.NewArray<ResourceDescription>(capacity)),
      generations_(memory.NewArray<std::uint32_t>(capacity)),
      nextFree_(memory.NewArray<std::uint32_t>(capacity)) {
  for (std::uint32_t i = capacity; i-- > 0;) {
    nextFree_[i] = firstFree_;
    firstFree_ = i;
  }
}

std::size_t ResourceTable::BytesFor(std::uint32_t capacity) noexcept {
  return ArenaBytes<ResourceDescription>(capacity) + 2 * ArenaBytes<std::uint32_t>(capacity);
}

Result<ResourceHandle> ResourceTable::Create(const ResourceDescription& description) noexcept {
  if (description.copies == 0) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "resource '%s': 0 physical copies asked for; at least 1 is needed",
                         description.name);
  }
  if (firstFree_ == ResourceHandle::kNullIndex) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "resource '%s': all %u entries of the graph's resource table are in use; raise "
                         "GraphOptions::resourcesMax",
                         description.name, Capacity());
  }
  const std::uint32_t index = firstFree_;
  firstFree_ = nextFree_[index];
  descriptions_[index] = description;
  ++generations_[index];
  ++liveCount_;
  liveBytes_ += description.sizeBytes * description.copies;
  if (liveCount_ > peakCount_) peakCount_ = liveCount_;
  return ResourceHandle{index, generations_[index]};
}

Result<void> ResourceTable::Destroy(ResourceHandle handle) noexcept {
  if (!IsAlive(handle)) {
    return Error::Format(
        ErrorCode::NotFound,
        "no live resource has handle %u generation %u: it is null, was destroyed before, or belongs "
        "to another graph",
        handle.index, handle.generation);
  }
  --liveCount_;
  liveBytes_ -= descriptions_[handle.index].sizeBytes * descriptions_[handle.index].copies;
  // The last generation is never reused, so that no stale handle can ever match again.
  if (++generations_[handle.index] == 0) {
    generations_[handle.index] = 0xFFFFFFFEu;
    return {};
  }
  nextFree_[handle.index] = firstFree_;
  firstFree_ = handle.index;
  return {};
}

}  // namespace stadial::graph
