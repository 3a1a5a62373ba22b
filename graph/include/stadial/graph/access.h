// How a node uses a GPU resource: pipeline stages, memory accesses and image layout, as plain numbers. They
// equal the bits of VkPipelineStageFlags2, VkAccessFlags2 and VkImageLayout, so that gpu converts by a cast,
// and nothing here needs Vulkan.
//
//   INPUT_SLOT(SOURCE, gpu::Image, graph::Access::ComputeSampled);
//   OUTPUT_SLOT(RESULT, gpu::Image, graph::Access::ComputeStorageWrite);
//
// Only bits of one meaning: those that stand for several others (ALL_COMMANDS, SHADER_READ, MEMORY_WRITE ...)
// and the parts of ALL_TRANSFER are refused, because "is this covered" would have no simple answer with them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stadial::graph {

// Bits of VkPipelineStageFlags2.
namespace stages {
inline constexpr std::uint64_t kDrawIndirect = 0x2;
inline constexpr std::uint64_t kVertexShader = 0x8;
inline constexpr std::uint64_t kFragmentShader = 0x80;
inline constexpr std::uint64_t kEarlyFragmentTests = 0x100;
inline constexpr std::uint64_t kLateFragmentTests = 0x200;
inline constexpr std::uint64_t kColorAttachmentOutput = 0x400;
inline constexpr std::uint64_t kCompute = 0x800;
inline constexpr std::uint64_t kTransfer = 0x1000;  // ALL_TRANSFER: copies, clears, fills, blits
inline constexpr std::uint64_t kHost = 0x4000;
inline constexpr std::uint64_t kIndexInput = std::uint64_t{1} << 36;
inline constexpr std::uint64_t kVertexAttributeInput = std::uint64_t{1} << 37;
inline constexpr std::uint64_t kGraphics = kVertexShader | kFragmentShader | kEarlyFragmentTests |
                                           kLateFragmentTests | kColorAttachmentOutput | kIndexInput |
                                           kVertexAttributeInput;
// TOP_OF_PIPE, VERTEX_INPUT, BOTTOM_OF_PIPE, ALL_GRAPHICS, ALL_COMMANDS, PRE_RASTERIZATION; and COPY,
// RESOLVE, BLIT and CLEAR, which are parts of kTransfer.
inline constexpr std::uint64_t kComposite =
    0x1 | 0x4 | 0x2000 | 0x8000 | 0x10000 | (std::uint64_t{1} << 38) | (std::uint64_t{0xF} << 32);
}  // namespace stages

// Bits of VkAccessFlags2.
namespace accesses {
inline constexpr std::uint64_t kIndirectRead = 0x1;
inline constexpr std::uint64_t kIndexRead = 0x2;
inline constexpr std::uint64_t kVertexAttributeRead = 0x4;
inline constexpr std::uint64_t kUniformRead = 0x8;
inline constexpr std::uint64_t kColorAttachmentRead = 0x80;
inline constexpr std::uint64_t kColorAttachmentWrite = 0x100;
inline constexpr std::uint64_t kDepthStencilRead = 0x200;
inline constexpr std::uint64_t kDepthStencilWrite = 0x400;
inline constexpr std::uint64_t kTransferRead = 0x800;
inline constexpr std::uint64_t kTransferWrite = 0x1000;
inline constexpr std::uint64_t kHostRead = 0x2000;
inline constexpr std::uint64_t kHostWrite = 0x4000;
inline constexpr std::uint64_t kSampledRead = std::uint64_t{1} << 32;
inline constexpr std::uint64_t kStorageRead = std::uint64_t{1} << 33;
inline constexpr std::uint64_t kStorageWrite = std::uint64_t{1} << 34;
inline constexpr std::uint64_t kWrites =
    kColorAttachmentWrite | kDepthStencilWrite | kTransferWrite | kHostWrite | kStorageWrite;
// SHADER_READ, SHADER_WRITE, MEMORY_READ, MEMORY_WRITE.
inline constexpr std::uint64_t kComposite = 0x20 | 0x40 | 0x8000 | 0x10000;
}  // namespace accesses

