#include "stadial/runtime/frame_loop.h"

#include "frame_thread.h"
#include "stadial/arenas/virtual_memory.h"
#include "stadial/runtime/allocation_tracker.h"
#include "stadial/runtime/compile_memory.h"
#include "stadial/runtime/deferred_queue.h"
#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/event_bus.h"
#include "stadial/runtime/frame_pacing.h"
#include "stadial/runtime/phase.h"
#include "stadial/runtime/telemetry.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STADIAL_SHADOW_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STADIAL_SHADOW_MEMORY 1
#endif
#endif
#ifndef STADIAL_SHADOW_MEMORY
#define STADIAL_SHADOW_MEMORY 0
#endif

namespace stadial::runtime {

const char* WhyFaultsAreNotOurs() noexcept {
  if (STADIAL_SHADOW_MEMORY != 0) return "the sanitizer's shadow memory faults in on the same thread";
  if (arenas::ReadAddressSpaceLimits().underValgrind)
    return "valgrind's own code and tables fault in on the same thread";
  if (!MinorFaultsAvailable()) return "this system does not count them per thread";
  return nullptr;
}

Result<void> ImmediateCompletion::WaitForValue(std::uint64_t value, std::uint64_t) noexcept {
  if (value <= completed_) return {};
  return Error::Format(ErrorCode::Timeout, "value %llu was never stated by End; the last one was %llu",
                       static_cast<unsigned long long>(value), static_cast<unsigned long long>(completed_));
}

FrameLoop::FrameLoop(std::span<arenas::LaneSet> slots, PhaseMachine& phases, const Parts& parts,
                     const Options& options) noexcept
    : slots_(slots), phases_(phases), parts_(parts), source_(&immediate_), options_(options) {
  STADIAL_ASSERT_COMPARE_ALWAYS(slots.size(), >=, std::size_t{1}, "at least one frame slot");
  STADIAL_ASSERT_COMPARE_ALWAYS(slots.size(), <=, std::size_t{kFramesInFlightMax},
                                "too many frames in flight");
  STADIAL_ASSERT_ALWAYS(parts.quarantines.empty() || parts.quarantines.size() == slots.size(),
                        "one quarantine per frame slot, or none");
  if (parts_.compile != nullptr) parts_.compile->AttachTo(this);
}

Result<void> FrameLoop::CheckCanBegin() noexcept {
  if (isOpen_) {
    return Error::Format(ErrorCode::WrongPhase, "FrameLoop::Begin: frame %llu is still open; call End first",
                         static_cast<unsigned long long>(frameIndex_));
  }
  if (parts_.compile != nullptr && parts_.compile->IsCompiling()) {
    return Error::Format(ErrorCode::WrongPhase,
                         "FrameLoop::Begin: a plan is being built; seal or abandon it before frame %llu",
                         static_cast<unsigned long long>(frameIndex_));
  }
  if (phases_.Current() == Phase::Compile) {
    if (parts_.thread != nullptr) parts_.thread->SettleWorkers();
    return phases_.Transition(Phase::Frame);
  }
  return phases_.Require(Phase::Frame, "FrameLoop::Begin");
}

Result<FrameContext*> FrameLoop::Begin(std::uint64_t frameIndex) noexcept {
  if (!isOpen_) {
    if (frameIndex < frameIndex_ || frameIndex == ~std::uint64_t{0}) {
      return Error::Format(
          ErrorCode::InvalidArgument,
          "FrameLoop::Begin: frame %llu cannot follow; indices go up, the next one is %llu or "
          "above",
          static_cast<unsigned long long>(frameIndex), static_cast<unsigned long long>(frameIndex_));
    }
    frameIndex_ = frameIndex;
    slotIndex_ = static_cast<std::uint32_t>(frameIndex % FramesInFlight());
  }
  return Begin();
}

Result<FrameContext*> FrameLoop::Begin() noexcept {
  if (phases_.Current() != Phase::Frame || isOpen_ ||
      (parts_.compile != nullptr && parts_.compile->IsCompiling())) [[unlikely]] {
    STADIAL_RETURN_IF_ERROR(CheckCanBegin());
  }
  // Outside of the frame: neither its time nor the runtime's part.
  if (parts_.pacer != nullptr) pacedNs_ = parts_.pacer->Wait();
  const std::uint64_t beginNs = NowNs();
  if (parts_.thread != nullptr) parts_.thread->CountFaultsFromHere(beginNs - endNs_);
  std::uint64_t completed = source_->CompletedValue();
  std::uint64_t waitedNs = 0;
  if (slotValues_[slotIndex_] > completed) {
    ++waits_;
    const std::uint64_t waitStartNs = NowNs();
    STADIAL_RETURN_IF_ERROR(WaitForValue(slotValues_[slotIndex_], "frame slot", slotIndex_));
    completed = source_->CompletedValue();
    waitedNs = NowNs() - waitStartNs;
  }
  arenas::LaneSet& lanes = slots_[slotIndex_];
  if (TrackersListen()) [[unlikely]]
    NoteFree(AllocationSource::Arena, lanes.UsedBytes());
  if (parts_.quarantines.empty()) [[likely]] {
    lanes.ResetAll();
  } else {
    STADIAL_RETURN_IF_ERROR(parts_.quarantines[slotIndex_].RotateAndReset(lanes));
  }
  if (parts_.compile != nullptr) parts_.compile->Retire(completed);
  if (parts_.deferred != nullptr && !parts_.deferred->IsEmpty()) waitedNs += RetireDeferred(completed);
  if (parts_.events != nullptr) parts_.events->BeginFrame();
  if (parts_.fallbacks != nullptr) parts_.fallbacks->BeginFrame();
  beginNs_ = beginNs;
  context_ = {.frameIndex = frameIndex_,
              .slot = slotIndex_,
              .lane = &lanes.Lane(0),
              .lanes = &lanes,
              .completionValue = frameIndex_ + 1,
              .excludedNs = waitedNs,
              .waitedNs = waitedNs};
  isOpen_ = true;
  if (parts_.thread != nullptr) parts_.thread->Open(frameIndex_);
  return &context_;
}

// Returns how long it took: destruction is driver time, not ours.
std::uint64_t FrameLoop::RetireDeferred(std::uint64_t completed) noexcept {
  const std::uint64_t startNs = NowNs();
  parts_.deferred->Retire(completed);
  return NowNs() - startNs;
}

void FrameLoop::End(std::uint64_t completionValue) noexcept {
  STADIAL_ASSERT_ALWAYS(isOpen_, "FrameLoop::End without an open frame");
  FrameSample sample;
  if (parts_.thread != nullptr) parts_.thread->Close(sample);
  STADIAL_ASSERT_COMPARE_ALWAYS(completionValue, >=, lastStatedValue_, "completion values must not fall");
  slotValues_[slotIndex_] = completionValue;
  lastStatedValue_ = completionValue;
  immediate_.Complete(completionValue);
  if (parts_.compile != nullptr) {
    parts_.compile->OnFrameEnd(completionValue);
    sample.compiled = parts_.compile->TakeCompiled();
  }
  sample.frameIndex = frameIndex_;
  endNs_ = NowNs();
  sample.frameNs = endNs_ - beginNs_;
  sample.overheadNs = sample.frameNs > context_.excludedNs ? sample.frameNs - context_.excludedNs : 0;
  sample.beginNs = beginNs_;
  sample.pacedNs = pacedNs_;
  sample.slot = slotIndex_;
  sample.waitedNs = context_.waitedNs;
  sample.budgetDeferrals = context_.budgetDeferrals;
  if (parts_.fallbacks != nullptr) sample.fallbackAllocations = parts_.fallbacks->AllocationsThisFrame();
  if (parts_.pacer != nullptr) parts_.pacer->NoteFrame(sample.frameNs);
  if (parts_.audit != nullptr) {
    const bool wasSteady = parts_.audit->IsSteady();
    parts_.audit->Record(sample);
    const bool isFirstSteady = !wasSteady && parts_.audit->IsSteady();
    if (isFirstSteady && parts_.thread != nullptr) parts_.thread->TakeDriverBaseline();
    // Faults of the workers come to light late: those of a frame that is not judged must not fall on the
    // next.
    if ((isFirstSteady || sample.compiled) && parts_.thread != nullptr) parts_.thread->SettleWorkers();
  }
  if (parts_.telemetry != nullptr) parts_.telemetry->Publish(sample);
  if (TrackersListen()) [[unlikely]]
    NoteAllocation(AllocationSource::Arena, context_.lanes->UsedBytes());
  ++frameIndex_;
  slotIndex_ = slotIndex_ + 1 == FramesInFlight() ? 0 : slotIndex_ + 1;
  isOpen_ = false;
}

Result<void> FrameLoop::WaitForValue(std::uint64_t value, const char* what, std::uint32_t number) noexcept {
  const std::uint64_t startNs = NowNs();
  std::uint64_t waitedNs = 0;
  // A source may return early; only its completed value counts.
  while (source_->CompletedValue() < value) {
    const std::uint64_t leftNs = options_.waitDeadlineNs > waitedNs ? options_.waitDeadlineNs - waitedNs : 0;
    const Result<void> waited = source_->WaitForValue(value, leftNs);
    waitedNs = NowNs() - startNs;
    if (!waited.HasValue() && waited.GetError().Code() != ErrorCode::Timeout) return waited.GetError();
    const std::uint64_t completed = source_->CompletedValue();
    if (completed >= value) break;
    if (!waited.HasValue() || waitedNs >= options_.waitDeadlineNs) {
      return Error::Format(
          ErrorCode::Timeout,
          "%s %u is still in use at frame %llu: it waits for completion value %llu, %llu is reached "
          "after %llu ms (%s); the GPU or the submit thread has stopped, or frames really take longer "
          "than RuntimeOptions::waitDeadlineNs",
          what, number, static_cast<unsigned long long>(frameIndex_), static_cast<unsigned long long>(value),
          static_cast<unsigned long long>(completed), static_cast<unsigned long long>(waitedNs / 1'000'000),
          waited.HasValue() ? "the source returned early" : waited.GetError().Message());
    }
  }
  if (isOpen_) {
    context_.excludedNs += waitedNs;
    context_.waitedNs += waitedNs;
  }
  return {};
}

Result<void> FrameLoop::Drain() noexcept {
  STADIAL_ASSERT_ALWAYS(!isOpen_, "FrameLoop::Drain inside a frame");
  STADIAL_RETURN_IF_ERROR(WaitForValue(lastStatedValue_, "the last frame's slot",
                                       slotIndex_ == 0 ? FramesInFlight() - 1 : slotIndex_ - 1));
  if (parts_.compile != nullptr) parts_.compile->Retire(source_->CompletedValue());
  if (parts_.deferred != nullptr) parts_.deferred->Retire(source_->CompletedValue());
  return {};
}

void FrameLoop::SetCompletionSource(CompletionSource* source) noexcept {
  STADIAL_ASSERT_ALWAYS(!isOpen_, "FrameLoop::SetCompletionSource inside a frame");
  STADIAL_ASSERT_COMPARE_ALWAYS(source_->CompletedValue(), >=, lastStatedValue_,
                                "frames of the present completion source are in flight; call Drain first");
  // Values of two sources cannot be compared, and all work of this one has completed.
  if (parts_.deferred != nullptr) parts_.deferred->Flush();
  immediate_ = ImmediateCompletion();
  source_ = source != nullptr ? source : &immediate_;
  lastStatedValue_ = 0;
  for (std::uint64_t& value : slotValues_) value = 0;
  if (parts_.compile != nullptr) parts_.compile->OnDrained();
}

void FrameLoop::SuspendWitness() noexcept {
  if (isOpen_ && parts_.thread != nullptr) parts_.thread->Suspend();
}

void FrameLoop::ResumeWitness() noexcept {
  if (isOpen_ && parts_.thread != nullptr) parts_.thread->Resume();
}

}  // namespace stadial::runtime
