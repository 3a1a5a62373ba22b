// Assignment of nodes to queues, and the names of what barriers consist of.
#include <array>
#include <cstdio>

#include "stadial/arenas/assert.h"
#include "stadial/graph/barriers.h"

namespace stadial::graph {

namespace {

// The class that runs a node: its wish, if there is such a queue and it can do what the node does.
QueueClass ClassFor(const QueueRequest& request, const DeviceQueues& queues) noexcept {
  const bool needsCompute = (request.stages & (stages::kCompute | stages::kDrawIndirect)) != 0;
  if ((request.stages & stages::kGraphics) != 0) return QueueClass::Graphics;
  if (request.wish == QueueClass::Transfer && !needsCompute && queues.transfer != 0)
    return QueueClass::Transfer;
  if ((request.wish == QueueClass::AsyncCompute || request.wish == QueueClass::Transfer) &&
      queues.compute != 0)
    return QueueClass::AsyncCompute;
  return request.wish == QueueClass::Any ? QueueClass::Any : QueueClass::Graphics;
}

}  // namespace

void AssignQueues(std::span<const QueueRequest> requests, const DeviceQueues& queues,
                  std::span<std::uint8_t> queueOf) noexcept {
  STADIAL_ASSERT_ALWAYS(queues.graphics >= 1 && queues.Count() <= kQueuesMax,
                        "a device has at least one graphics queue, and at most kQueuesMax queues");
  STADIAL_ASSERT_COMPARE_ALWAYS(queueOf.size(), >=, requests.size(), "one queue for each request");
  std::array<std::uint32_t, kQueuesMax> loads{};
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const QueueRequest& request = requests[i];
    if (request.stages == 0) {
      queueOf[i] = kNoQueue;
      continue;
    }
    STADIAL_ASSERT(request.lead == QueueRequest::kNoLead || request.lead < i,
                   "a lead comes before its followers");
    const std::uint8_t lead = request.lead == QueueRequest::kNoLead ? kNoQueue : queueOf[request.lead];
    const QueueClass wanted = ClassFor(request, queues);
    std::uint8_t chosen = 0;
    if (wanted == QueueClass::Any) {
      // Compute and copies run on whatever queue made what they read, but for one that can only copy.
      const bool canFollow = lead != kNoQueue && queues.ClassOf(lead) != QueueClass::Transfer;
      chosen = canFollow ? lead : std::uint8_t{0};
    } else if (lead != kNoQueue && queues.ClassOf(lead) == wanted) {
      chosen = lead;
    } else {
      chosen = kNoQueue;
      for (std::uint8_t queue = 0; queue < queues.Count(); ++queue) {
        if (queues.ClassOf(queue) != wanted) continue;
        if (chosen == kNoQueue || loads[queue] < loads[chosen]) chosen = queue;
      }
    }
    queueOf[i] = chosen;
    ++loads[chosen];
  }
}

const char* ToString(QueueClass queueClass) noexcept {
  switch (queueClass) {
    case QueueClass::Any:
      return "any";
    case QueueClass::Graphics:
      return "graphics";
    case QueueClass::AsyncCompute:
      return "compute";
    case QueueClass::Transfer:
      return "transfer";
  }
  return "unknown";
}

const char* ToString(ImageLayout layout) noexcept {
  switch (layout) {
    case ImageLayout::Any:
      return "any";
    case ImageLayout::General:
      return "general";
    case ImageLayout::ColorAttachment:
      return "color attachment";
    case ImageLayout::DepthStencilAttachment:
      return "depth stencil attachment";
    case ImageLayout::ShaderReadOnly:
      return "shader read only";
    case ImageLayout::TransferSource:
      return "transfer source";
    case ImageLayout::TransferTarget:
      return "transfer target";
  }
  return "unknown";
}

const char* ToString(BarrierReason reason) noexcept {
  switch (reason) {
    case BarrierReason::ReadAfterWrite:
      return "read after write";
    case BarrierReason::WriteAfterRead:
      return "write after read";
    case BarrierReason::WriteAfterWrite:
      return "write after write";
    case BarrierReason::LayoutChange:
      return "layout change";
    case BarrierReason::OwnerRelease:
      return "owner release";
    case BarrierReason::OwnerAcquire:
      return "owner acquire";
  }
  return "unknown";
}

namespace {

struct BitName {
  std::uint64_t bit;
  const char* name;
};
constexpr BitName kStageNames[] = {{stages::kTransfer, "transfer"},
                                   {stages::kDrawIndirect, "draw indirect"},
                                   {stages::kIndexInput, "index input"},
                                   {stages::kVertexAttributeInput, "vertex input"},
                                   {stages::kVertexShader, "vertex shader"},
                                   {stages::kEarlyFragmentTests, "early fragment tests"},
                                   {stages::kFragmentShader, "fragment shader"},
                                   {stages::kLateFragmentTests, "late fragment tests"},
                                   {stages::kColorAttachmentOutput, "color attachment output"},
                                   {stages::kCompute, "compute"},
                                   {stages::kHost, "host"}};
constexpr BitName kAccessNames[] = {{accesses::kIndirectRead, "indirect read"},
                                    {accesses::kIndexRead, "index read"},
                                    {accesses::kVertexAttributeRead, "vertex read"},
                                    {accesses::kUniformRead, "uniform read"},
                                    {accesses::kColorAttachmentRead, "color attachment read"},
                                    {accesses::kColorAttachmentWrite, "color attachment write"},
                                    {accesses::kDepthStencilRead, "depth stencil read"},
                                    {accesses::kDepthStencilWrite, "depth stencil write"},
                                    {accesses::kTransferRead, "transfer read"},
                                    {accesses::kTransferWrite, "transfer write"},
                                    {accesses::kHostRead, "host read"},
                                    {accesses::kHostWrite, "host write"},
                                    {accesses::kSampledRead, "sampled read"},
                                    {accesses::kStorageRead, "storage read"},
                                    {accesses::kStorageWrite, "storage write"}};

// The names of all bits, then what has none as a number.
template <std::size_t N>
void AppendBits(std::uint64_t bits, const BitName (&names)[N], char* text, std::size_t size,
                std::size_t& used) {
  const char* separator = "";
  const auto append = [&](const char* format, auto value) {
    if (used >= size) return;
    const int written = std::snprintf(text + used, size - used, format, separator, value);
    if (written > 0) used += static_cast<std::size_t>(written);
    separator = ", ";
  };
  for (const BitName& name : names) {
    if ((bits & name.bit) != name.bit) continue;
    append("%s%s", name.name);
    bits &= ~name.bit;
  }
  if (bits != 0) append("%s0x%llx", static_cast<unsigned long long>(bits));
}

}  // namespace

const char* FormatAccess(std::uint64_t stageBits, std::uint64_t accessBits,
                         char (&text)[kAccessTextBytesMax]) noexcept {
  std::size_t used = 0;
  text[0] = '\0';
  if (stageBits == 0) {
    std::snprintf(text, sizeof(text), "nothing");
    return text;
  }
  AppendBits(stageBits, kStageNames, text, sizeof(text), used);
  if (used < sizeof(text))
    used += static_cast<std::size_t>(std::snprintf(text + used, sizeof(text) - used, ": "));
  if (accessBits == 0 && used < sizeof(text)) std::snprintf(text + used, sizeof(text) - used, "execution");
  if (accessBits != 0 && used < sizeof(text)) AppendBits(accessBits, kAccessNames, text, sizeof(text), used);
  return text;
}

}  // namespace stadial::graph
