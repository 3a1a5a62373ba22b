#include "stadial/gpu/compute_pipeline.h"

#include <algorithm>

#include "driver_call.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {
namespace {

constexpr std::uint32_t kSpirvMagic = 0x07230203;
constexpr std::uint32_t kSpecializationMax = 16;

// The graph's descriptor vocabulary is Vulkan's by number.
static_assert(static_cast<int>(graph::DescriptorType::Sampler) == VK_DESCRIPTOR_TYPE_SAMPLER);
static_assert(static_cast<int>(graph::DescriptorType::CombinedImageSampler) ==
              VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER);
static_assert(static_cast<int>(graph::DescriptorType::SampledImage) == VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE);
static_assert(static_cast<int>(graph::DescriptorType::StorageImage) == VK_DESCRIPTOR_TYPE_STORAGE_IMAGE);
static_assert(static_cast<int>(graph::DescriptorType::UniformTexelBuffer) ==
              VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER);
static_assert(static_cast<int>(graph::DescriptorType::StorageTexelBuffer) ==
              VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER);
static_assert(static_cast<int>(graph::DescriptorType::UniformBuffer) == VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER);
static_assert(static_cast<int>(graph::DescriptorType::StorageBuffer) == VK_DESCRIPTOR_TYPE_STORAGE_BUFFER);
static_assert(static_cast<int>(graph::DescriptorType::UniformBufferDynamic) ==
              VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC);
static_assert(static_cast<int>(graph::DescriptorType::StorageBufferDynamic) ==
              VK_DESCRIPTOR_TYPE_STORAGE_BUFFER_DYNAMIC);
static_assert(static_cast<int>(graph::DescriptorType::InputAttachment) ==
              VK_DESCRIPTOR_TYPE_INPUT_ATTACHMENT);
static_assert(static_cast<int>(graph::ShaderStages::Compute) == VK_SHADER_STAGE_COMPUTE_BIT);
static_assert(static_cast<int>(graph::ShaderStages::Vertex) == VK_SHADER_STAGE_VERTEX_BIT);
static_assert(static_cast<int>(graph::ShaderStages::Fragment) == VK_SHADER_STAGE_FRAGMENT_BIT);
static_assert(static_cast<int>(graph::ShaderStages::AllGraphics) == VK_SHADER_STAGE_ALL_GRAPHICS);

Result<void> CheckBindings(const graph::DescriptorSetRequirement& requirement,
                           std::uint32_t bindingsMax) noexcept {
  if (requirement.bindings.empty() || requirement.bindings.size() > bindingsMax) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "descriptor set '%s' has %zu bindings; 1 to %u are possible", requirement.debugName,
                         requirement.bindings.size(), bindingsMax);
  }
  for (std::size_t i = 0; i < requirement.bindings.size(); ++i) {
    const graph::DescriptorBinding& binding = requirement.bindings[i];
    if (binding.count == 0) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "descriptor set '%s', binding %u has a count of 0; state at least 1",
                           requirement.debugName, binding.binding);
    }
    if (static_cast<std::size_t>(binding.type) >= graph::kDescriptorTypeCount) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "descriptor set '%s', binding %u has the unknown type %u", requirement.debugName,
                           binding.binding, static_cast<unsigned>(binding.type));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (requirement.bindings[j].binding == binding.binding) {
        return Error::Format(ErrorCode::InvalidArgument, "descriptor set '%s' states binding %u twice",
                             requirement.debugName, binding.binding);
      }
    }
  }
  return {};
}

bool SameBinding(const VkDescriptorSetLayoutBinding& a, const VkDescriptorSetLayoutBinding& b) noexcept {
  return a.binding == b.binding && a.descriptorType == b.descriptorType &&
         a.descriptorCount == b.descriptorCount && a.stageFlags == b.stageFlags;
}

}  // namespace

Result<Owned<PipelineLibrary>> PipelineLibrary::Create(Device& device,
                                                       const PipelineLibraryOptions& options) noexcept {
  runtime::Runtime& runtime = device.GetRuntime();
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "gpu::PipelineLibrary::Create"));
  return MakeOwned<PipelineLibrary>(runtime.SetupArena(), "gpu::PipelineLibrary", device, options,
                                    runtime.SetupArena());
}

