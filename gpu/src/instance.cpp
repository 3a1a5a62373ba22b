#include "stadial/gpu/instance.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "driver_call.h"
#include "loader.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {
namespace {

constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";
// Synchronization validation between submits has no flag in VkValidationFeaturesEXT; this layer takes it by
// name only.
constexpr const char* kEnablesVariable = "VK_LAYER_ENABLES";
constexpr const char* kSubmitSynchronization =
    "VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT";

constexpr std::uint32_t kPropertiesMax =
    512;  // layers or extensions of one query; this machine has fewer than 30

std::uint32_t HashText(const char* text) noexcept {  // FNV-1a, never 0
  std::uint32_t hash = 2166136261u;
  for (; *text != '\0'; ++text) hash = (hash ^ static_cast<unsigned char>(*text)) * 16777619u;
  return hash == 0 ? 1 : hash;
}

Result<void> RequireValidationLayer(const GlobalFunctions& loader, arenas::Arena& arena) noexcept {
  const arenas::ArenaScope scope(arena);
  const auto layers = arena.NewArray<VkLayerProperties>(kPropertiesMax);
  std::uint32_t count = kPropertiesMax;
  const VkResult result = STADIAL_DRIVER_CALL_NAMED("vkEnumerateInstanceLayerProperties",
                                                    loader.enumerateLayers, &count, layers.data());
  if (result != VK_SUCCESS && result != VK_INCOMPLETE) {
    return DriverError(result, "vkEnumerateInstanceLayerProperties", "looking for %s", kValidationLayer);
  }
  for (const VkLayerProperties& layer : layers.first(count)) {
    if (std::strcmp(layer.layerName, kValidationLayer) == 0) return {};
  }
  return Error::Format(ErrorCode::NotSupported,
                       "validation was asked for, but %s is not among the %u Vulkan layers of this machine; "
                       "install it (Debian: "
                       "vulkan-validationlayers) or run without validation",
                       kValidationLayer, count);
}

bool HasInstanceExtension(const GlobalFunctions& loader, arenas::Arena& arena, const char* layer,
                          const char* wanted) noexcept {
  const arenas::ArenaScope scope(arena);
  const auto extensions = arena.NewArray<VkExtensionProperties>(kPropertiesMax);
  std::uint32_t count = kPropertiesMax;
  const VkResult result = STADIAL_DRIVER_CALL_NAMED(
      "vkEnumerateInstanceExtensionProperties", loader.enumerateExtensions, layer, &count, extensions.data());
  if (result != VK_SUCCESS && result != VK_INCOMPLETE) return false;
  for (const VkExtensionProperties& extension : extensions.first(count)) {
    if (std::strcmp(extension.extensionName, wanted) == 0) return true;
  }
  return false;
}

void EnableSubmitSynchronization() noexcept {
  const char* present = std::getenv(kEnablesVariable);
  if (present == nullptr || *present == '\0') {
    ::setenv(kEnablesVariable, kSubmitSynchronization, 1);
  } else if (std::strstr(present, kSubmitSynchronization) == nullptr) {
    char joined[1024];
    std::snprintf(joined, sizeof joined, "%s:%s", present, kSubmitSynchronization);
    ::setenv(kEnablesVariable, joined, 1);
  }
}

Error CreateInstanceError(VkResult result) noexcept {
  if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
    return Error::Format(ErrorCode::NotSupported,
                         "no Vulkan driver on this machine (vkCreateInstance: %s); install one (Debian: "
                         "mesa-vulkan-drivers has "
                         "the software device lavapipe) or point VK_DRIVER_FILES at a driver's manifest%s%s",
                         ToString(result), std::getenv("VK_DRIVER_FILES") != nullptr ? "; it is now " : "",
                         std::getenv("VK_DRIVER_FILES") != nullptr ? std::getenv("VK_DRIVER_FILES") : "");
  }
  return DriverError(result, "vkCreateInstance", "creating the Vulkan instance");
}

}  // namespace

Result<Owned<Instance>> Instance::Create(runtime::Runtime& runtime, const InstanceOptions& options) noexcept {
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "gpu::Instance::Create"));
  STADIAL_ASSIGN_OR_RETURN(Owned<Instance> instance,
                           MakeOwned<Instance>(runtime.SetupArena(), "gpu::Instance", runtime));
  STADIAL_RETURN_IF_ERROR(instance->Initialize(options));
  return instance;
}

Instance::~Instance() {
  if (instance_ == VK_NULL_HANDLE || kept_) return;
  if (messenger_ != VK_NULL_HANDLE) {
    STADIAL_DRIVER_CALL_NAMED("vkDestroyDebugUtilsMessengerEXT", functions_->destroyMessenger, instance_,
                              messenger_, callbacks_);
  }
  STADIAL_DRIVER_CALL_NAMED("vkDestroyInstance", functions_->destroyInstance, instance_, callbacks_);
}

