// An allocation trace: what a program asked of its heap, in one order, with marks where its frames end.
// Written by trace_recorder.cpp (preloaded into the program), read by trace_file.h.
//
//   | TraceHeader | TraceEvent | TraceEvent | ...
//
// Numbers are those of the machine that recorded it. Addresses are the recorded program's: they tell which
// block an event is about, and mean nothing else.
#pragma once

#include <cstdint>

namespace stadial::bench {

enum class TraceOp : std::uint8_t {
  Allocate = 1,    // address, sizeBytes, alignmentLog2
  Free = 2,        // oldAddress
  Reallocate = 3,  // oldAddress became address, of sizeBytes
  Frame = 4,       // a frame ends here
};

struct TraceEvent {
  std::uint64_t address;
  std::uint64_t oldAddress;
  std::uint64_t sizeBytes;
  std::uint32_t thread;  // counted from 0, in the order of the threads' first events
  TraceOp op;
  std::uint8_t alignmentLog2;
  std::uint16_t reserved;
};
static_assert(sizeof(TraceEvent) == 32);

inline constexpr std::uint64_t kTraceMagic = 0x3143525444545301;  // "\1STDTRC1" in memory
inline constexpr std::uint32_t kTraceVersion = 1;

struct TraceHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t eventBytes;
  std::uint64_t eventCount;    // written so far: right at any moment, also when the program is killed
  std::uint64_t eventsBeyond;  // that found no room any more
  std::uint64_t reserved[4];
};
static_assert(sizeof(TraceHeader) == 64);

}  // namespace stadial::bench