PipelineLibrary::PipelineLibrary(Device& device, const PipelineLibraryOptions& options,
                                 arenas::Arena& memory) noexcept
    : device_(device), layouts_(memory, options.layoutsMax), pipelines_(memory, options.pipelinesMax) {}

PipelineLibrary::~PipelineLibrary() {
  if (device_.IsQuarantined()) return;
  const VolkDeviceTable& table = device_.Table();
  for (std::size_t i = pipelines_.Size(); i > 0; --i) {
    STADIAL_DRIVER_CALL(table, vkDestroyPipeline, device_.Handle(), pipelines_[i - 1].handle,
                        device_.Callbacks());
    STADIAL_DRIVER_CALL(table, vkDestroyPipelineLayout, device_.Handle(), pipelines_[i - 1].layout,
                        device_.Callbacks());
  }
  for (std::size_t i = layouts_.Size(); i > 0; --i) {
    STADIAL_DRIVER_CALL(table, vkDestroyDescriptorSetLayout, device_.Handle(), layouts_[i - 1].handle,
                        device_.Callbacks());
  }
}

Result<VkDescriptorSetLayout> PipelineLibrary::SetLayout(
    const graph::DescriptorSetRequirement& requirement) noexcept {
  STADIAL_RETURN_IF_ERROR(CheckBindings(requirement, kBindingsPerLayoutMax));
  CachedLayout wanted;
  wanted.bindingCount = static_cast<std::uint32_t>(requirement.bindings.size());
  for (std::uint32_t i = 0; i < wanted.bindingCount; ++i) {
    const graph::DescriptorBinding& from = requirement.bindings[i];
    wanted.bindings[i] = {from.binding, static_cast<VkDescriptorType>(from.type), from.count,
                          static_cast<VkShaderStageFlags>(from.stages), nullptr};
  }
  const std::span bindings(wanted.bindings, wanted.bindingCount);
  std::ranges::sort(bindings, {}, &VkDescriptorSetLayoutBinding::binding);
  for (const CachedLayout& cached : layouts_) {
    if (std::ranges::equal(bindings, std::span(cached.bindings, cached.bindingCount), &SameBinding))
      return cached.handle;
  }
  if (layouts_.IsFull()) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "descriptor set '%s' needs one layout too many: %zu different ones exist; raise "
                         "PipelineLibraryOptions::layoutsMax",
                         requirement.debugName, layouts_.Size());
  }
  VkDescriptorSetLayoutCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
  info.bindingCount = wanted.bindingCount;
  info.pBindings = wanted.bindings;
  const VkResult result = STADIAL_DRIVER_CALL(device_.Table(), vkCreateDescriptorSetLayout, device_.Handle(),
                                              &info, device_.Callbacks(), &wanted.handle);
  if (result != VK_SUCCESS)
    return DriverError(result, "vkCreateDescriptorSetLayout", "'%s'", requirement.debugName);
  device_.SetName(VK_OBJECT_TYPE_DESCRIPTOR_SET_LAYOUT, HandleBits(wanted.handle), requirement.debugName);
  layouts_.PushBack(wanted);
  return wanted.handle;
}

Result<ComputePipeline> PipelineLibrary::CreatePipeline(const ComputePipelineOptions& options) noexcept {
  if (options.spirv.size() < 5 || options.spirv[0] != kSpirvMagic) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "pipeline '%s': its %zu words are not SPIR-V (the first must be 0x07230203); pass the array that "
        "stadial_add_shaders made",
        options.name, options.spirv.size());
  }
  if (options.specialization.size() > kSpecializationMax) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "pipeline '%s' has %zu specialization constants; at most %u are possible",
                         options.name, options.specialization.size(), kSpecializationMax);
  }
  const std::uint32_t pushMax = device_.Limits().maxPushConstantsSize;
  if (options.pushConstantBytes > pushMax || options.pushConstantBytes % 4 != 0) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "pipeline '%s' has %u B of push constants; a multiple of 4 up to %u B is possible on device '%s'",
        options.name, options.pushConstantBytes, pushMax, device_.Name());
  }
  if (pipelines_.IsFull()) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "pipeline '%s' is one too many: %zu exist; raise PipelineLibraryOptions::pipelinesMax", options.name,
        pipelines_.Size());
  }
  STADIAL_ASSIGN_OR_RETURN(const VkPipelineLayout layout, CreateLayout(options));
  auto handle = CreateHandle(options, layout);
  if (!handle) {
    STADIAL_DRIVER_CALL(device_.Table(), vkDestroyPipelineLayout, device_.Handle(), layout,
                        device_.Callbacks());
    return handle.GetError();
  }
  device_.SetName(VK_OBJECT_TYPE_PIPELINE, HandleBits(*handle), options.name);
  device_.SetName(VK_OBJECT_TYPE_PIPELINE_LAYOUT, HandleBits(layout), options.name);
  const ComputePipeline pipeline{*handle, layout, options.pushConstantBytes};
  pipelines_.PushBack(pipeline);
  return pipeline;
}

