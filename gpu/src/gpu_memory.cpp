#include "stadial/gpu/gpu_memory.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "driver_call.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {
namespace {

constexpr VkDeviceSize AlignUp(VkDeviceSize value, VkDeviceSize alignment) noexcept {
  return (value + alignment - 1) / alignment * alignment;
}

std::size_t IndexOf(Lifetime lifetime) noexcept { return static_cast<std::size_t>(lifetime); }

// Memory properties in order of preference; the last of each list exists on every Vulkan device.
std::span<const VkMemoryPropertyFlags> PreferencesFor(MemoryUse use) noexcept {
  static constexpr VkMemoryPropertyFlags kVisible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
  static constexpr VkMemoryPropertyFlags kCoherent = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  static constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
  static constexpr VkMemoryPropertyFlags kDeviceLocal[] = {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0};
  static constexpr VkMemoryPropertyFlags kUpload[] = {kVisible | kCoherent};
  static constexpr VkMemoryPropertyFlags kReadback[] = {kVisible | kCoherent | kCached, kVisible | kCached,
                                                        kVisible | kCoherent};
  switch (use) {
    case MemoryUse::DeviceLocal:
      return kDeviceLocal;
    case MemoryUse::Upload:
      return kUpload;
    case MemoryUse::Readback:
      return kReadback;
  }
  return kDeviceLocal;
}

// Types that need more than plain use (lazily allocated, protected, device-coherent) are never chosen.
constexpr VkMemoryPropertyFlags kSpecialTypes =
    VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT | VK_MEMORY_PROPERTY_PROTECTED_BIT |
    VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD;

VkDeviceSize DefaultBudget(const VkPhysicalDeviceMemoryProperties& memory) noexcept {
  VkDeviceSize deviceLocal = 0;
  VkDeviceSize all = 0;
  for (std::uint32_t heap = 0; heap < memory.memoryHeapCount; ++heap) {
    all += memory.memoryHeaps[heap].size;
    if ((memory.memoryHeaps[heap].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0)
      deviceLocal += memory.memoryHeaps[heap].size;
  }
  return (deviceLocal != 0 ? deviceLocal : all) / 5 * 4;
}

double Mebibytes(VkDeviceSize bytes) noexcept { return static_cast<double>(bytes) / 1048576.0; }

}  // namespace

const char* ToString(MemoryUse use) noexcept {
  switch (use) {
    case MemoryUse::DeviceLocal:
      return "device-local";
    case MemoryUse::Upload:
      return "upload";
    case MemoryUse::Readback:
      return "readback";
  }
  return "unknown";
}

Result<Owned<GpuMemory>> GpuMemory::Create(Device& device, const GpuMemoryOptions& options) noexcept {
  runtime::Runtime& runtime = device.GetRuntime();
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "gpu::GpuMemory::Create"));
  STADIAL_ASSIGN_OR_RETURN(
      Owned<GpuMemory> memory,
      MakeOwned<GpuMemory>(runtime.SetupArena(), "gpu::GpuMemory", device, options, runtime.SetupArena()));
  STADIAL_RETURN_IF_ERROR(memory->OpenBudgets());
  return memory;
}

GpuMemory::GpuMemory(Device& device, const GpuMemoryOptions& options, arenas::Arena& memory) noexcept
    : device_(device),
      options_(options),
      blocks_(memory, options.blocksMax),
      awaiting_(memory, std::size_t{options.imagesMax} * kLifetimeCount) {
  for (std::size_t lifetime = 0; lifetime < kLifetimeCount; ++lifetime) {
    buffers_[lifetime] = arenas::FixedVector<Buffer>(memory, options.buffersMax);
    images_[lifetime] = arenas::FixedVector<Image>(memory, options.imagesMax);
  }
}

GpuMemory::~GpuMemory() {
  if (device_.IsQuarantined()) return;
  DestroyObjects(Lifetime::Compile);
  DestroyObjects(Lifetime::Setup);
  for (const Block& block : blocks_) {  // freeing unmaps
    STADIAL_DRIVER_CALL(device_.Table(), vkFreeMemory, device_.Handle(), block.memory, device_.Callbacks());
    budget_->Release(block.sizeBytes);
    HeapOf(block.type).Release(block.sizeBytes);
  }
  // In Setup another memory may come in this one's place.
  if (device_.GetRuntime().Phases().Current() == runtime::Phase::Setup) RemoveBudgets();
}

