// Looks at recorded traces, and shows that the recorder tells the truth:
//
//   --finish FILE               cuts the file to what was written, and prints what it holds;
//   --self-test RECORDER FILE   runs this program under the recorder and compares the trace with what it
//                               did; a trace from which an event was taken must not pass.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trace_file.h"

namespace {

using namespace stadial::bench;

// Sizes that nothing else in a process asks for.
constexpr std::size_t kPlain = 70'001;
constexpr std::size_t kGrown = 140'003;
constexpr std::size_t kZeroed = 80'009;
constexpr std::size_t kAligned = 90'007;
constexpr std::size_t kAlignment = 4096;
constexpr std::size_t kObject = 60'013;
constexpr std::size_t kOfFrame = 50'021;

// What is recorded. The compiler must not see that the blocks are of no use.
void Act() {
  const auto escape = [](void* block) {
    asm volatile("" : : "r"(block) : "memory");
    return block;
  };
  void* plain = escape(std::malloc(kPlain));
  void* zeroed = escape(std::calloc(1, kZeroed));
  std::clock();
  void* const grown = escape(std::realloc(plain, kGrown));
  std::free(escape(std::malloc(kOfFrame)));
  void* const aligned = escape(std::aligned_alloc(kAlignment, kAligned / kAlignment * kAlignment));
  void* const object = escape(::operator new(kObject));
  std::free(zeroed);
  std::clock();
  ::operator delete(object);
  std::free(aligned);
  std::free(grown);
}

struct Expected {
  TraceOp op;
  std::size_t bytes;       // of what is taken, or of what is given back
  bool isOfFrame = false;  // as in ReplayStep
};
constexpr std::size_t kAlignedRounded = kAligned / kAlignment * kAlignment;
constexpr std::array kExpected = {Expected{TraceOp::Allocate, kPlain},
                                  Expected{TraceOp::Allocate, kZeroed},
                                  Expected{TraceOp::Frame, 0},
                                  Expected{TraceOp::Reallocate, kGrown},
                                  Expected{TraceOp::Allocate, kOfFrame, true},
                                  Expected{TraceOp::Free, kOfFrame, true},
                                  Expected{TraceOp::Allocate, kAlignedRounded},
                                  Expected{TraceOp::Allocate, kObject},
                                  Expected{TraceOp::Free, kZeroed},
                                  Expected{TraceOp::Frame, 0},
                                  Expected{TraceOp::Free, kObject},
                                  Expected{TraceOp::Free, kAlignedRounded},
                                  Expected{TraceOp::Free, kGrown}};

// Whether the steps of the trace, those of other blocks left out, are the expected ones.
bool IsAsExpected(const ReplayTrace& trace) {
  std::size_t next = 0;
  for (const ReplayStep& step : trace.steps) {
    if (next == kExpected.size()) return true;
    const std::size_t bytes = step.op == TraceOp::Free ? step.oldBytes : step.bytes;
    bool isOurs = step.op == TraceOp::Frame && next != 0;
    for (const Expected& expected : kExpected)
      isOurs = isOurs || (bytes >= kOfFrame && bytes == expected.bytes);
    if (!isOurs) continue;
    if (step.op != kExpected[next].op || bytes != kExpected[next].bytes) return false;
    if (step.isOfFrame != kExpected[next].isOfFrame) return false;
    ++next;
  }
  return next == kExpected.size();
}

std::optional<std::vector<TraceEvent>> ReadOrSay(const char* path) {
  std::string why;
  auto events = ReadTrace(path, why);
  if (!events) std::fprintf(stderr, "%s\n", why.c_str());
  return events;
}

int Finish(const char* path) {
  const auto events = ReadOrSay(path);
  if (!events) return 2;
  std::error_code error;
  std::filesystem::resize_file(path, sizeof(TraceHeader) + events->size() * sizeof(TraceEvent), error);
  if (error) {
    std::fprintf(stderr, "%s: %s\n", path, error.message().c_str());
    return 2;
  }
  const ReplayTrace trace = MakeReplayTrace(*events);
  std::printf(
      "%s: %zu events, %llu frames, %.0f %% of the operations on blocks that die in their frame, %.1f MiB "
      "live at most\n",
      path, events->size(), static_cast<unsigned long long>(trace.frames),
      100.0 * static_cast<double>(trace.operationsOfFrames) / static_cast<double>(trace.operations),
      static_cast<double>(trace.liveBytesMax) / 1048576.0);
  return 0;
}

int SelfTest(const char* program, const char* recorder, const char* path) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("LD_PRELOAD", recorder, 1);
    ::setenv("STADIAL_TRACE_FILE", path, 1);
    ::setenv("STADIAL_TRACE_EVENTS", "100000", 1);
    ::execl(program, program, "--act", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) {
    std::fprintf(stderr, "the recorded program did not run to its end (status %d)\n", status);
    return 1;
  }
  auto events = ReadOrSay(path);
  if (!events) return 1;
  if (!IsAsExpected(MakeReplayTrace(*events))) {
    std::fprintf(stderr, "%s: the trace is not what the program did\n", path);
    return 1;
  }
  for (std::size_t index = 0; index < events->size(); ++index) {
    if ((*events)[index].sizeBytes != kGrown) continue;
    events->erase(events->begin() + static_cast<std::ptrdiff_t>(index));
    break;
  }
  if (IsAsExpected(MakeReplayTrace(*events))) {
    std::fprintf(stderr, "a trace without the realloc passes too: the comparison sees nothing\n");
    return 1;
  }
  std::printf("the trace is what the program did\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--act") == 0) {
    Act();
    return 0;
  }
  if (argc == 3 && std::strcmp(argv[1], "--finish") == 0) return Finish(argv[2]);
  if (argc == 4 && std::strcmp(argv[1], "--self-test") == 0) return SelfTest(argv[0], argv[2], argv[3]);
  std::fprintf(stderr, "usage: %s --finish FILE | --self-test RECORDER FILE\n", argv[0]);
  return 2;
}
