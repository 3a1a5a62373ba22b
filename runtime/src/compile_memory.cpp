#include "stadial/runtime/compile_memory.h"
#include "stadial/runtime/allocation_tracker.h"

#include "stadial/runtime/frame_loop.h"

namespace stadial::runtime {
namespace {

// Keeps the frame's witness out of the VM syscalls that opening and sealing a half consist of.
class WitnessPause {
 public:
  explicit WitnessPause(FrameLoop* loop) noexcept : loop_(loop) {
    if (loop_ != nullptr) loop_->SuspendWitness();
  }
  ~WitnessPause() {
    if (loop_ != nullptr) loop_->ResumeWitness();
  }
  WitnessPause(const WitnessPause&) = delete;
  WitnessPause& operator=(const WitnessPause&) = delete;

 private:
  FrameLoop* loop_;
};

}  // namespace

CompileMemory::CompileMemory(arenas::Segment& a, arenas::Segment& b, std::size_t guardBytes) noexcept
    : guardBytes_(guardBytes) {
  halves_[0].segment = &a;
  halves_[1].segment = &b;
}

Result<arenas::Arena*> CompileMemory::BeginCompile() noexcept {
  if (building_ != kNone) {
    return Error::Format(ErrorCode::WrongPhase,
                         "BeginCompile: a plan is being built in '%s'; seal or abandon it first",
                         halves_[building_].segment->Name());
  }
  const std::uint32_t index = current_ == 0 ? 1 : 0;
  HalfRecord& half = halves_[index];
  if (half.state == HalfState::RetiringOpen) {
    return Error::Format(
        ErrorCode::WrongPhase,
        "BeginCompile: frame %llu has compiled once and is still open, so both plans are in use; "
        "compile once a frame",
        static_cast<unsigned long long>(loop_->FrameIndex()));
  }
  if (half.state == HalfState::Retiring) STADIAL_RETURN_IF_ERROR(WaitUntilFree(half));
  {
    const WitnessPause pause(loop_);
    if (half.committed) {
      STADIAL_RETURN_IF_ERROR(half.segment->Protect(arenas::PageAccess::ReadWrite));
      NoteFree(AllocationSource::Arena, half.arena.UsedBytes());
      half.arena.Reset();
    } else {
      STADIAL_RETURN_IF_ERROR(half.segment->CommitAll());
      half.arena = half.segment->MakeArena({.name = half.segment->Name(),
                                            .kind = "compile",
                                            .remedy = "raise RuntimeOptions::compileBytes",
                                            .guardBytes = guardBytes_},
                                           0, half.segment->CommittedBytes());
      half.committed = true;
    }
  }
  half.state = HalfState::Building;
  building_ = index;
  compiled_ = true;
  return &half.arena;
}

Result<void> CompileMemory::WaitUntilFree(HalfRecord& half) noexcept {
  if (loop_ != nullptr) {
    STADIAL_RETURN_IF_ERROR(
        loop_->WaitForValue(half.retireValue, "compile half", half.segment == halves_[0].segment ? 0 : 1));
  }
  half.state = HalfState::Free;
  return {};
}

Result<void> CompileMemory::SealCompile() noexcept {
  if (building_ == kNone) {
    return Error::Format(ErrorCode::WrongPhase,
                         "SealCompile: no plan is being built; call BeginCompile first");
  }
  HalfRecord& half = halves_[building_];
  half.arena.CheckGuards();
  {
    const WitnessPause pause(loop_);
    STADIAL_RETURN_IF_ERROR(half.segment->Protect(arenas::PageAccess::ReadOnly));
  }
  if (current_ != kNone) {
    HalfRecord& old = halves_[current_];
    const bool isFrameOpen = loop_ != nullptr && loop_->IsFrameOpen();
    old.state = isFrameOpen ? HalfState::RetiringOpen : HalfState::Retiring;
    old.retireValue = loop_ != nullptr ? loop_->LastStatedValue() : 0;
  }
  NoteAllocation(AllocationSource::Arena, half.arena.UsedBytes());
  half.state = HalfState::Current;
  current_ = building_;
  building_ = kNone;
  ++generation_;
  return {};
}

void CompileMemory::AbandonCompile() noexcept {
  if (building_ == kNone) return;
  halves_[building_].arena.Reset();
  halves_[building_].state = HalfState::Free;
  building_ = kNone;
}

std::size_t CompileMemory::PeakBytes(std::uint32_t index) const noexcept {
  return halves_[index].arena.PeakBytes();
}

void CompileMemory::Retire(std::uint64_t completedValue) noexcept {
  for (HalfRecord& half : halves_) {
    if (half.state == HalfState::Retiring && half.retireValue <= completedValue) half.state = HalfState::Free;
  }
}

void CompileMemory::OnFrameEnd(std::uint64_t completionValue) noexcept {
  for (HalfRecord& half : halves_) {
    if (half.state != HalfState::RetiringOpen) continue;
    half.state = HalfState::Retiring;
    half.retireValue = completionValue;
  }
}

void CompileMemory::OnDrained() noexcept {
  for (HalfRecord& half : halves_) {
    if (half.state == HalfState::Retiring) half.state = HalfState::Free;
  }
}

bool CompileMemory::TakeCompiled() noexcept {
  const bool compiled = compiled_;
  compiled_ = false;
  return compiled;
}

}  // namespace stadial::runtime
