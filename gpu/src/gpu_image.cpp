// GpuMemory's images.
#include <algorithm>
#include <cstdio>

#include "driver_call.h"
#include "loader.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/gpu/history_images.h"

namespace stadial::gpu {
namespace {

Result<void> CheckExtent(const Device& device, const ImageOptions& options) noexcept {
  const VkPhysicalDeviceLimits& limits = device.Limits();
  const std::uint32_t sideMax = options.depth > 1 ? limits.maxImageDimension3D : limits.maxImageDimension2D;
  if (options.width == 0 || options.height == 0 || options.depth == 0 || options.width > sideMax ||
      options.height > sideMax || options.depth > limits.maxImageDimension3D) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "image '%s' of %u x %u x %u texels: each side must be 1 to %u on device '%s'; choose another size",
        options.name, options.width, options.height, options.depth, sideMax, device.Name());
  }
  return {};
}

Result<void> CheckFormat(const Device& device, const ImageOptions& options) noexcept {
  VkFormatProperties properties{};
  STADIAL_DRIVER_CALL_NAMED("vkGetPhysicalDeviceFormatProperties",
                            device.GetInstance().Functions().getFormatProperties, device.Physical(),
                            options.format, &properties);
  VkFormatFeatureFlags wanted = VK_FORMAT_FEATURE_TRANSFER_SRC_BIT | VK_FORMAT_FEATURE_TRANSFER_DST_BIT;
  if ((options.usage & VK_IMAGE_USAGE_STORAGE_BIT) != 0) wanted |= VK_FORMAT_FEATURE_STORAGE_IMAGE_BIT;
  if ((options.usage & VK_IMAGE_USAGE_SAMPLED_BIT) != 0) wanted |= VK_FORMAT_FEATURE_SAMPLED_IMAGE_BIT;
  if ((properties.optimalTilingFeatures & wanted) != wanted) {
    return Error::Format(ErrorCode::NotSupported,
                         "image '%s': device '%s' cannot use format %d for usage 0x%x (it lacks the features "
                         "0x%x); choose another "
                         "format",
                         options.name, device.Name(), static_cast<int>(options.format), options.usage,
                         wanted & ~properties.optimalTilingFeatures);
  }
  return {};
}

VkImageCreateInfo CreateInfoFor(const ImageOptions& options) noexcept {
  VkImageCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO;
  info.imageType = options.depth > 1 ? VK_IMAGE_TYPE_3D : VK_IMAGE_TYPE_2D;
  info.format = options.format;
  info.extent = {options.width, options.height, options.depth};
  info.mipLevels = 1;
  info.arrayLayers = 1;
  info.samples = VK_SAMPLE_COUNT_1_BIT;
  info.tiling = VK_IMAGE_TILING_OPTIMAL;
  info.usage = options.usage | VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT;
  info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
  info.initialLayout = VK_IMAGE_LAYOUT_UNDEFINED;
  return info;
}

}  // namespace

std::uint32_t TexelBytes(VkFormat format) noexcept {
  switch (format) {
    case VK_FORMAT_R8_UNORM:
    case VK_FORMAT_R8_UINT:
    case VK_FORMAT_R8_SINT:
      return 1;
    case VK_FORMAT_R8G8_UNORM:
    case VK_FORMAT_R8G8_UINT:
    case VK_FORMAT_R16_UINT:
    case VK_FORMAT_R16_SINT:
    case VK_FORMAT_R16_SFLOAT:
      return 2;
    case VK_FORMAT_R8G8B8A8_UNORM:
    case VK_FORMAT_R8G8B8A8_SNORM:
    case VK_FORMAT_R8G8B8A8_UINT:
    case VK_FORMAT_R8G8B8A8_SINT:
    case VK_FORMAT_B8G8R8A8_UNORM:
    case VK_FORMAT_A2B10G10R10_UNORM_PACK32:
    case VK_FORMAT_B10G11R11_UFLOAT_PACK32:
    case VK_FORMAT_R16G16_SFLOAT:
    case VK_FORMAT_R16G16_UINT:
    case VK_FORMAT_R32_UINT:
    case VK_FORMAT_R32_SINT:
    case VK_FORMAT_R32_SFLOAT:
      return 4;
    case VK_FORMAT_R16G16B16A16_UNORM:
    case VK_FORMAT_R16G16B16A16_UINT:
    case VK_FORMAT_R16G16B16A16_SFLOAT:
    case VK_FORMAT_R32G32_UINT:
    case VK_FORMAT_R32G32_SFLOAT:
      return 8;
    case VK_FORMAT_R32G32B32A32_UINT:
    case VK_FORMAT_R32G32B32A32_SINT:
    case VK_FORMAT_R32G32B32A32_SFLOAT:
      return 16;
    default:
      return 0;
  }
}

