#include "options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "camera.h"
#include "canary.h"
#include "parse_text.h"

namespace stadial::sandbox {
namespace {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

constexpr const char* kDescription =
    "A voxel sandbox whose frames cannot allocate, and which proves it. It loads a MagicaVoxel scene, steps "
    "a\n"
    "falling-sand automaton on a Vulkan device, ray-marches it, accumulates the frames, and writes pictures\n"
    "and an audit. It needs no window and no GPU: without one, the software driver lavapipe draws.";

constexpr const char* kFooter = R"(
Exit codes:
  0  the audit's verdict is 'pass'
  1  the verdict is 'fail': a steady frame allocated, freed, made a VM system call or faulted, or the
     validation layer had something to say; or the run is not within --sizing-check
  2  it could not run or not finish: a bad option, a file, the device, memory; one line says what and why
  3  the verdict is 'incomplete': nothing was seen, but not everything was watched. Always so with --validation
     (the layer allocates, so no zero-allocation claim is made), with --gate allow, where the kernel offers no
     witness for system calls, and where --kernel-proof was asked for and could not be had. The pictures are as
     good as in any other run.
  134 (killed by SIGABRT)  the gate's trap: the report on standard error names phase, thread, component, stack

Examples:
  sandbox                                            the built-in scene, pictures in ./out
  sandbox --frames 600 --json audit.json             a longer run, its audit also as JSON
  sandbox --scene my.vox --sand 20-27 --water 200    a scene of yours; palette entries 20-27 pour
  sandbox --device SwiftShader --size 320x180        another driver, by any part of its name
  sandbox --frames 120 --resize-at 60:480x270        a resize in mid-run, one batched recompile
  sandbox --sizing-profile sizing.json               the second time in as much memory as it takes
  sandbox --validation --frames 30                   under the Vulkan validation layer
)";

// The texts of all options, as given; converted after parsing, so that every message has the same form.
struct RawOptions {
  std::string stone, sand, water, worldMib, seed, steps, turn, frames, size, framesInFlight, gate, saveEvery;
  std::vector<std::string> resizes;
  bool help = false;
};

void DescribeScene(CLI::App& app, Options& options, RawOptions& raw) {
  constexpr const char* kGroup = "Scene";
  const auto add = [&](const char* name, std::string& target, const char* type, const char* text) {
    app.add_option(name, target, text)->type_name(type)->group(kGroup);
  };
  add("--scene", options.scene, "FILE",
      "a MagicaVoxel .vox file (default: the scene that ships with the program)");
  add("--sand", raw.sand, "LIST",
      "palette entries that fall as sand, as in 3,17,40-44 (default: what the file says)");
  add("--water", raw.water, "LIST", "palette entries that flow as water (default: what the file says)");
  add("--stone", raw.stone, "LIST", "palette entries that stand still, whatever the file says");
  add("--steps-per-frame", raw.steps, "N",
      "automaton steps in each frame, 0 to 16; 0: nothing moves (default 1)");
  add("--seed", raw.seed, "N",
      "seed of the automaton, 0 to 4294967295; equal seeds give equal worlds on\nevery device (default 1)");
  add("--world-mib", raw.worldMib, "MIB",
      "memory for cells, 1 to 4096 MiB of each of two buffers; parts of the scene that\nfind no room are "
      "left out, and said (default 64)");
  add("--camera", options.camera, "SPEC",
      "yaw,pitch,distance[,fov]: around the middle of the scene; degrees and cells,\ndistance 0: all of it "
      "in view (default "
      "305,24,0). Or px,py,pz,tx,ty,tz[,fov]:\nfrom a point towards a point, z up");
  add("--turn", raw.turn, "DEGREES",
      "how far the camera goes round in the whole run, -3600 to 3600 (default 0)");
}

void DescribeRun(CLI::App& app, Options& options, RawOptions& raw) {
  constexpr const char* kGroup = "Run";
  const auto add = [&](const char* name, std::string& target, const char* type, const char* text) {
    app.add_option(name, target, text)->type_name(type)->group(kGroup);
  };
  add("--frames", raw.frames, "N", "frames to run, 1 to 10000000 (default 240)");
  add("--size", raw.size, "WxH", "size of the pictures in pixels, 8x8 to 3840x2160 (default 640x360)");
  app.add_option("--resize-at", raw.resizes,
                 "from frame FRAME on, pictures have size WxH, as in 100:320x180; up to 16 times")
      ->type_name("FRAME:WxH")
      ->allow_extra_args(false)
      ->group(kGroup);
  add("--frames-in-flight", raw.framesInFlight, "N",
      "frames the program may be ahead of the device, 1 to 8 (default 2)");
  add("--device", options.device, "NAME",
      "any part of a device's or driver's name, or #0, #1 as listed (default: the best)");
  app.add_flag("--list-devices", options.listDevices, "print the Vulkan devices and exit")->group(kGroup);
  add("--gate", raw.gate, "POLICY",
      "what happens when a frame allocates or frees outside its arenas: allow, count, report\n(with the "
      "stack, on standard "
      "error) or trap (the same, then abort) (default trap)");
  app.add_flag("--kernel-proof", options.kernelProof,
               "after the warm-up, let no frame get memory from the kernel: the frame thread's VM\n"
               "system calls fail, and with a hardware driver the address space is frozen, too\n"
               "(a software driver maps what it compiles); the audit says what that covered")
      ->group(kGroup);
  app.add_flag("--validation", options.validation,
               "run under the Vulkan validation layer with synchronization validation; the\nverdict is then "
               "at most "
               "'incomplete' (see exit codes)")
      ->group(kGroup);
  app.add_flag("--telemetry", options.telemetry,
               "publish every frame in shared memory for another process: watch sandbox")
      ->group(kGroup);
}

void DescribeOutput(CLI::App& app, Options& options, RawOptions& raw) {
  constexpr const char* kGroup = "Output";
  const auto add = [&](const char* name, std::string& target, const char* type, const char* text) {
    app.add_option(name, target, text)->type_name(type)->group(kGroup);
  };
  add("--out", options.outDir, "DIR", "folder for frame_*.png, made if it is not there (default out)");
  add("--save-every", raw.saveEvery, "N",
      "keep the picture of every N-th frame. Pictures wait in memory taken before the\nfirst frame and are "
      "written after the "
      "last one; at most 1 GiB of them\n(default: four frames spread over the run and the last one)");
  add("--json", options.jsonPath, "FILE", "write the audit as JSON, too");
  add("--cells", options.cellsPath, "FILE",
      "write the cells after the last frame: a byte each, chunk by chunk, to compare runs");
  add("--sizing-profile", options.sizingPath, "FILE",
      "write what the run used of every capacity; where the file is there, the run reserves\nthat and a "
      "quarter more, and the file keeps the larger numbers");
  add("--sizing-check", options.sizingCheckPath, "FILE",
      "end with exit code 1 when the run used more than a quarter above this sizing\nprofile; the culprit is "
      "named");
  app.add_flag("-h,--help", raw.help, "print this text and exit")->group(kGroup);
}

Result<void> Convert(const RawOptions& raw, Options& options) {
  const auto number = [](const char* name, const std::string& text, std::uint64_t min, std::uint64_t max,
                         const char* unit, auto& target) -> Result<void> {
    if (text.empty()) return {};
    STADIAL_ASSIGN_OR_RETURN(const std::uint64_t value, ParseUnsigned(name, text, min, max, unit));
    target = static_cast<std::remove_reference_t<decltype(target)>>(value);
    return {};
  };
  STADIAL_RETURN_IF_ERROR(number("--frames", raw.frames, 1, kFramesMax, "frames", options.frames));
  STADIAL_RETURN_IF_ERROR(number("--seed", raw.seed, 0, 0xffffffffu, "as the seed", options.seed));
  STADIAL_RETURN_IF_ERROR(
      number("--steps-per-frame", raw.steps, 0, kStepsPerFrameMax, "steps", options.stepsPerFrame));
  STADIAL_RETURN_IF_ERROR(number("--world-mib", raw.worldMib, 1, kWorldMibMax, "MiB", options.worldMib));
  STADIAL_RETURN_IF_ERROR(number("--frames-in-flight", raw.framesInFlight, kFramesInFlightMin,
                                 kFramesInFlightLimit, "frames", options.framesInFlight));
  STADIAL_RETURN_IF_ERROR(number("--save-every", raw.saveEvery, 1, kFramesMax, "frames", options.saveEvery));
  if (!raw.size.empty()) {
    STADIAL_ASSIGN_OR_RETURN(options.size, ParseImageSize("--size", raw.size));
  }
  if (!raw.gate.empty()) {
    STADIAL_ASSIGN_OR_RETURN(options.gate, ParseGatePolicy("--gate", raw.gate));
  }
  if (!raw.turn.empty()) {
    STADIAL_ASSIGN_OR_RETURN(options.turnDegrees, ParseDegrees("--turn", raw.turn, kTurnDegreesMax));
  }
  const auto camera = ParseCamera(options.camera.c_str());
  if (!camera) return camera.GetError();
  const auto colours = [](const std::string& text, std::vector<std::uint8_t>& target) -> Result<void> {
    if (text.empty()) return {};
    STADIAL_ASSIGN_OR_RETURN(target, ParseColourList(text.c_str()));
    return {};
  };
  STADIAL_RETURN_IF_ERROR(colours(raw.stone, options.rules.stone));
  STADIAL_RETURN_IF_ERROR(colours(raw.sand, options.rules.sand));
  STADIAL_RETURN_IF_ERROR(colours(raw.water, options.rules.water));
  return {};
}

Result<void> ConvertResizes(const std::vector<std::string>& texts, Options& options) {
  if (texts.size() > kResizesMax) {
    return Error::Format(ErrorCode::InvalidArgument, "--resize-at: given %zu times; it takes up to %zu",
                         texts.size(), kResizesMax);
  }
  for (const std::string& text : texts) {
    STADIAL_ASSIGN_OR_RETURN(const ResizeStep step, ParseResize("--resize-at", text));
    if (step.frame >= options.frames) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "--resize-at: frame %" PRIu64 " never comes, the run has frames 0 to %" PRIu64
                           "; raise --frames",
                           step.frame, options.frames - 1);
    }
    options.resizes.push_back(step);
  }
  std::ranges::stable_sort(options.resizes, {}, &ResizeStep::frame);
  return {};
}

