// GpuMemory: device memory in few large linear blocks, with the same phases as host memory, and the buffers
// and images placed in them. An object is never freed alone: Lifetime::Setup lives as long as the GpuMemory,
// Lifetime::Compile until ResetCompile (a resize or a recompile, at the compile point, after draining).
//
// The six questions. Growth: in Setup and Compile a new block is taken when the last one of that memory type
// is full (of `blockBytes`, or of the object's size where that is larger); blocks are kept for reuse, so a
// soak of resizes does not grow. In Frame nothing can be created. Exhaustion: an Error that names the object,
// the memory type, the bytes asked, taken and budgeted. Alignment: the driver's, never less than
// bufferImageGranularity, and nonCoherentAtomSize for host-visible memory. Destructors: Vulkan objects are
// destroyed in reverse order of creation. Threads: one thread at a time. Invalidation: Buffer and Image are
// plain values; those of Lifetime::Compile die with ResetCompile.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/fixed_vector.h"
#include "stadial/gpu/device.h"
#include "stadial/gpu/owned.h"
#include "stadial/gpu/vulkan.h"

namespace stadial::gpu {

enum class MemoryUse : std::uint8_t {
  DeviceLocal,  // the GPU's own; not mapped
  Upload,       // written by the CPU, read by the GPU; mapped for good, always coherent
  Readback,     // written by the GPU, read by the CPU; mapped for good, cached where there is such a type
};
const char* ToString(MemoryUse use) noexcept;

enum class Lifetime : std::uint8_t { Setup, Compile };
inline constexpr std::size_t kLifetimeCount = 2;

struct Buffer {
  static constexpr bool kIsGpuResource = true;  // a slot of this type states an access
  VkBuffer handle = VK_NULL_HANDLE;
  VkDeviceSize sizeBytes = 0;
  std::byte* mapped = nullptr;  // null for DeviceLocal
  VkDeviceMemory memory = VK_NULL_HANDLE;
  VkDeviceSize memoryOffset = 0;
  bool coherent = true;  // false: CPU reads need GpuMemory::Invalidate first (Readback::Read does it)
  explicit operator bool() const noexcept { return handle != VK_NULL_HANDLE; }
};

struct BufferOptions {
  const char* name = "buffer";
  VkDeviceSize sizeBytes = 0;
  VkBufferUsageFlags usage =
      VK_BUFFER_USAGE_STORAGE_BUFFER_BIT;  // TRANSFER_SRC and TRANSFER_DST are always added
  MemoryUse use = MemoryUse::DeviceLocal;
  Lifetime lifetime = Lifetime::Compile;
};

// All images are 2D or 3D colour images with one mip level and one layer, and stay in VK_IMAGE_LAYOUT_GENERAL
// from their first use on (the executor's initialisation moves them there), so no barrier ever needs a
// layout.
struct Image {
  static constexpr bool kIsGpuResource = true;
  VkImage handle = VK_NULL_HANDLE;
  VkImageView view = VK_NULL_HANDLE;
  VkFormat format = VK_FORMAT_UNDEFINED;
  VkExtent3D extent{};
  explicit operator bool() const noexcept { return handle != VK_NULL_HANDLE; }
};

// Bytes of one texel of the uncompressed colour formats that compute work uses; 0 for any other.
std::uint32_t TexelBytes(VkFormat format) noexcept;
// Bytes of all texels, tightly packed, as copied to and from buffers; 0 where TexelBytes is 0.
VkDeviceSize PackedBytes(const Image& image) noexcept;

struct ImageOptions {
  const char* name = "image";
  VkFormat format = VK_FORMAT_R8G8B8A8_UNORM;
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::uint32_t depth = 1;                               // 1: a 2D image
  VkImageUsageFlags usage = VK_IMAGE_USAGE_STORAGE_BIT;  // TRANSFER_SRC and TRANSFER_DST are always added
  Lifetime lifetime = Lifetime::Compile;
};

struct GpuMemoryOptions {
  VkDeviceSize blockBytes = 64ull << 20;     // one block of device-local memory
  VkDeviceSize hostBlockBytes = 8ull << 20;  // one block of upload or readback memory
  VkDeviceSize budgetBytes = 0;              // all blocks together; 0: 80 % of the device-local heaps
  std::uint32_t blocksMax = 64;
  std::uint32_t buffersMax = 256;  // per lifetime
  std::uint32_t imagesMax = 256;   // per lifetime
  bool forceInvalidate = false;    // treat readback memory as non-coherent even where it is not (tests)
};

struct GpuMemoryStats {
  std::uint32_t blocks = 0;
  VkDeviceSize takenBytes = 0;                           // all blocks
  std::array<VkDeviceSize, kLifetimeCount> usedBytes{};  // placed objects, padding included
  std::array<VkDeviceSize, kLifetimeCount> peakBytes{};
  std::array<std::uint32_t, kLifetimeCount> buffers{};
  std::array<std::uint32_t, kLifetimeCount> images{};
};

class GpuMemory {
 public:
  // Setup phase. Errors: Setup or the table of budgets is full.
  static Result<Owned<GpuMemory>> Create(Device& device, const GpuMemoryOptions& options) noexcept;

