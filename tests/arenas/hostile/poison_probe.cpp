// One use of arena memory, right or wrong, for a tool to watch from outside: see check_poison.py. No
// GoogleTest and no streams: MemorySanitizer wants every library it meets to be instrumented.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "stadial/arenas/fixed_vector.h"
#include "stadial/arenas/frame_ptr.h"
#include "stadial/arenas/quarantine.h"
#include "stadial/arenas/region.h"

namespace {

using namespace stadial::arenas;

constexpr std::size_t kLaneBytes = 64_KiB;
constexpr std::size_t kGuards = kArenaChecks ? 64_KiB : 0;

struct World {
  Region region;
  Segment* segment;
  Arena table;
  LaneSet lanes;
};

World MakeWorld(Arena table) {
  // valgrind does not allow the default 64 GiB.
  Region region = Region::Reserve({.name = "probe", .sizeBytes = 64_MiB}).Value();
  Segment* const segment =
      region.AddSegment({.name = "frame", .sizeBytes = 4 * (kLaneBytes + kGuards)}).Value();
  if (!segment->CommitAll()) std::exit(90);
  LaneSet lanes = LaneSet::Carve({.name = "frame", .count = 1, .guardBytes = kGuards}, segment->Base(),
                                 kLaneBytes + kGuards, table)
                      .Value();
  return {std::move(region), segment, std::move(table), lanes};
}

// Reads a byte and decides by it: where the tools look.
void DecideBy(const volatile unsigned char* byte) {
  if (*byte == 0x5a) std::fputs("0x5a\n", stderr);
}

// Everything that is right: nothing may be reported.
void Clean(World& world) {
  Quarantine quarantine =
      Quarantine::Create({.windowCount = 4}, world.segment->Base(), world.segment->CommittedBytes()).Value();
  Arena& lane = world.lanes.Lane(0);
  std::size_t sum = 0;
  for (int frame = 0; frame < 12; ++frame) {
    auto* const bytes = static_cast<unsigned char*>(lane.Allocate(100, 64));
    std::memset(bytes, frame, 100);
    const auto numbers = lane.NewArray<std::uint32_t>(50);
    const FramePtr<int> object = NewFramePtr<int>(lane, frame);
    const char* const text = lane.Format("frame %d", frame);
    {
      const ArenaScope scope(lane);
      std::memset(lane.Allocate(500), 1, 500);
    }
    auto* const zeros = static_cast<unsigned char*>(lane.AllocateZeroed(300));
    FixedVector<int> vector(lane, 16);
    vector.PushBack(frame);
    sum += bytes[99] + numbers[49] + static_cast<std::size_t>(*object) + std::strlen(text) + zeros[299] +
           static_cast<std::size_t>(vector[0]);
    if (frame % 2 == 0) {
      world.lanes.ResetAll();
    } else if (!quarantine.RotateAndReset(world.lanes)) {
      std::exit(91);
    }
  }
  if (sum == 0) std::exit(92);
}

void Uninitialized(World& world) { DecideBy(static_cast<unsigned char*>(world.lanes.Lane(0).Allocate(16))); }

void Stale(World& world) {
  auto* const bytes = static_cast<unsigned char*>(world.lanes.Lane(0).Allocate(16));
  std::memset(bytes, 1, 16);
  DecideBy(bytes);
  world.lanes.ResetAll();
  DecideBy(bytes);
}

void Overrun(World& world) {
  auto* const bytes = static_cast<volatile unsigned char*>(world.lanes.Lane(0).Allocate(32));
  (void)world.lanes.Lane(0).Allocate(32);
  bytes[32] = 0xFB;  // the guard's own value: the checked level must not be what notices
  world.lanes.ResetAll();
}

alignas(64) std::byte probeTable[64 << 10];

}  // namespace

int main(int argumentCount, char** arguments) {
  const struct {
    const char* name;
    void (*run)(World&);
  } deeds[] = {{"clean", Clean}, {"uninitialized", Uninitialized}, {"stale", Stale}, {"overrun", Overrun}};
  for (const auto& deed : deeds) {
    if (argumentCount != 2 || std::strcmp(arguments[1], deed.name) != 0) continue;
    World world = MakeWorld(Arena("table", probeTable, sizeof probeTable));
    deed.run(world);
    return 0;
  }
  std::fputs("usage: poison_probe clean | uninitialized | stale | overrun\n", stderr);
  return 2;
}
