#include "report.h"

#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "image_file.h"

namespace stadial::sandbox {
namespace {

using Json = nlohmann::ordered_json;

Error CannotWrite(const char* option, const std::string& path, const char* why) {
  return Error::Format(ErrorCode::Io, "%s: cannot write '%.200s': %s; name a place you may write to", option,
                       path.c_str(), why);
}

Result<void> PrepareFile(const char* option, const std::string& path) {
  if (path.empty()) return {};
  std::FILE* file = std::fopen(path.c_str(), "ab");
  if (file == nullptr) return CannotWrite(option, path, std::strerror(errno));
  std::fclose(file);
  return {};
}

Json ToJson(const ImageSize& size) { return {{"width", size.width}, {"height", size.height}}; }

Json WorldJson(const World& world) {
  const WorldStatistics& s = world.Statistics();
  const CellPosition cells = world.CellCounts();
  return {{"box_cells", {cells[0], cells[1], cells[2]}},
          {"models", s.models},
          {"instances", s.instances},
          {"cells", s.cells},
          {"sand_cells", s.sandCells},
          {"water_cells", s.waterCells},
          {"box_chunks", s.boxChunks},
          {"resident_chunks", s.residentChunks},
          {"dropped_chunks", s.droppedChunks},
          {"lights", s.lights}};
}

// What the driver asked of our VkAllocationCallbacks, by phase.
Json HostMemoryJson(const gpu::HostMemoryStats& stats) {
  Json phases;
  for (std::size_t i = 0; i < gpu::kPhaseCount; ++i) {
    const gpu::HostMemoryPhaseStats& phase = stats.byPhase[i];
    phases[runtime::ToString(static_cast<runtime::Phase>(i))] = {{"allocations", phase.allocations},
                                                                 {"reallocations", phase.reallocations},
                                                                 {"frees", phase.frees},
                                                                 {"refusals", phase.refusals}};
  }
  return {{"phases", phases},
          {"live_blocks", stats.liveBlocks},
          {"live_bytes", stats.liveBytes},
          {"peak_bytes", stats.peakBytes}};
}

Json RunJson(const SandboxApp& app, const std::vector<std::string>& pictures) {
  const Options& options = app.GetOptions();
  const gpu::SubmitThreadStats submit = app.SubmitStats();
  Json resizes = Json::array();
  for (const ResizeStep& step : options.resizes)
    resizes.push_back({{"frame", step.frame}, {"size", ToJson(step.size)}});
  return {{"scene", options.scene},
          {"device", app.GetDevice().Name()},
          {"size", ToJson(options.size)},
          {"resizes", resizes},
          {"frames_in_flight", options.framesInFlight},
          {"steps_per_frame", options.stepsPerFrame},
          {"seed", options.seed},
          {"validation", options.validation},
          {"setup_seconds", app.SetupSeconds()},
          {"frame_seconds", app.FrameSeconds()},
          {"graph",
           {{"nodes", app.Graph().NodeCount()},
            {"connections", app.Graph().ConnectionCount()},
            {"history_depth", app.Graph().HistoryDepth()},
            {"replay_period", app.Executor().ReplayPeriod()},
            {"barriers_per_frame", app.Executor().BarriersPerFrame()},
            {"recompiles", app.RecompileCount()}}},
          {"descriptor_sets", app.Executor().Descriptors().Stats().setsAllocated},
          {"gpu_bytes", app.GpuMemoryInUse().Stats().takenBytes},
          {"driver_host_memory", HostMemoryJson(app.HostStats())},
          {"submit_thread",
           {{"submits", submit.submits},
            {"waits", submit.waits},
            {"polls", submit.polls},
            {"wakes", submit.wakes}}},
          {"world", WorldJson(app.GetWorld())},
          {"pictures", pictures}};
}

}  // namespace

Result<void> PrepareOutputs(const Options& options) {
  std::error_code error;
  std::filesystem::create_directories(options.outDir, error);
  if (error) return CannotWrite("--out", options.outDir, error.message().c_str());
  if (::access(options.outDir.c_str(), W_OK | X_OK) != 0)
    return CannotWrite("--out", options.outDir, std::strerror(errno));
  STADIAL_RETURN_IF_ERROR(PrepareFile("--json", options.jsonPath));
  return PrepareFile("--cells", options.cellsPath);
}

Result<std::vector<std::string>> WritePictures(const SandboxApp& app) {
  std::vector<std::string> paths;
  for (const Picture& picture : app.Pictures()) {
    if (!picture.isFilled) continue;
    char name[40];
    std::snprintf(name, sizeof name, "frame_%06" PRIu64 ".png", picture.frame);
    const std::string path = (std::filesystem::path(app.GetOptions().outDir) / name).string();
    // Arena memory is aligned to 16, so the bytes may be read as the words the tone mapper wrote.
    const std::span words(reinterpret_cast<const std::uint32_t*>(picture.pixels.data()),
                          picture.pixels.size() / 4);
    STADIAL_RETURN_IF_ERROR(WritePng(path.c_str(), picture.size.width, picture.size.height, words));
    std::printf("picture        %s\n", path.c_str());
    paths.push_back(path);
  }
  return paths;
}

std::string MakeJson(const SandboxApp& app, const runtime::AuditReport& report,
                     const std::vector<std::string>& pictures) {
  Json json = Json::parse(runtime::ToJson(report));
  json["run"] = RunJson(app, pictures);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

void PrintRun(const SandboxApp& app, const runtime::AuditReport& report) {
  const Options& options = app.GetOptions();
  const WorldStatistics& world = app.GetWorld().Statistics();
  std::printf("%" PRIu64 " frames of %s at %" PRIu32 "x%" PRIu32 " on %s\n", options.frames,
              options.scene.empty() ? "the built-in scene" : options.scene.c_str(), options.size.width,
              options.size.height, app.GetDevice().Name());
  std::printf("  world    %" PRIu64 " cells in %" PRIu32 " chunks: %" PRIu64 " sand, %" PRIu64
              " water; %" PRIu32 " lights\n",
              world.cells, world.residentChunks, world.sandCells, world.waterCells, world.lights);
  std::printf("  graph    %" PRIu32 " nodes, %" PRIu32 " barriers a frame, recorded %" PRIu32
              " times, recompiled %" PRIu32 " times\n",
              app.Graph().NodeCount(), app.Executor().BarriersPerFrame(), app.Executor().ReplayPeriod(),
              app.RecompileCount());
  std::printf("  time     %.1f s to set up, %.1f s for the frames (%.1f a second)\n", app.SetupSeconds(),
              app.FrameSeconds(), static_cast<double>(options.frames) / app.FrameSeconds());
  runtime::PrintAudit(report, stdout);
}

Result<void> WriteOutput(const std::string& path, std::span<const std::byte> bytes) {
  return SaveFile(path.c_str(), bytes);
}

}  // namespace stadial::sandbox