Result<void> CheckPictures(const Options& options) {
  std::uint64_t pixelBytes = 0;
  const std::vector<std::uint64_t> kept = PictureFrames(options);
  for (const std::uint64_t frame : kept) {
    const ImageSize size = SizeOfFrame(options, frame);
    pixelBytes += std::uint64_t{size.width} * size.height * 4;
  }
  if (pixelBytes <= kPictureBytesMax) return {};
  const std::uint64_t every = options.saveEvery * (pixelBytes / kPictureBytesMax + 1);
  return Error::Format(ErrorCode::InvalidArgument,
                       "--save-every: %zu pictures take %" PRIu64
                       " MiB, which wait in memory until the run ends; at most %" PRIu64
                       " MiB may; save every %" PRIu64 " frames or fewer pixels",
                       kept.size(), pixelBytes >> 20, kPictureBytesMax >> 20, every);
}

}  // namespace

std::vector<std::uint64_t> PictureFrames(const Options& options) {
  const std::uint64_t last = options.frames - 1;
  std::vector<std::uint64_t> frames;
  if (options.saveEvery != 0) {
    // Enough to know that it is too many; see CheckPictures.
    const std::uint64_t countMax = kPictureBytesMax / (std::uint64_t{kImageEdgeMin} * kImageEdgeMin * 4) + 1;
    for (std::uint64_t frame = 0; frame <= last && frames.size() <= countMax; frame += options.saveEvery)
      frames.push_back(frame);
  } else {
    constexpr std::uint64_t kParts = 4;
    for (std::uint64_t part = 0; part < kParts; ++part) frames.push_back(last * part / kParts);
  }
  frames.push_back(last);
  frames.erase(std::unique(frames.begin(), frames.end()), frames.end());
  return frames;
}