void GpuMemory::RemoveBudgets() noexcept {
  runtime::BudgetTable& budgets = device_.GetRuntime().Budgets();
  for (std::uint32_t heap = device_.MemoryProperties().memoryHeapCount; heap-- > 0;)
    budgets.Remove(std::exchange(heaps_[heap], nullptr));
  budgets.Remove(std::exchange(budget_, nullptr));
}

// One budget for all blocks, one for each heap of the device. Several memories may share a runtime: the first
// number that is free names this one.
Result<void> GpuMemory::OpenBudgets() noexcept {
  runtime::BudgetTable& budgets = device_.GetRuntime().Budgets();
  char name[32];
  std::uint32_t number = 0;
  do {
    std::snprintf(name, sizeof name, "gpu%u", number++);
  } while (budgets.Find(name) != nullptr);
  const VkPhysicalDeviceMemoryProperties& memory = device_.MemoryProperties();
  const VkDeviceSize all = std::min<VkDeviceSize>(
      options_.budgetBytes != 0 ? options_.budgetBytes : DefaultBudget(memory), runtime::kBudgetBytesMax);
  STADIAL_ASSIGN_OR_RETURN(budget_, budgets.AddSubsystem(name, {.softBytes = all, .hardBytes = all}));
  for (std::uint32_t heap = 0; heap < memory.memoryHeapCount; ++heap) {
    const VkDeviceSize size = std::min<VkDeviceSize>(memory.memoryHeaps[heap].size, runtime::kBudgetBytesMax);
    std::snprintf(name, sizeof name, "gpu%u heap %u", number - 1, heap);
    STADIAL_ASSIGN_OR_RETURN(heaps_[heap],
                             budgets.AddHeap(name, {.softBytes = size / 5 * 4, .hardBytes = size}));
  }
  UpdateBudgets();
  return {};
}

void GpuMemory::UpdateBudgets() noexcept {
  const auto readings = device_.ReadHeaps();
  for (std::uint32_t heap = 0; heap < device_.MemoryProperties().memoryHeapCount; ++heap)
    heaps_[heap]->Feed(readings[heap]);
}

runtime::Budget& GpuMemory::HeapOf(std::uint32_t type) const noexcept {
  return *heaps_[device_.MemoryProperties().memoryTypes[type].heapIndex];
}

void GpuMemory::DestroyObjects(Lifetime lifetime) noexcept {
  const VolkDeviceTable& table = device_.Table();
  auto& images = images_[IndexOf(lifetime)];
  for (std::size_t i = images.Size(); i > 0; --i) {
    STADIAL_DRIVER_CALL(table, vkDestroyImageView, device_.Handle(), images[i - 1].view, device_.Callbacks());
    STADIAL_DRIVER_CALL(table, vkDestroyImage, device_.Handle(), images[i - 1].handle, device_.Callbacks());
  }
  images.Clear();
  auto& buffers = buffers_[IndexOf(lifetime)];
  for (std::size_t i = buffers.Size(); i > 0; --i) {
    STADIAL_DRIVER_CALL(table, vkDestroyBuffer, device_.Handle(), buffers[i - 1].handle, device_.Callbacks());
  }
  buffers.Clear();
  stats_.buffers[IndexOf(lifetime)] = 0;
  stats_.images[IndexOf(lifetime)] = 0;
}

void GpuMemory::ResetCompile() noexcept {
  if (device_.IsQuarantined()) return;
  DestroyObjects(Lifetime::Compile);
  awaiting_.Clear();
  for (Block& block : blocks_) {
    if (block.lifetime == Lifetime::Compile) block.cursorBytes = 0;
  }
  stats_.usedBytes[IndexOf(Lifetime::Compile)] = 0;
}

Result<void> GpuMemory::CheckPhase(const char* name) const noexcept {
  const runtime::Phase phase = device_.GetRuntime().Phases().Current();
  if (phase == runtime::Phase::Setup || phase == runtime::Phase::Compile) return {};
  return Error::Format(ErrorCode::WrongPhase,
                       "'%s' cannot be created in phase %s: GPU objects are made in Setup and Compile", name,
                       runtime::ToString(phase));
}

Result<std::uint32_t> GpuMemory::ChooseType(std::uint32_t typeBits, MemoryUse use,
                                            const char* name) const noexcept {
  const VkPhysicalDeviceMemoryProperties& memory = device_.MemoryProperties();
  for (const VkMemoryPropertyFlags wanted : PreferencesFor(use)) {
    for (std::uint32_t type = 0; type < memory.memoryTypeCount; ++type) {
      const VkMemoryPropertyFlags flags = memory.memoryTypes[type].propertyFlags;
      if ((typeBits & (1u << type)) != 0 && (flags & wanted) == wanted && (flags & kSpecialTypes) == 0)
        return type;
    }
  }
  return Error::Format(ErrorCode::NotSupported,
                       "'%s': device '%s' has no %s memory among the types 0x%x it allows", name,
                       device_.Name(), ToString(use), typeBits);
}

