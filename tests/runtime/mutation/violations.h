// One function for each kind of violation: what somebody might write into a frame. They are compiled as they
// stand by every layer of the gate: into the program that runs them, by the compiler that checks their
// effects, and into the object whose calls are walked.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/arena.h"
#include "stadial/runtime/event.h"

// clang warns of every effect that it has not seen in a declaration; a definition repeats it.
#define VIOLATION(Name) void Name() noexcept STADIAL_NONALLOCATING

namespace stadial::mutation {

inline constexpr std::size_t kLaneBytes = 1000;

// What a violation needs and finds ready, made outside of the frame.
struct Prepared {
  void* block = nullptr;                         // from malloc, 200 B of at least 256
  volatile char* freshPage = nullptr;            // mapped, never touched
  volatile char* usedPages = nullptr;            // mapped and touched, two
  void* (*deepAllocate)(std::size_t) = nullptr;  // of a library that was loaded with RTLD_DEEPBIND
  void (*deepFree)(void*) = nullptr;
  arenas::Arena* lane = nullptr;  // the frame's
  volatile bool isRare = false;   // never true
};
extern Prepared prepared;

// The control.
VIOLATION(UseTheLane);

VIOLATION(SmallMalloc);
VIOLATION(LargeMalloc);
VIOLATION(Calloc);
VIOLATION(ReallocInPlace);
VIOLATION(PosixMemalign);
VIOLATION(Strdup);
VIOLATION(FreeOnly);
VIOLATION(DeleteOnly);
VIOLATION(NewInALibrary);
VIOLATION(AlignedNew);
VIOLATION(NothrowNew);
VIOLATION(VectorGrowth);
VIOLATION(FunctionWithCaptures);
VIOLATION(Throw);
VIOLATION(StableSort);
VIOLATION(Qsort);
VIOLATION(Localtime);
VIOLATION(FilesystemExists);
VIOLATION(FirstThreadLocal);
VIOLATION(ThreadStart);
VIOLATION(OpenLibrary);
VIOLATION(DeepboundLibrary);
VIOLATION(InADestructor);
VIOLATION(FreshPage);
VIOLATION(PageGivenBack);
VIOLATION(FreshStack);
VIOLATION(RawMmap);
VIOLATION(MmapBySyscallInstruction);
VIOLATION(ProgramBreak);
VIOLATION(OnAPathNotTaken);
VIOLATION(ExcusedByAReview);

// What is called back.
void* InADriverCallback(void* self, std::size_t size) noexcept STADIAL_NONALLOCATING;
void InAHandler(void* self, const runtime::Event& event) noexcept STADIAL_NONALLOCATING;
void InATask() noexcept STADIAL_NONALLOCATING;
void InADeferredDestruction(void* device, std::uint64_t handle) noexcept STADIAL_NONALLOCATING;

}  // namespace stadial::mutation