ImageSize SizeOfFrame(const Options& options, std::uint64_t frame) noexcept {
  ImageSize size = options.size;
  for (const ResizeStep& step : options.resizes) {
    if (step.frame <= frame) size = step.size;
  }
  return size;
}

Result<Command> ParseCommandLine(int argc, const char* const* argv) {
  Command command;
  Options& options = command.options;
  RawOptions raw;
  CLI::App app(kDescription, "sandbox");
  app.set_help_flag();  // our own, beside the other options
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.get_formatter()->column_width(28);
  app.get_formatter()->label("OPTIONS", "OPTION...");
  app.footer(kFooter);
  DescribeScene(app, options, raw);
  DescribeRun(app, options, raw);
  DescribeOutput(app, options, raw);
  if (std::string* const text = CanaryText()) {
    app.add_option("--canary", *text, "the frame that allocates on purpose (default alloc@100)")
        ->type_name("alloc@FRAME")
        ->group("Run");
  }
  app.get_option("--resize-at")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return Error::Format(ErrorCode::InvalidArgument, "%s; sandbox --help lists what there is", error.what());
  }
  if (raw.help) {
    std::fputs(app.help().c_str(), stdout);
    command.isDone = true;
    return command;
  }
  STADIAL_RETURN_IF_ERROR(Convert(raw, options));
  STADIAL_RETURN_IF_ERROR(ConvertResizes(raw.resizes, options));
  STADIAL_RETURN_IF_ERROR(CheckPictures(options));
  STADIAL_RETURN_IF_ERROR(CheckCanary());
  return command;
}

}  // namespace stadial::sandbox
