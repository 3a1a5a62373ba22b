#include "world_node.h"

namespace stadial::sandbox {
namespace {

constexpr VkBufferUsageFlags kStorage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT;

gpu::Result<gpu::Buffer> MakeTable(gpu::GpuMemory& memory, gpu::SetupUploader& uploader, const char* name,
                                   std::span<const std::byte> data, VkBufferUsageFlags usage = kStorage) {
  STADIAL_ASSIGN_OR_RETURN(
      const gpu::Buffer buffer,
      memory.CreateBuffer(
          {.name = name, .sizeBytes = data.size(), .usage = usage, .lifetime = gpu::Lifetime::Setup}));
  STADIAL_RETURN_IF_ERROR(uploader.ToBuffer(buffer, 0, data));
  return buffer;
}

}  // namespace

graph::ResourceEstimate WorldNode::GetResourceEstimate() const {
  const std::uint64_t cells = std::uint64_t{world_.SlotCount()} * kChunkBytes * kCellBufferCount;
  const std::uint64_t tables = world_.ChunkTable().size_bytes() + world_.SlotChunks().size_bytes() +
                               world_.SlotLights().size_bytes() + sizeof(SceneUniforms);
  return {.deviceBytes = cells + tables};
}

gpu::Result<void> WorldNode::CreatePipelines(gpu::GpuSetupContext& ctx) {
  CellBuffers& cells = Slots().Out(CELLS);
  cells.stepsPerFrame = stepsPerFrame_;
  cells.slotCount = world_.SlotCount();
  STADIAL_ASSIGN_OR_RETURN(cells.buffers[0],
                           MakeTable(ctx.memory, uploader_, "cells 0", std::as_bytes(world_.Cells())));
  // The other buffer is written whole by the first pass before anything reads it.
  STADIAL_ASSIGN_OR_RETURN(cells.buffers[1],
                           ctx.memory.CreateBuffer({.name = "cells 1",
                                                    .sizeBytes = world_.Cells().size_bytes(),
                                                    .usage = kStorage,
                                                    .lifetime = gpu::Lifetime::Setup}));
  STADIAL_ASSIGN_OR_RETURN(Slots().Out(CHUNK_TABLE), MakeTable(ctx.memory, uploader_, "chunk table",
                                                               std::as_bytes(world_.ChunkTable())));
  STADIAL_ASSIGN_OR_RETURN(Slots().Out(SLOT_CHUNKS), MakeTable(ctx.memory, uploader_, "slot chunks",
                                                               std::as_bytes(world_.SlotChunks())));
  STADIAL_ASSIGN_OR_RETURN(Slots().Out(SLOT_LIGHTS), MakeTable(ctx.memory, uploader_, "slot lights",
                                                               std::as_bytes(world_.SlotLights())));
  SceneUniforms scene{};
  world_.FillSceneUniforms(scene);
  STADIAL_ASSIGN_OR_RETURN(Slots().Out(SCENE),
                           MakeTable(ctx.memory, uploader_, "scene", std::as_bytes(std::span(&scene, 1)),
                                     VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT));
  return {};
}

}  // namespace stadial::sandbox
