// Runs N empty frames, for check_instructions.py to count the instructions of.
#include <cstdio>
#include <cstdlib>

#include "stadial/runtime/runtime.h"

using namespace stadial::runtime;

int main(int argumentCount, char** arguments) {
  if (argumentCount != 2) {
    std::fputs("usage: empty_frame_probe FRAMES\n", stderr);
    return 2;
  }
  const unsigned long frames = std::strtoul(arguments[1], nullptr, 10);
  // Under valgrind a frame during which the system takes the core away is long enough to be looked at for a
  // hitch, which ordinary frames are not: no frame is long here.
  Result<RuntimePtr> created =
      Runtime::Create({.kernelWitness = false, .hitches = {.absoluteNs = ~std::uint64_t{0}}});
  if (!created) {
    std::fprintf(stderr, "%s\n", created.GetError().Message());
    return 1;
  }
  Runtime& runtime = *created.Value();
  if (!runtime.SealSetup()) return 1;
  for (unsigned long i = 0; i < frames; ++i) {
    FrameContext* const frame = runtime.Frames().Begin().Value();
    runtime.Frames().End(frame->completionValue);
  }
  return runtime.Audit().Steady().heapAllocations == 0 ? 0 : 1;
}
