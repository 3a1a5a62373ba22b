// Which queue runs which node, as data. A class of queues is a queue family: what crosses between two classes
// changes its owner. Usable without nodes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace stadial::graph {

inline constexpr std::uint32_t kQueuesMax = 8;
inline constexpr std::uint8_t kNoQueue = 0xFF;

// What a node would like to run on. A wish: where the device has no such queue, or that queue cannot do what
// the node does, the graphics queue runs it.
enum class QueueClass : std::uint8_t { Any, Graphics, AsyncCompute, Transfer };
const char* ToString(QueueClass queueClass) noexcept;

// The queues of a device: those of the first class come first. At least one graphics queue (which does
// everything), at most kQueuesMax together.
struct DeviceQueues {
  std::uint8_t graphics = 1;
  std::uint8_t compute = 0;   // compute and transfer
  std::uint8_t transfer = 0;  // transfer only

  constexpr std::uint32_t Count() const noexcept {
    return std::uint32_t{graphics} + std::uint32_t{compute} + std::uint32_t{transfer};
  }
  constexpr QueueClass ClassOf(std::uint8_t queue) const noexcept {
    return queue < graphics             ? QueueClass::Graphics
           : queue < graphics + compute ? QueueClass::AsyncCompute
                                        : QueueClass::Transfer;
  }
};

// One node, in execution order.
struct QueueRequest {
  static constexpr std::uint32_t kNoLead = 0xFFFFFFFFu;
  std::uint64_t stages = 0;  // of all its accesses; none: it runs on no queue
  QueueClass wish = QueueClass::Any;
  std::uint32_t lead =
      kNoLead;  // an earlier position whose work it goes on with: the same queue if it can be
};

// Fills queueOf (as long as `requests`). A node follows its lead's queue where that has its class; otherwise
// it takes the queue of its class with the fewest nodes so far. Any follows its lead, or the first queue.
// O(requests).
void AssignQueues(std::span<const QueueRequest> requests, const DeviceQueues& queues,
                  std::span<std::uint8_t> queueOf) noexcept;

}  // namespace stadial::graph