Result<VkPipelineLayout> PipelineLibrary::CreateLayout(const ComputePipelineOptions& options) noexcept {
  VkDescriptorSetLayout layouts[kSetLayoutsPerPipelineMax];
  if (options.sets.size() > kSetLayoutsPerPipelineMax) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "pipeline '%s' has %zu descriptor sets; at most %u are possible", options.name,
                         options.sets.size(), kSetLayoutsPerPipelineMax);
  }
  for (std::size_t i = 0; i < options.sets.size(); ++i) {
    if (options.sets[i].setIndex != i) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "pipeline '%s': its descriptor sets must be numbered 0, 1, 2, ... in order; "
                           "number %zu ('%s') says %u",
                           options.name, i, options.sets[i].debugName, options.sets[i].setIndex);
    }
    STADIAL_ASSIGN_OR_RETURN(layouts[i], SetLayout(options.sets[i]));
  }
  VkPushConstantRange range{};
  range.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT;
  range.size = options.pushConstantBytes;
  VkPipelineLayoutCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  info.setLayoutCount = static_cast<std::uint32_t>(options.sets.size());
  info.pSetLayouts = layouts;
  info.pushConstantRangeCount = options.pushConstantBytes != 0 ? 1 : 0;
  info.pPushConstantRanges = &range;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  const VkResult result = STADIAL_DRIVER_CALL(device_.Table(), vkCreatePipelineLayout, device_.Handle(),
                                              &info, device_.Callbacks(), &layout);
  if (result != VK_SUCCESS)
    return DriverError(result, "vkCreatePipelineLayout", "pipeline '%s'", options.name);
  return layout;
}

Result<VkPipeline> PipelineLibrary::CreateHandle(const ComputePipelineOptions& options,
                                                 VkPipelineLayout layout) noexcept {
  const VolkDeviceTable& table = device_.Table();
  VkShaderModuleCreateInfo moduleInfo{};
  moduleInfo.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  moduleInfo.codeSize = options.spirv.size_bytes();
  moduleInfo.pCode = options.spirv.data();
  VkShaderModule module = VK_NULL_HANDLE;
  VkResult result = STADIAL_DRIVER_CALL(table, vkCreateShaderModule, device_.Handle(), &moduleInfo,
                                        device_.Callbacks(), &module);
  if (result != VK_SUCCESS) return DriverError(result, "vkCreateShaderModule", "pipeline '%s'", options.name);

  VkSpecializationMapEntry entries[kSpecializationMax];
  for (std::uint32_t i = 0; i < options.specialization.size(); ++i) entries[i] = {i, i * 4, 4};
  VkSpecializationInfo specialization{};
  specialization.mapEntryCount = static_cast<std::uint32_t>(options.specialization.size());
  specialization.pMapEntries = entries;
  specialization.dataSize = options.specialization.size_bytes();
  specialization.pData = options.specialization.data();
  VkComputePipelineCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  info.layout = layout;
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = options.entryPoint;
  info.stage.pSpecializationInfo = options.specialization.empty() ? nullptr : &specialization;
  VkPipeline pipeline = VK_NULL_HANDLE;
  result = STADIAL_DRIVER_CALL(table, vkCreateComputePipelines, device_.Handle(), VK_NULL_HANDLE, 1, &info,
                               device_.Callbacks(), &pipeline);
  STADIAL_DRIVER_CALL(table, vkDestroyShaderModule, device_.Handle(), module, device_.Callbacks());
  if (result != VK_SUCCESS) {
    return DriverError(result, "vkCreateComputePipelines", "pipeline '%s' on device '%s'", options.name,
                       device_.Name());
  }
  return pipeline;
}

}  // namespace stadial::gpu
