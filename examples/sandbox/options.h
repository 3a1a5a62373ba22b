// The command line of the sandbox: what can be asked for, with units, ranges and defaults in one place.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "materials.h"
#include "stadial/arenas/result.h"
#include "stadial/runtime/gate.h"

namespace stadial::sandbox {

// Pixels.
struct ImageSize {
  std::uint32_t width = 640;
  std::uint32_t height = 360;
  bool operator==(const ImageSize&) const = default;
};

inline constexpr std::uint32_t kImageEdgeMin = 8;  // one work group
inline constexpr std::uint32_t kImageEdgeMax = 8192;
inline constexpr std::uint64_t kImagePixelsMax =
    3840ull * 2160ull;  // 16 B a pixel in each of four images: 530 MB
inline constexpr std::uint64_t kFramesMax = 10'000'000;
inline constexpr std::uint32_t kStepsPerFrameMax = 16;
inline constexpr std::uint32_t kFramesInFlightMin = 1;
inline constexpr std::uint32_t kFramesInFlightLimit = 8;  // runtime::kFramesInFlightMax
inline constexpr std::size_t kResizesMax = 16;
inline constexpr std::uint64_t kPictureBytesMax = std::uint64_t{1} << 30;  // of all kept pictures together
inline constexpr std::uint32_t kWorldMibMax = 4096;
inline constexpr float kTurnDegreesMax = 3600.0F;

// From frame `frame` on, pictures have this size.
struct ResizeStep {
  std::uint64_t frame = 0;
  ImageSize size;
};

struct Options {
  // Scene.
  std::string scene;  // a .vox file; empty: the scene that ships with the program
  MaterialRules rules;
  std::uint32_t worldMib = 64;  // memory for cells, of each of two buffers
  std::uint32_t seed = 1;
  std::uint32_t stepsPerFrame = 1;  // automaton steps; 0: everything stands still
  std::string camera = "305,24,0";  // see ParseCamera
  float turnDegrees = 0.0F;         // how far an orbiting camera turns in the whole run

  // Run.
  std::uint64_t frames = 240;
  ImageSize size;
  std::vector<ResizeStep> resizes;  // ascending frames
  std::uint32_t framesInFlight = 2;
  std::string device;  // see gpu::Instance::SelectDevice
  bool listDevices = false;
  bool validation = false;
  runtime::GatePolicy gate = runtime::GatePolicy::Trap;
  bool telemetry = false;  // publish every frame for a reader in another process
  bool kernelProof = false;

  // Output.
  std::string outDir = "out";
  std::string jsonPath;
  std::uint64_t saveEvery = 0;  // 0: a few frames spread over the run, and the last one
  std::string sizingPath;       // sizing profile: read where it is there, written after the run; empty: none
  std::string sizingCheckPath;  // sizing profile that the run must stay within; empty: none
  std::string cellsPath;        // raw cells after the last frame; empty: none
};

// What the command line asks for: to run with these options, or to end with this exit code because everything
// asked for (help, version) has been printed.
struct Command {
  Options options;
  bool isDone = false;
};

// Errors (InvalidArgument): the option, what it was given, what it takes.
arenas::Result<Command> ParseCommandLine(int argc, const char* const* argv);

// Exit codes, as the help text states them.
inline constexpr int kExitPass = 0;
inline constexpr int kExitFail = 1;
inline constexpr int kExitUnable = 2;
inline constexpr int kExitIncomplete = 3;

// The frames whose pictures are kept, ascending: what saveEvery says, and always the last one.
std::vector<std::uint64_t> PictureFrames(const Options& options);
// The size of frame `frame`'s picture.
ImageSize SizeOfFrame(const Options& options, std::uint64_t frame) noexcept;

}  // namespace stadial::sandbox
