// What a node needs, stated before Compile (X1), and what a node or graph will use, estimated before the
// first Execute (X2). Plain values; nothing here allocates. Spans must stay valid until the graph is
// destroyed (static tables, members of the node, or Setup memory).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace stadial::graph {

// Numeric values equal VkDescriptorType, so that gpu converts by a cast.
enum class DescriptorType : std::uint32_t {
  Sampler = 0,
  CombinedImageSampler = 1,
  SampledImage = 2,
  StorageImage = 3,
  UniformTexelBuffer = 4,
  StorageTexelBuffer = 5,
  UniformBuffer = 6,
  StorageBuffer = 7,
  UniformBufferDynamic = 8,
  StorageBufferDynamic = 9,
  InputAttachment = 10,
};
inline constexpr std::size_t kDescriptorTypeCount = 11;
const char* ToString(DescriptorType type) noexcept;

// Numeric values equal VkShaderStageFlagBits.
enum class ShaderStages : std::uint32_t {
  None = 0,
  Vertex = 0x1,
  Fragment = 0x10,
  Compute = 0x20,
  AllGraphics = 0x1F
};
constexpr ShaderStages operator|(ShaderStages left, ShaderStages right) noexcept {
  return static_cast<ShaderStages>(static_cast<std::uint32_t>(left) | static_cast<std::uint32_t>(right));
}

struct DescriptorBinding {
  std::uint32_t binding = 0;
  DescriptorType type = DescriptorType::StorageBuffer;
  std::uint32_t count = 1;  // array size of the binding, at least 1
  ShaderStages stages = ShaderStages::Compute;
};

// One descriptor set layout and how many sets of it the node needs per copy (frame in flight or replay
// index).
struct DescriptorSetRequirement {
  std::uint32_t setIndex = 0;
  std::span<const DescriptorBinding> bindings = {};
  const char* debugName = "unnamed";
  std::uint32_t setCount = 1;  // sets of THIS layout; other layouts of the node count for themselves
};

class IDescriptorRequirements {
 public:
  virtual ~IDescriptorRequirements() = default;

  // Every layout the node binds. Empty: no descriptors. Valid until the graph is destroyed.
  virtual std::span<const DescriptorSetRequirement> GetDescriptorRequirements() const { return {}; }

  // Sets over all layouts and one copy: by default the sum of the requirements' setCount.
  virtual std::uint32_t GetEstimatedDescriptorSetCount() const;
};

inline constexpr std::uint32_t kMemoryClassesMax = 32;
inline constexpr std::uint32_t kUsedWithinNode = 0xFFFFFFFFu;

// Memory that lives between its first and its last use inside one frame. Transients that are never alive at
// once share bytes, those of one memory class only: give another class to what must not lie beside the rest
// (images where buffers are, other memory types).
struct TransientRequirement {
  const char* debugName = "unnamed";
  std::uint64_t sizeBytes = 0;
  std::uint64_t alignment = 256;  // a power of two
  std::uint32_t memoryClass = 0;  // below kMemoryClassesMax
  // The output that hands it on: it lives until the last reader of that output, and of what is passed on from
  // it in place, has executed.
  std::uint32_t outputSlot = kUsedWithinNode;
};

// Where a compile has put a transient. Alive from `first` to `last`, both inclusive: positions in the
// execution order, or waves in a graph that executes in waves, where all of a wave run at once.
struct PlanTransient {
  std::uint64_t offset = 0;  // in the memory of its class
  std::uint64_t sizeBytes = 0;
  std::uint32_t memoryClass = 0;
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};

// The sum of the sizes, each rounded up to its alignment; nothing aliased.
std::uint64_t BytesOf(std::span<const TransientRequirement> transients) noexcept;

// The answer of GetPreAllocRequirements. All-zero is legal; the node is then reported as undeclared, unless
// it sets `declared` to say that it really needs nothing.
struct PreAllocRequirements {
  std::uint32_t inputSlotCount = 0;  // 0: as in the slot config; otherwise must equal it
  std::uint32_t outputSlotCount = 0;
  std::uint32_t descriptorSetCount = 0;  // 0: as in GetDescriptorRequirements; otherwise at least that
  std::uint64_t commandBufferSize = 0;   // bytes of recorded commands
  std::uint32_t primaryCommandBuffers = 0;
  std::uint32_t secondaryCommandBuffers = 0;
  std::uint64_t stagingBytes = 0;      // uploaded per frame
  std::uint32_t historyFrames = 0;     // earlier frames the node reads
  std::uint32_t historyResources = 0;  // resources it keeps per frame
  std::uint32_t eventsPerFrame = 0;    // events it emits per frame; 0: the graph's rule of thumb
  std::uint64_t frameBytes = 0;        // taken from the frame lane per Execute
  std::span<const TransientRequirement> transients = {};
  bool declared = false;

  bool IsDeclared() const noexcept;
};

// What something will use; add estimates with +=.
struct ResourceEstimate {
  std::uint64_t hostBytes = 0;
  std::uint64_t deviceBytes = 0;
  std::uint64_t stagingBytes = 0;
  std::uint64_t frameBytes = 0;
  std::uint64_t commandBytes = 0;
  std::uint32_t primaryCommandBuffers = 0;
  std::uint32_t secondaryCommandBuffers = 0;
  std::uint32_t descriptorSets = 0;
  std::array<std::uint32_t, kDescriptorTypeCount> descriptors{};  // by DescriptorType, one copy

  ResourceEstimate& operator+=(const ResourceEstimate& other) noexcept;
};

// The estimate that follows from stated requirements alone: sets and descriptors by type (setCount × binding
// count), command buffers, staging, frame and transient bytes (unaliased).
ResourceEstimate EstimateFrom(const PreAllocRequirements& requirements,
                              std::span<const DescriptorSetRequirement> descriptorSets) noexcept;

}  // namespace stadial::graph