Result<std::uint32_t> GpuMemory::TakeBlock(std::uint32_t type, Lifetime lifetime, VkDeviceSize bytes,
                                           const char* name) noexcept {
  if (blocks_.IsFull()) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "'%s' needs a new block of GPU memory, but all %zu are taken (%.1f MiB); raise "
                         "GpuMemoryOptions::blockBytes "
                         "or blocksMax",
                         name, blocks_.Capacity(), Mebibytes(stats_.takenBytes));
  }
  UpdateBudgets();
  runtime::Budget& heap = HeapOf(type);
  Result<runtime::BudgetCharge> charge =
      runtime::BudgetCharge::Make(*budget_, heap, bytes, "a block of GPU memory");
  if (!charge) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "'%s' needs a block of %.1f MiB on device '%s': %.300s; ask for less, or raise "
                         "GpuMemoryOptions::budgetBytes if it is ours",
                         name, Mebibytes(bytes), device_.Name(), charge.GetError().Message());
  }
  VkMemoryAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  info.allocationSize = bytes;
  info.memoryTypeIndex = type;
  Block block{.sizeBytes = bytes, .type = type, .lifetime = lifetime};
  VkResult result = STADIAL_DRIVER_CALL(device_.Table(), vkAllocateMemory, device_.Handle(), &info,
                                        device_.Callbacks(), &block.memory);
  if (result != VK_SUCCESS) {
    return DriverError(result, "vkAllocateMemory",
                       "a block of %.1f MiB of memory type %u for '%s' on device '%s'", Mebibytes(bytes),
                       type, name, device_.Name());
  }
  if ((device_.MemoryProperties().memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) !=
      0) {
    void* mapped = nullptr;
    result = STADIAL_DRIVER_CALL(device_.Table(), vkMapMemory, device_.Handle(), block.memory, 0,
                                 VK_WHOLE_SIZE, 0, &mapped);
    if (result != VK_SUCCESS) {
      STADIAL_DRIVER_CALL(device_.Table(), vkFreeMemory, device_.Handle(), block.memory, device_.Callbacks());
      return DriverError(result, "vkMapMemory", "%.1f MiB for '%s' on device '%s'", Mebibytes(bytes), name,
                         device_.Name());
    }
    block.mapped = static_cast<std::byte*>(mapped);
  }
  charge->Keep();  // released with the block
  blocks_.PushBack(block);
  stats_.takenBytes += bytes;
  stats_.blocks = static_cast<std::uint32_t>(blocks_.Size());
  return static_cast<std::uint32_t>(blocks_.Size() - 1);
}

// First fit over the blocks of the type and lifetime: their cursors only move forward.
Result<GpuMemory::Placement> GpuMemory::Place(const VkMemoryRequirements& needs, MemoryUse use,
                                              Lifetime lifetime, const char* name) noexcept {
  STADIAL_ASSIGN_OR_RETURN(const std::uint32_t type, ChooseType(needs.memoryTypeBits, use, name));
  const VkPhysicalDeviceLimits& limits = device_.Limits();
  // Whole granules for everything: linear and optimal resources may then lie side by side in any order, and
  // flushed or invalidated ranges never share an atom.
  VkDeviceSize granule = std::max(needs.alignment, limits.bufferImageGranularity);
  if (use != MemoryUse::DeviceLocal) granule = std::max(granule, limits.nonCoherentAtomSize);
  const VkDeviceSize size = AlignUp(needs.size, granule);

  std::uint32_t index = static_cast<std::uint32_t>(blocks_.Size());
  for (std::uint32_t i = 0; i < blocks_.Size(); ++i) {
    const Block& block = blocks_[i];
    if (block.type != type || block.lifetime != lifetime) continue;
    if (AlignUp(block.cursorBytes, granule) + size <= block.sizeBytes) {
      index = i;
      break;
    }
  }
  if (index == blocks_.Size()) {
    const VkDeviceSize usual = use == MemoryUse::DeviceLocal ? options_.blockBytes : options_.hostBlockBytes;
    STADIAL_ASSIGN_OR_RETURN(index, TakeBlock(type, lifetime, std::max(size, usual), name));
  }
  Block& block = blocks_[index];
  const Placement placement{index, AlignUp(block.cursorBytes, granule)};
  const VkDeviceSize before = block.cursorBytes;
  block.cursorBytes = placement.offset + size;
  VkDeviceSize& used = stats_.usedBytes[IndexOf(lifetime)];
  used += block.cursorBytes - before;
  stats_.peakBytes[IndexOf(lifetime)] = std::max(stats_.peakBytes[IndexOf(lifetime)], used);
  return placement;
}

