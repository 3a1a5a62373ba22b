// A recorded trace made ready for replay: addresses became slots of a table, blocks without an end were given
// one behind the last event (so that a trace can be replayed again and again), and of every block it is known
// whether it dies in the frame in which it was born. That is hindsight: a programmer who puts a frame's own
// blocks into the frame's arena knows it beforehand, an allocator never does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trace_format.h"

namespace stadial::bench {

struct ReplayStep {
  std::uint32_t slot = 0;
  std::uint32_t bytes = 0;     // Allocate, Reallocate: asked for
  std::uint32_t oldBytes = 0;  // Free, Reallocate: the block's size until then
  TraceOp op = TraceOp::Frame;
  std::uint8_t alignmentLog2 = 0;
  bool isOfFrame = false;  // the block, however often it is reallocated, dies in the frame of its birth
};
static_assert(sizeof(ReplayStep) == 16);

struct ReplayTrace {
  std::vector<ReplayStep> steps;
  std::uint32_t slots = 0;
  std::uint64_t operations = 0;  // steps that are no frame marks
  std::uint64_t frames = 0;
  std::uint64_t operationsOfFrames = 0;  // on blocks that die in the frame of their birth
  std::uint64_t liveBytesMax = 0;        // as asked for, of all blocks at once
  std::uint64_t frameArenaBytesMax =
      0;  // of one frame's own blocks, none of them given back, rounded and padded
  std::uint64_t longLivedRoundedMax = 0;  // of the other blocks at once, rounded, with 64 B for each
};

// Events of blocks that were there before the recording are left out.
ReplayTrace MakeReplayTrace(std::span<const TraceEvent> events);
// Empty when the file is no trace, with the reason in `why`.
std::optional<std::vector<TraceEvent>> ReadTrace(const std::string& path, std::string& why);
// A trace of a fixed seed, in the manner of a script's: for programs that run where nothing was recorded.
std::vector<TraceEvent> MakeSyntheticEvents();

struct NamedTrace {
  std::string name;
  ReplayTrace trace;
};
// "synthetic", and every FILE.trace of the folder STADIAL_BENCH_TRACES. Aborts on one that cannot be read.
std::vector<NamedTrace> LoadTraces();

}  // namespace stadial::bench
