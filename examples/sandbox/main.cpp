// The sandbox: reads the command line, runs the frames, reports. Everything that may go wrong for a user ends
// in one line on standard error and an exit code (see --help).
#include <unistd.h>

#include <cstdio>
#include <new>

#include "progress_bar.h"
#include "report.h"
#include "sandbox_app.h"
#include "sizing.h"

namespace {

using namespace stadial;
using namespace stadial::sandbox;

int SayUnable(const char* text) {
  std::fprintf(stderr, "sandbox: %s\n", text);
  return kExitUnable;
}

void WriteLog(void*, runtime::LogLevel level, const char* text,
              std::size_t lengthBytes) noexcept STADIAL_NONALLOCATING {
  char line[runtime::kLogTextBytesMax + 32];
  const int length =
      STADIAL_EFFECTS_REVIEWED("strings, into a buffer of its own",
                               std::snprintf(line, sizeof line, "sandbox: %s: %.*s\n",
                                             runtime::ToString(level), static_cast<int>(lengthBytes), text));
  if (length > 0) {
    STADIAL_EFFECTS_REVIEWED(
        "a system call that keeps nothing",
        static_cast<void>(!::write(STDERR_FILENO, line, static_cast<std::size_t>(length))));
  }
}

Result<void> ListDevices() {
  STADIAL_ASSIGN_OR_RETURN(const runtime::RuntimePtr owner,
                           runtime::Runtime::Create({.name = "sandbox", .kernelWitness = false}));
  STADIAL_ASSIGN_OR_RETURN(const gpu::Owned<gpu::Instance> instance, gpu::Instance::Create(*owner, {}));
  // Says what to install where there is none.
  if (instance->Devices().empty()) {
    const auto none = instance->SelectDevice("");
    if (!none) return none.GetError();
  }
  PrintDevices(*instance);
  return {};
}

int ExitCodeOf(runtime::AuditVerdict verdict) {
  switch (verdict) {
    case runtime::AuditVerdict::Pass:
      return kExitPass;
    case runtime::AuditVerdict::Fail:
      return kExitFail;
    case runtime::AuditVerdict::Incomplete:
      return kExitIncomplete;
  }
  return kExitUnable;
}

Result<int> RunSandbox(const Options& options) {
  STADIAL_RETURN_IF_ERROR(PrepareOutputs(options));
  STADIAL_ASSIGN_OR_RETURN(const SizingFiles sizing, ReadSizing(options));
  const bool isTerminal = ::isatty(STDERR_FILENO) == 1;
  const runtime::LogSink log{.write = &WriteLog,
                             .levelMin = isTerminal ? runtime::LogLevel::Info : runtime::LogLevel::Warning};
  STADIAL_ASSIGN_OR_RETURN(const std::unique_ptr<SandboxApp> app,
                           SandboxApp::Create(options, log, sizing.known ? &*sizing.known : nullptr));
  {
    ProgressBar bar(options.frames, isTerminal);
    STADIAL_RETURN_IF_ERROR(app->Run(
        {.onFrame = [](void* self, std::uint64_t done) { static_cast<ProgressBar*>(self)->Update(done); },
         .self = &bar}));
  }
  // Said before anything is written, so that a full disk does not swallow it.
  const runtime::AuditReport report = app->Audit();
  PrintRun(*app, report);
  STADIAL_ASSIGN_OR_RETURN(const std::vector<std::string> pictures, WritePictures(*app));
  if (!options.cellsPath.empty()) {
    STADIAL_ASSIGN_OR_RETURN(const std::span<const std::byte> cells, app->Cells());
    STADIAL_RETURN_IF_ERROR(WriteOutput(options.cellsPath, cells));
  }
  if (!options.jsonPath.empty()) {
    const std::string json = MakeJson(*app, report, pictures);
    STADIAL_RETURN_IF_ERROR(WriteOutput(options.jsonPath, std::as_bytes(std::span(json))));
  }
  const Result<void> sized = FinishSizing(*app, sizing);
  if (sized) return ExitCodeOf(report.verdict);
  if (sized.GetError().Code() != ErrorCode::CapacityExceeded) return sized.GetError();
  std::fprintf(stderr, "sandbox: %s\n", sized.GetError().Message());
  return kExitFail;
}

int Main(int argc, const char* const* argv) {
  auto command = ParseCommandLine(argc, argv);
  if (!command) return SayUnable(command.GetError().Message());
  if (command->isDone) return kExitPass;
  if (command->options.listDevices) {
    const Result<void> listed = ListDevices();
    return listed ? kExitPass : SayUnable(listed.GetError().Message());
  }
  auto code = RunSandbox(command->options);
  return code ? *code : SayUnable(code.GetError().Message());
}

}  // namespace

int main(int argc, char** argv) {
  // The libraries do not throw; the standard library's containers do when the heap is exhausted.
  try {
    return Main(argc, argv);
  } catch (const std::bad_alloc&) {
    return SayUnable(
        "out of heap memory while setting up; give it more (ulimit -v, ulimit -d) or a smaller scene or "
        "--size");
  }
}
