// CompileMemory: the two halves that plans live in. One holds the plan in use, mapped read-only; the next
// plan is built in the other and takes over when it is sealed. The old half is reused when the last frame
// that could have read it has completed.
//
//   Arena* memory = compile.BeginCompile().Value();   // committed, pre-faulted, writable, empty
//   ... build the plan ...
//   compile.SealCompile().Value();                    // read-only from here on; this is the plan in use
//
// How it grows: not at all; each half has a fixed size (RuntimeOptions::compileBytes). Exhaustion: the
// arena's own message. Destructors: never run. Threads: the frame thread. Pointers into a plan stay valid
// until BeginCompile is called twice after its sealing; writing through one faults. Cost: BeginCompile and
// SealCompile make VM syscalls (mprotect, pre-fault); they belong to the Compile phase or to the compile
// point of a frame, which is then not a steady one.
#pragma once

#include <cstdint>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/region.h"
#include "stadial/arenas/result.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

class FrameLoop;

class CompileMemory {
 public:
  // `guardBytes` of each half are for guards and not capacity (ArenaOptions::guardBytes).
  CompileMemory(arenas::Segment& a, arenas::Segment& b, std::size_t guardBytes = 0) noexcept;
  CompileMemory(const CompileMemory&) = delete;
  CompileMemory& operator=(const CompileMemory&) = delete;

  // Opens the half that is not in use. While frames may still read it, waits for them (the loop's deadline).
  // WrongPhase: a plan is already being built, or this frame has compiled once and is still open (both halves
  // are in use until it ends). Timeout and DeviceLost: as the completion source says. OutOfMemory: no pages.
  Result<arenas::Arena*> BeginCompile() noexcept;

  // Makes the half under construction read-only and the plan in use. WrongPhase when none is being built.
  Result<void> SealCompile() noexcept;

  // Gives up the half under construction; the plan in use stays.
  void AbandonCompile() noexcept;

  bool IsCompiling() const noexcept { return building_ != kNone; }
  bool HasPlan() const noexcept { return current_ != kNone; }
  std::uint64_t PlanGeneration() const noexcept { return generation_; }  // plans sealed so far
  arenas::Segment& Half(std::uint32_t index) noexcept { return *halves_[index].segment; }
  std::size_t PeakBytes(std::uint32_t index) const noexcept STADIAL_NONALLOCATING;
  std::size_t UsedBytes(std::uint32_t index) const noexcept { return halves_[index].arena.UsedBytes(); }

  // For FrameLoop. Frees the old half when `completedValue` allows it.
  void Retire(std::uint64_t completedValue) noexcept STADIAL_NONALLOCATING;
  // The open frame ended and is complete at `completionValue`.
  void OnFrameEnd(std::uint64_t completionValue) noexcept STADIAL_NONALLOCATING;
  // Every frame has completed, and values start anew.
  void OnDrained() noexcept;
  void AttachTo(FrameLoop* loop) noexcept { loop_ = loop; }
  // Did a compile begin since the last call?
  bool TakeCompiled() noexcept STADIAL_NONALLOCATING;

 private:
  static constexpr std::uint32_t kNone = 2;
  enum class HalfState : std::uint8_t {
    Free,
    Building,
    Current,
    RetiringOpen,  // replaced while a frame is open: its value is known when the frame ends
    Retiring,      // free when retireValue is reached
  };
  struct HalfRecord {
    arenas::Segment* segment = nullptr;
    arenas::Arena arena;
    HalfState state = HalfState::Free;
    bool committed = false;
    std::uint64_t retireValue = 0;
  };
  Result<void> WaitUntilFree(HalfRecord& half) noexcept;

  HalfRecord halves_[2];
  std::size_t guardBytes_;
  std::uint32_t building_ = kNone;
  std::uint32_t current_ = kNone;
  std::uint64_t generation_ = 0;
  bool compiled_ = false;
  FrameLoop* loop_ = nullptr;
};

}  // namespace stadial::runtime