Result<void> GpuMemory::Reserve(MemoryUse use, Lifetime lifetime, VkDeviceSize bytes) noexcept {
  STADIAL_RETURN_IF_ERROR(CheckPhase("reserved GPU memory"));
  STADIAL_ASSIGN_OR_RETURN(const std::uint32_t type, ChooseType(~0u, use, "reserved GPU memory"));
  VkDeviceSize there = 0;
  for (const Block& block : blocks_) {
    if (block.type == type && block.lifetime == lifetime) there += block.sizeBytes - block.cursorBytes;
  }
  if (there >= bytes) return {};
  STADIAL_RETURN_IF_ERROR(TakeBlock(type, lifetime, bytes - there, "reserved GPU memory"));
  return {};
}

Result<Buffer> GpuMemory::CreateBuffer(const BufferOptions& options) noexcept {
  STADIAL_RETURN_IF_ERROR(CheckPhase(options.name));
  auto& buffers = buffers_[IndexOf(options.lifetime)];
  if (options.sizeBytes == 0)
    return Error::Format(ErrorCode::InvalidArgument, "buffer '%s' has 0 bytes", options.name);
  if (buffers.IsFull()) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "buffer '%s' is one too many: %zu exist; raise GpuMemoryOptions::buffersMax",
                         options.name, buffers.Size());
  }
  const VolkDeviceTable& table = device_.Table();
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = options.sizeBytes;
  info.usage = options.usage | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
  Buffer buffer;
  buffer.sizeBytes = options.sizeBytes;
  VkResult result = STADIAL_DRIVER_CALL(table, vkCreateBuffer, device_.Handle(), &info, device_.Callbacks(),
                                        &buffer.handle);
  if (result != VK_SUCCESS) {
    return DriverError(result, "vkCreateBuffer", "'%s' of %.1f MiB", options.name,
                       Mebibytes(options.sizeBytes));
  }
  VkMemoryRequirements needs{};
  STADIAL_DRIVER_CALL(table, vkGetBufferMemoryRequirements, device_.Handle(), buffer.handle, &needs);
  auto placed = Place(needs, options.use, options.lifetime, options.name);
  if (!placed) {
    STADIAL_DRIVER_CALL(table, vkDestroyBuffer, device_.Handle(), buffer.handle, device_.Callbacks());
    return placed.GetError();
  }
  const Block& block = blocks_[placed->block];
  result = STADIAL_DRIVER_CALL(table, vkBindBufferMemory, device_.Handle(), buffer.handle, block.memory,
                               placed->offset);
  if (result != VK_SUCCESS) {
    STADIAL_DRIVER_CALL(table, vkDestroyBuffer, device_.Handle(), buffer.handle, device_.Callbacks());
    return DriverError(result, "vkBindBufferMemory", "'%s'", options.name);
  }
  buffer.memory = block.memory;
  buffer.memoryOffset = placed->offset;
  if (options.use != MemoryUse::DeviceLocal) {
    buffer.mapped = block.mapped + placed->offset;
    const VkMemoryPropertyFlags flags = device_.MemoryProperties().memoryTypes[block.type].propertyFlags;
    buffer.coherent = (flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) != 0 && !options_.forceInvalidate;
  }
  device_.SetName(VK_OBJECT_TYPE_BUFFER, HandleBits(buffer.handle), options.name);
  buffers.PushBack(buffer);
  stats_.buffers[IndexOf(options.lifetime)] = static_cast<std::uint32_t>(buffers.Size());
  return buffer;
}

Result<void> GpuMemory::Invalidate(const Buffer& buffer) noexcept {
  if (buffer.coherent || buffer.mapped == nullptr) return {};
  const VkDeviceSize atom = device_.Limits().nonCoherentAtomSize;
  VkMappedMemoryRange range{};
  range.sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE;
  range.memory = buffer.memory;
  range.offset = buffer.memoryOffset;  // a multiple of the atom, as is the space behind the buffer: see Place
  range.size = AlignUp(buffer.sizeBytes, atom);
  const VkResult result =
      STADIAL_DRIVER_CALL(device_.Table(), vkInvalidateMappedMemoryRanges, device_.Handle(), 1, &range);
  if (result != VK_SUCCESS) return DriverError(result, "vkInvalidateMappedMemoryRanges", "reading back");
  return {};
}

}  // namespace stadial::gpu