// Numbers of VkImageLayout. Any: the access asks for no layout (a buffer).
enum class ImageLayout : std::uint32_t {
  Any = 0,
  General = 1,
  ColorAttachment = 2,
  DepthStencilAttachment = 3,
  ShaderReadOnly = 5,
  TransferSource = 6,
  TransferTarget = 7,
};
const char* ToString(ImageLayout layout) noexcept;

// Empty stages: no access on the GPU (a value that the CPU passes on).
struct Access {
  std::uint64_t stages = 0;
  std::uint64_t access = 0;
  ImageLayout layout = ImageLayout::General;

  static const Access None;
  static const Access ComputeUniform;
  static const Access ComputeSampled;
  static const Access ComputeStorageRead;
  static const Access ComputeStorageWrite;
  // Reads what is there and writes: read-modify-write, and a history that reads what the frame before left.
  static const Access ComputeStorageReadWrite;
  static const Access VertexRead;
  static const Access IndexRead;
  static const Access IndirectRead;
  static const Access FragmentSampled;
  static const Access ColorAttachment;
  static const Access DepthStencilAttachment;
  static const Access TransferRead;
  static const Access TransferWrite;

  constexpr bool IsNone() const noexcept { return stages == 0; }
  constexpr bool Writes() const noexcept { return (access & accesses::kWrites) != 0; }
  constexpr bool Reads() const noexcept { return (access & ~accesses::kWrites) != 0; }
  // The same access of an image in another layout than General.
  constexpr Access In(ImageLayout other) const noexcept { return {stages, access, other}; }
  constexpr bool IsValid() const noexcept {
    return (stages & stages::kComposite) == 0 && (access & accesses::kComposite) == 0 &&
           (stages == 0) == (access == 0);
  }
  friend constexpr bool operator==(const Access&, const Access&) = default;
  // Both at once, in the left one's layout.
  friend constexpr Access operator|(const Access& left, const Access& right) noexcept {
    return {left.stages | right.stages, left.access | right.access, left.layout};
  }
};

inline constexpr Access Access::None{};
inline constexpr Access Access::ComputeUniform{stages::kCompute, accesses::kUniformRead};
inline constexpr Access Access::ComputeSampled{stages::kCompute, accesses::kSampledRead};
inline constexpr Access Access::ComputeStorageRead{stages::kCompute, accesses::kStorageRead};
inline constexpr Access Access::ComputeStorageWrite{stages::kCompute, accesses::kStorageWrite};
inline constexpr Access Access::ComputeStorageReadWrite{stages::kCompute,
                                                        accesses::kStorageRead | accesses::kStorageWrite};
inline constexpr Access Access::VertexRead{stages::kVertexAttributeInput, accesses::kVertexAttributeRead};
inline constexpr Access Access::IndexRead{stages::kIndexInput, accesses::kIndexRead};
inline constexpr Access Access::IndirectRead{stages::kDrawIndirect, accesses::kIndirectRead};
inline constexpr Access Access::FragmentSampled{stages::kFragmentShader, accesses::kSampledRead};
inline constexpr Access Access::ColorAttachment{
    stages::kColorAttachmentOutput, accesses::kColorAttachmentRead | accesses::kColorAttachmentWrite,
    ImageLayout::ColorAttachment};
inline constexpr Access Access::DepthStencilAttachment{
    stages::kEarlyFragmentTests | stages::kLateFragmentTests,
    accesses::kDepthStencilRead | accesses::kDepthStencilWrite, ImageLayout::DepthStencilAttachment};
inline constexpr Access Access::TransferRead{stages::kTransfer, accesses::kTransferRead};
inline constexpr Access Access::TransferWrite{stages::kTransfer, accesses::kTransferWrite};

inline constexpr std::size_t kAccessTextBytesMax = 192;
// Writes e.g. "compute: storage read, storage write" into `text`, cut where it does not fit; returns `text`.
const char* FormatAccess(std::uint64_t stageBits, std::uint64_t accessBits,
                         char (&text)[kAccessTextBytesMax]) noexcept;

}  // namespace stadial::graph
