// Runs one hot path N times, for check_instructions.py to count the instructions of.
#include <cstddef>

#include "../../instruction_probe.h"
#include "stadial/arenas/arena.h"
#include "stadial/arenas/arena_cursor.h"
#include "stadial/arenas/frame_ptr.h"
#include "stadial/arenas/lanes.h"

namespace {

using namespace stadial::arenas;

// The most a path may take: 9,999 times 256 bytes and what alignments skip.
alignas(4096) std::byte probeMemory[4 << 20];
alignas(64) std::byte probeTable[4096];

// The value is used and may have been changed: nothing before or after it is folded away.
template <class T>
[[gnu::always_inline]] inline T* Used(T* pointer) {
  asm volatile("" : "+r"(pointer) : : "memory");
  return pointer;
}
[[gnu::always_inline]] inline std::size_t Hidden(std::size_t value) {
  asm volatile("" : "+r"(value));
  return value;
}

struct Particle {
  float position[3];
  float age;
};

// Each path is a function of its own, so that the others do not change how it is compiled.
#define STADIAL_PATH [[gnu::noinline]] void

STADIAL_PATH AllocateConstant(Arena& arena, std::size_t count) {
  for (; count != 0; --count) Used(arena.Allocate(64));
}
STADIAL_PATH TryAllocateConstant(Arena& arena, std::size_t count) {
  for (; count != 0; --count) {
    void* const memory = arena.TryAllocate(64);
    if (memory == nullptr) std::abort();
    Used(memory);
  }
}
STADIAL_PATH CursorAllocateConstant(Arena& arena, std::size_t count) {
  ArenaCursor cursor(arena);
  for (; count != 0; --count) Used(cursor.Allocate(64));
}
STADIAL_PATH AllocateRuntimeSize(Arena& arena, std::size_t count) {
  const std::size_t size = Hidden(40);
  for (; count != 0; --count) Used(arena.Allocate(Hidden(size)));
}
STADIAL_PATH AllocateRuntimeSizeAndAlignment(Arena& arena, std::size_t count) {
  const std::size_t size = Hidden(40);
  const std::size_t alignment = Hidden(64);
  for (; count != 0; --count) Used(arena.Allocate(Hidden(size), Hidden(alignment)));
}
STADIAL_PATH NewObject(Arena& arena, std::size_t count) {
  for (; count != 0; --count) Used(arena.New<Particle>(Particle{{1, 2, 3}, 4}));
}
STADIAL_PATH MarkAndRewind(Arena& arena, std::size_t count) {
  for (; count != 0; --count) {
    const ArenaScope scope(arena);
    Used(arena.Allocate(64));
  }
}
STADIAL_PATH ResetArena(Arena& arena, std::size_t count) {
  for (; count != 0; --count) {
    Used(arena.Allocate(64));
    arena.Reset();
  }
}
STADIAL_PATH FramePtrUse(Arena& arena, std::size_t count) {
  FramePtr<int> pointer = NewFramePtr<int>(arena, 1);
  for (; count != 0; --count) *Used(&pointer)->Get() += 1;
}
STADIAL_PATH LanesReset(Arena& arena, std::size_t count) {
  Arena table("table", probeTable, sizeof probeTable);
  const LaneSet lanes = LaneSet::Carve("frame", arena.Base(), 64 << 10, 4, table).Value();
  for (; count != 0; --count) {
    lanes.ResetAll();
    asm volatile("" : : : "memory");
  }
}

constexpr struct {
  const char* name;
  void (*run)(Arena&, std::size_t);
} kPaths[] = {
    {"allocate_constant", AllocateConstant},
    {"try_allocate_constant", TryAllocateConstant},
    {"cursor_allocate_constant", CursorAllocateConstant},
    {"allocate_runtime_size", AllocateRuntimeSize},
    {"allocate_runtime_size_and_alignment", AllocateRuntimeSizeAndAlignment},
    {"new_object", NewObject},
    {"scope_of_one_allocation", MarkAndRewind},
    {"allocate_and_reset", ResetArena},
    {"frame_ptr_use", FramePtrUse},
    {"reset_of_4_lanes", LanesReset},
};

}  // namespace

int main(int argumentCount, char** arguments) {
  return stadial::tests::RunProbe(argumentCount, arguments, kPaths, [](const auto& path, std::size_t count) {
    Arena arena("probe", probeMemory, sizeof probeMemory);
    path.run(arena, count);
  });
}