  GpuMemory(Device& device, const GpuMemoryOptions& options, arenas::Arena& memory) noexcept;
  ~GpuMemory();
  GpuMemory(const GpuMemory&) = delete;
  GpuMemory& operator=(const GpuMemory&) = delete;

  // Setup and Compile phases. The object is named, its memory bound. Contents are undefined.
  Result<Buffer> CreateBuffer(const BufferOptions& options) noexcept;
  Result<Image> CreateImage(const ImageOptions& options) noexcept;

  // Takes blocks ahead of need, so that the creations that follow make no vkAllocateMemory: `bytes` of the
  // memory that serves `use`.
  Result<void> Reserve(MemoryUse use, Lifetime lifetime, VkDeviceSize bytes) noexcept;

  // Destroys every object of Lifetime::Compile and rewinds its blocks. The GPU must be done with them: drain
  // first.
  void ResetCompile() noexcept;

  // Makes GPU writes to a non-coherent readback buffer visible to the CPU; nothing for a coherent one.
  Result<void> Invalidate(const Buffer& buffer) noexcept;

  // Images still in UNDEFINED: whoever runs commands first (executor, uploader) moves them to GENERAL and
  // clears them.
  std::span<const Image> ImagesAwaitingLayout() const noexcept { return awaiting_.Span(); }
  void ClearImagesAwaitingLayout() noexcept { awaiting_.Clear(); }
  // Takes one image off that list; false when it was not on it. For who moves it to GENERAL alone.
  bool TakeImageAwaitingLayout(const Image& image) noexcept;

  Device& GetDevice() const noexcept { return device_; }
  const GpuMemoryStats& Stats() const noexcept { return stats_; }
  VkDeviceSize BudgetBytes() const noexcept { return budget_->Limits().hardBytes; }
  // Feeds the device's account of its heaps to their budgets; so do CreateBuffer, CreateImage and Reserve
  // when they need another block. In Setup and Compile.
  void UpdateBudgets() noexcept;

 private:
  struct Block {
    VkDeviceMemory memory = VK_NULL_HANDLE;
    VkDeviceSize sizeBytes = 0;
    VkDeviceSize cursorBytes = 0;
    std::byte* mapped = nullptr;
    std::uint32_t type = 0;
    Lifetime lifetime = Lifetime::Setup;
  };
  struct Placement {
    std::uint32_t block = 0;
    VkDeviceSize offset = 0;
  };
  Result<Placement> Place(const VkMemoryRequirements& needs, MemoryUse use, Lifetime lifetime,
                          const char* name) noexcept;
  Result<std::uint32_t> TakeBlock(std::uint32_t type, Lifetime lifetime, VkDeviceSize bytes,
                                  const char* name) noexcept;
  Result<std::uint32_t> ChooseType(std::uint32_t typeBits, MemoryUse use, const char* name) const noexcept;
  Result<void> CheckPhase(const char* name) const noexcept;
  void DestroyObjects(Lifetime lifetime) noexcept;
  Result<void> OpenBudgets() noexcept;
  void RemoveBudgets() noexcept;
  runtime::Budget& HeapOf(std::uint32_t type) const noexcept;

  Device& device_;
  GpuMemoryOptions options_;
  runtime::Budget* budget_ = nullptr;  // of all blocks
  std::array<runtime::Budget*, VK_MAX_MEMORY_HEAPS> heaps_{};
  arenas::FixedVector<Block> blocks_;
  std::array<arenas::FixedVector<Buffer>, kLifetimeCount> buffers_;
  std::array<arenas::FixedVector<Image>, kLifetimeCount> images_;
  arenas::FixedVector<Image> awaiting_;
  GpuMemoryStats stats_{};
};

}  // namespace stadial::gpu