Result<void> Instance::Initialize(const InstanceOptions& options) noexcept {
  hostMemory_ = options.hostMemory;
  if (hostMemory_ == nullptr) {
    STADIAL_ASSIGN_OR_RETURN(ownHostMemory_, HostMemory::Create(runtime_));
    hostMemory_ = ownHostMemory_.get();
  }
  callbacks_ = options.hostMemoryCallbacks ? hostMemory_->Callbacks() : nullptr;
  STADIAL_RETURN_IF_ERROR(CreateInstance(options));
  return ListDevices(options.devicesMax);
}

Result<void> Instance::CreateInstance(const InstanceOptions& options) noexcept {
  const std::size_t modulesBefore = CountModules();  // drivers come with the first question to the loader
  STADIAL_ASSIGN_OR_RETURN(const GlobalFunctions loader, LoadLoader());
  arenas::Arena& arena = runtime_.SetupArena();
  const std::uint32_t version = LoaderVersion();
  if (version < VK_API_VERSION_1_2) {
    return Error::Format(ErrorCode::NotSupported,
                         "the Vulkan loader is version %u.%u, 1.2 is needed; update libvulkan1",
                         VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
  }
  if (options.validation) {
    STADIAL_RETURN_IF_ERROR(RequireValidationLayer(loader, arena));
    EnableSubmitSynchronization();
  }
  debugUtils_ = HasInstanceExtension(loader, arena, nullptr, VK_EXT_DEBUG_UTILS_EXTENSION_NAME) ||
                (options.validation &&
                 HasInstanceExtension(loader, arena, kValidationLayer, VK_EXT_DEBUG_UTILS_EXTENSION_NAME));

  VkApplicationInfo application{};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.pApplicationName = options.applicationName;
  application.pEngineName = "stadial";
  application.apiVersion = version < VK_API_VERSION_1_3 ? VK_API_VERSION_1_2 : VK_API_VERSION_1_3;

  VkDebugUtilsMessengerCreateInfoEXT messenger{};
  messenger.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
  messenger.messageSeverity =
      VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  // Not GENERAL: that is the loader talking about drivers that do not fit this machine. Not PERFORMANCE: it
  // objects to every copy of an image in VK_IMAGE_LAYOUT_GENERAL, the layout this layer keeps all images in
  // on purpose.
  messenger.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
  messenger.pfnUserCallback = &OnMessage;
  messenger.pUserData = this;
  const VkValidationFeatureEnableEXT enabled[] = {
      VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
  VkValidationFeaturesEXT features{};
  features.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT;
  features.enabledValidationFeatureCount = 1;
  features.pEnabledValidationFeatures = enabled;
  features.pNext = debugUtils_ ? &messenger : nullptr;

  const char* extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME};
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &application;
  info.enabledExtensionCount = debugUtils_ ? 1 : 0;
  info.ppEnabledExtensionNames = extensions;
  if (options.validation) {
    info.pNext = &features;
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = &kValidationLayer;
  }
  VkInstance handle = VK_NULL_HANDLE;
  VkResult result =
      STADIAL_DRIVER_CALL_NAMED("vkCreateInstance", loader.createInstance, &info, callbacks_, &handle);
  if (result != VK_SUCCESS) return CreateInstanceError(result);
  instance_ = handle;
  KeepModulesLoadedSince(modulesBefore);
  functions_ = arena.New<InstanceFunctions>(LoadInstanceFunctions(handle));

  if (options.validation && debugUtils_ && functions_->createMessenger != nullptr) {
    result = STADIAL_DRIVER_CALL_NAMED("vkCreateDebugUtilsMessengerEXT", functions_->createMessenger,
                                       instance_, &messenger, callbacks_, &messenger_);
    if (result != VK_SUCCESS)
      return DriverError(result, "vkCreateDebugUtilsMessengerEXT", "listening to validation");
  }
  return {};
}

VkBool32 VKAPI_CALL Instance::OnMessage(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                        VkDebugUtilsMessageTypeFlagsEXT,
                                        const VkDebugUtilsMessengerCallbackDataEXT* data,
                                        void* self) noexcept {
  const runtime::DriverCallbackScope callback("gpu messenger");
  auto& instance = *static_cast<Instance*>(self);
  instance.messages_.fetch_add(1, std::memory_order_relaxed);
  const char* text = data->pMessage != nullptr ? data->pMessage : "(no text)";
  if (instance.IsNewMessage(HashText(text))) {
    const auto level = severity >= VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT ? runtime::LogLevel::Error
                                                                                 : runtime::LogLevel::Warning;
    instance.runtime_.Options().log.Format(level, "vulkan validation: %s", text);
  }
  return VK_FALSE;
}

// Open addressing over a fixed table; when it is full, further messages are only counted.
bool Instance::IsNewMessage(std::uint32_t hash) noexcept {
  for (std::size_t probe = 0; probe < kRememberedMessages; ++probe) {
    std::atomic<std::uint32_t>& slot = remembered_[(hash + probe) % kRememberedMessages];
    std::uint32_t seen = slot.load(std::memory_order_relaxed);
    if (seen == 0 && slot.compare_exchange_strong(seen, hash, std::memory_order_relaxed)) return true;
    if (seen == hash) return false;
  }
  return false;
}

}  // namespace stadial::gpu