VkDeviceSize PackedBytes(const Image& image) noexcept {
  return VkDeviceSize{TexelBytes(image.format)} * image.extent.width * image.extent.height *
         image.extent.depth;
}

Result<Image> GpuMemory::CreateImage(const ImageOptions& options) noexcept {
  STADIAL_RETURN_IF_ERROR(CheckPhase(options.name));
  STADIAL_RETURN_IF_ERROR(CheckExtent(device_, options));
  STADIAL_RETURN_IF_ERROR(CheckFormat(device_, options));
  const std::size_t lifetime = static_cast<std::size_t>(options.lifetime);
  if (images_[lifetime].IsFull() || awaiting_.IsFull()) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "image '%s' is one too many: %zu exist; raise GpuMemoryOptions::imagesMax",
                         options.name, images_[lifetime].Size());
  }
  const VolkDeviceTable& table = device_.Table();
  const VkImageCreateInfo info = CreateInfoFor(options);
  Image image;
  image.format = options.format;
  image.extent = info.extent;
  VkResult result =
      STADIAL_DRIVER_CALL(table, vkCreateImage, device_.Handle(), &info, device_.Callbacks(), &image.handle);
  if (result != VK_SUCCESS) {
    return DriverError(result, "vkCreateImage", "'%s' of %u x %u x %u texels", options.name, options.width,
                       options.height, options.depth);
  }
  VkMemoryRequirements needs{};
  STADIAL_DRIVER_CALL(table, vkGetImageMemoryRequirements, device_.Handle(), image.handle, &needs);
  auto placed = Place(needs, MemoryUse::DeviceLocal, options.lifetime, options.name);
  const auto discard = [&](const Error& error) -> Result<Image> {
    STADIAL_DRIVER_CALL(table, vkDestroyImage, device_.Handle(), image.handle, device_.Callbacks());
    return error;
  };
  if (!placed) return discard(placed.GetError());
  result = STADIAL_DRIVER_CALL(table, vkBindImageMemory, device_.Handle(), image.handle,
                               blocks_[placed->block].memory, placed->offset);
  if (result != VK_SUCCESS) return discard(DriverError(result, "vkBindImageMemory", "'%s'", options.name));

  VkImageViewCreateInfo view{};
  view.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO;
  view.image = image.handle;
  view.viewType = options.depth > 1 ? VK_IMAGE_VIEW_TYPE_3D : VK_IMAGE_VIEW_TYPE_2D;
  view.format = options.format;
  view.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
  result = STADIAL_DRIVER_CALL(table, vkCreateImageView, device_.Handle(), &view, device_.Callbacks(),
                               &image.view);
  if (result != VK_SUCCESS) return discard(DriverError(result, "vkCreateImageView", "'%s'", options.name));

  device_.SetName(VK_OBJECT_TYPE_IMAGE, HandleBits(image.handle), options.name);
  device_.SetName(VK_OBJECT_TYPE_IMAGE_VIEW, HandleBits(image.view), options.name);
  images_[lifetime].PushBack(image);
  awaiting_.PushBack(image);
  stats_.images[lifetime] = static_cast<std::uint32_t>(images_[lifetime].Size());
  return image;
}

bool GpuMemory::TakeImageAwaitingLayout(const Image& image) noexcept {
  for (std::size_t i = 0; i < awaiting_.Size(); ++i) {
    if (awaiting_[i].handle == image.handle) {
      awaiting_.SwapRemove(i);
      return true;
    }
  }
  return false;
}

Result<HistoryImages> HistoryImages::Create(GpuMemory& memory, const ImageOptions& options,
                                            std::uint32_t depth) noexcept {
  if (depth == 0 || depth > kHistoryDepthMax) {
    return Error::Format(ErrorCode::InvalidArgument, "history '%s' of depth %u: 1 to %u images are possible",
                         options.name, depth, kHistoryDepthMax);
  }
  HistoryImages history;
  for (std::uint32_t i = 0; i < depth; ++i) {
    char name[64];
    std::snprintf(name, sizeof name, "%.48s[%u]", options.name, i);
    ImageOptions one = options;
    one.name = name;
    STADIAL_ASSIGN_OR_RETURN(history.images_[i], memory.CreateImage(one));
  }
  history.depth_ = depth;
  return history;
}

graph::ResourceDescription HistoryImages::Describe(const char* name) const noexcept {
  graph::ResourceDescription description;
  description.kind = graph::ResourceKind::Image;
  description.name = name;
  description.width = images_[0].extent.width;
  description.height = images_[0].extent.height;
  description.depth = images_[0].extent.depth;
  description.format = static_cast<std::uint32_t>(images_[0].format);
  description.copies = depth_;
  return description;
}

}  // namespace stadial::gpu
