// Draws a .vox scene with the CPU references alone, for machines without Vulkan and for judging scenes:
//   sandbox_cpu_preview SCENE.vox OUT.png [WIDTHxHEIGHT [STEPS [SAMPLES [CAMERA]]]]
// STEPS automaton steps are taken first; SAMPLES jittered frames are accumulated. CAMERA as for the sandbox.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "automaton_cpu.h"
#include "frame_uniforms.h"
#include "image_file.h"
#include "ray_march_cpu.h"
#include "taa_cpu.h"

namespace {

using namespace stadial::sandbox;

struct Arguments {
  const char* scene = nullptr;
  const char* output = nullptr;
  std::uint32_t width = 640, height = 360, steps = 0, samples = 8;
  const char* camera = nullptr;
};

// The frame's samples, rows shared out to two threads.
void Draw(const RayMarchCpu& march, const FrameUniforms& frame, std::vector<PixelSample>& image) {
  const std::uint32_t height = frame.image[1];
  const auto half = [&](std::uint32_t parity) {
    for (std::uint32_t y = parity; y < height; y += 2) march.Rows(y, y + 1, image);
  };
  std::thread other(half, 1U);
  half(0U);
  other.join();
}

Result<void> Run(const Arguments& arguments) {
  STADIAL_ASSIGN_OR_RETURN(const VoxScene scene, LoadVox(arguments.scene));
  STADIAL_ASSIGN_OR_RETURN(const World world, World::Build(scene, {}, arguments.scene));
  const WorldStatistics& s = world.Statistics();
  std::printf(
      "%u instances of %u models, %llu cells (%llu sand, %llu water), %u of %u chunks resident, %u lights\n",
      s.instances, s.models, static_cast<unsigned long long>(s.cells),
      static_cast<unsigned long long>(s.sandCells), static_cast<unsigned long long>(s.waterCells),
      s.residentChunks, s.boxChunks, s.lights);
  for (const std::string& warning : world.Warnings()) std::printf("warning: %s\n", warning.c_str());

  const auto begin = std::chrono::steady_clock::now();
  AutomatonCpu automaton(world, 1);
  for (std::uint32_t i = 0; i < arguments.steps; ++i) automaton.Step();
  const auto stepped = std::chrono::steady_clock::now();

  FrameParameters parameters;
  parameters.width = arguments.width;
  parameters.height = arguments.height;
  CameraSpec spec;
  spec.yaw = 305.0F;
  spec.pitch = 24.0F;
  spec.distance = 0.0F;
  if (arguments.camera != nullptr) {
    STADIAL_ASSIGN_OR_RETURN(spec, ParseCamera(arguments.camera));
  }
  AimAtWorld(world, static_cast<float>(arguments.width) / static_cast<float>(arguments.height), spec);
  parameters.camera = MakeCamera(spec);
  parameters.previousCamera = parameters.camera;
  const std::size_t pixels = std::size_t{arguments.width} * arguments.height;
  std::vector<PixelSample> current(pixels);
  std::vector<HistorySample> history(pixels);
  std::vector<HistorySample> resolved(pixels);
  const Environment environment;
  for (std::uint32_t i = 0; i < arguments.samples; ++i) {
    parameters.jitter = HaltonJitter(i);
    parameters.historyValid = i != 0;
    parameters.still = true;
    const FrameUniforms frame = MakeFrameUniforms(world, environment, parameters);
    Draw(RayMarchCpu(world, automaton.Cells(), frame), frame, current);
    ResolveTaaCpu(frame, current, history, resolved);
    history.swap(resolved);
  }
  const auto drawn = std::chrono::steady_clock::now();
  std::vector<std::uint32_t> image(pixels);
  std::transform(history.begin(), history.end(), image.begin(), [&](const HistorySample& sample) {
    return TonemapCpu(sample.colour, environment.exposure);
  });
  const auto seconds = [](auto d) { return std::chrono::duration<double>(d).count(); };
  std::printf("%u steps in %.2f s, %u frames of %ux%u in %.2f s\n", arguments.steps, seconds(stepped - begin),
              arguments.samples, arguments.width, arguments.height, seconds(drawn - stepped));
  return WritePng(arguments.output, arguments.width, arguments.height, image);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (argc >= 3) {
    arguments.scene = argv[1];
    arguments.output = argv[2];
  }
  bool good = argc >= 3 && argc <= 7;
  if (argc > 3) good = good && std::sscanf(argv[3], "%ux%u", &arguments.width, &arguments.height) == 2;
  if (argc > 4) good = good && std::sscanf(argv[4], "%u", &arguments.steps) == 1;
  if (argc > 5) good = good && std::sscanf(argv[5], "%u", &arguments.samples) == 1;
  if (argc > 6) arguments.camera = argv[6];
  constexpr std::uint32_t kEdgeMax = 8192;
  good = good && arguments.width - 1U < kEdgeMax && arguments.height - 1U < kEdgeMax;
  if (!good) {
    std::fprintf(stderr,
                 "usage: sandbox_cpu_preview SCENE.vox OUT.png [WIDTHxHEIGHT [STEPS [SAMPLES [CAMERA]]]]\n");
    return 2;
  }
  const auto result = Run(arguments);
  if (!result) {
    std::fprintf(stderr, "sandbox_cpu_preview: %s\n", result.GetError().Message());
    return 1;
  }
  return 0;
}
