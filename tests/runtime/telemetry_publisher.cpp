// A program that publishes telemetry, for telemetry_process_test.cpp to look on at from another process.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "stadial/runtime/runtime.h"

using namespace stadial::runtime;

int main(int argumentCount, char** arguments) {
  if (argumentCount != 4) {
    std::fputs("usage: telemetry_publisher NAME FRAMES end|die|stay\n", stderr);
    return 2;
  }
  const unsigned long frames = std::strtoul(arguments[2], nullptr, 10);
  Result<RuntimePtr> created = Runtime::Create({.name = arguments[1],
                                                .warmupFrames = 0,
                                                .pacing = {.periodNs = 200'000, .spinNs = 0},
                                                .telemetry = {.publish = true, .recordsMax = 4096}});
  if (!created) {
    std::fprintf(stderr, "%s\n", created.GetError().Message());
    return 1;
  }
  Runtime& runtime = *created.Value();
  if (!runtime.SealSetup()) return 1;
  for (unsigned long i = 0; i < frames; ++i) {
    FrameContext* const frame = runtime.Frames().Begin().Value();
    static_cast<void>(frame->lane->Allocate(16 * (1 + frame->frameIndex % 8)));
    runtime.Frames().End(frame->completionValue);
  }
  if (std::strcmp(arguments[3], "die") == 0) ::kill(::getpid(), SIGKILL);
  if (std::strcmp(arguments[3], "stay") == 0) ::pause();
  return 0;
}
