#include "gate_stack.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <cstring>

namespace stadial::runtime::detail {
namespace {

bool ReadLink(std::uintptr_t framePointer, const StackBounds& bounds, FrameLink& link) noexcept {
  if (bounds.high != 0) {
    if (framePointer < bounds.low || framePointer > bounds.high - sizeof link) return false;
    std::memcpy(&link, reinterpret_cast<const void*>(framePointer), sizeof link);
    return true;
  }
  iovec local{&link, sizeof link};
  iovec remote{reinterpret_cast<void*>(framePointer), sizeof link};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(sizeof link);
}

struct UnwindState {
  const void** frames;
  std::uint32_t framesMax;
  std::uint32_t depth;
};

_Unwind_Reason_Code OnUnwindFrame(_Unwind_Context* context, void* argument) noexcept {
  auto& state = *static_cast<UnwindState*>(argument);
  if (state.depth == state.framesMax) return _URC_END_OF_STACK;
  const auto address = static_cast<std::uintptr_t>(_Unwind_GetIP(context));
  if (address == 0) return _URC_END_OF_STACK;
  state.frames[state.depth++] = reinterpret_cast<const void*>(address);
  return _URC_NO_REASON;
}

// Drops the gate's own frames: everything inside of `caller`.
std::uint32_t StartAt(const void* caller, const void* const* all, std::uint32_t allDepth, const void** frames,
                      std::uint32_t framesMax) noexcept {
  std::uint32_t depth = 0;
  if (framesMax == 0) return 0;
  const void* const* const end = all + allDepth;
  const void* const* at = std::find(all, end, caller);
  // Entry points without a frame of their own do not show; what the walk found are then the caller's callers.
  frames[depth++] = caller;
  at = at == end ? all : at + 1;
  for (; at != end && depth < framesMax; ++at) frames[depth++] = *at;
  return depth;
}

}  // namespace

StackBounds QueryCurrentStackBounds() noexcept {
  StackBounds bounds;
#if defined(__GLIBC__)
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return bounds;
  void* base = nullptr;
  std::size_t sizeBytes = 0;
  if (pthread_attr_getstack(&attributes, &base, &sizeBytes) == 0) {
    bounds.low = reinterpret_cast<std::uintptr_t>(base);
    bounds.high = bounds.low + sizeBytes;
  }
  pthread_attr_destroy(&attributes);
#endif
  return bounds;
}

FrameWalk WalkFrameLinks(std::uintptr_t framePointer, const StackBounds& bounds, FrameLink* links,
                         std::uint32_t framesMax) noexcept {
  constexpr std::uintptr_t kCodeAddressMin = 4096;
  FrameWalk walk;
  while (walk.depth < framesMax && framePointer != 0 && framePointer % alignof(void*) == 0) {
    FrameLink& link = links[walk.links];
    if (!ReadLink(framePointer, bounds, link)) break;
    ++walk.links;
    if (link.returnAddress < kCodeAddressMin) break;
    ++walk.depth;
    if (link.callersFrame <= framePointer) break;  // stacks grow downwards: callers lie above
    framePointer = link.callersFrame;
  }
  return walk;
}

std::uint32_t StackOfLinks(const void* caller, const FrameLink* links, std::uint32_t depth,
                           const void** frames, std::uint32_t framesMax) noexcept {
  const void* all[kGateStackDepthMax];
  const std::uint32_t allDepth = std::min(depth, kGateStackDepthMax);
  for (std::uint32_t index = 0; index < allDepth; ++index)
    all[index] = reinterpret_cast<const void*>(links[index].returnAddress);
  return StartAt(caller, all, allDepth, frames, framesMax);
}

std::uint32_t WalkFramePointers(std::uintptr_t framePointer, const void** frames, std::uint32_t framesMax,
                                UnknownBounds whenUnknown) noexcept {
  const StackBounds bounds = CurrentStackBounds(framePointer);
  if (bounds.high == 0 && whenUnknown == UnknownBounds::Stop) return 0;
  FrameLink links[kGateStackDepthMax + 1];
  const std::uint32_t depth =
      WalkFrameLinks(framePointer, bounds, links, std::min(framesMax, kGateStackDepthMax)).depth;
  for (std::uint32_t index = 0; index < depth; ++index)
    frames[index] = reinterpret_cast<const void*>(links[index].returnAddress);
  return depth;
}

[[gnu::noinline]] std::uint32_t CaptureStackFast(const void* caller, const void** frames,
                                                 std::uint32_t framesMax) noexcept {
  const void* all[kGateStackDepthMax];
  const std::uint32_t depth =
      WalkFramePointers(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)), all,
                        std::min(framesMax + 6, kGateStackDepthMax), UnknownBounds::ReadThroughKernel);
  return StartAt(caller, all, depth, frames, framesMax);
}

[[gnu::noinline]] std::uint32_t CaptureStackFull(const void* caller, const void** frames,
                                                 std::uint32_t framesMax) noexcept {
  const void* unwound[kGateStackDepthMax];
  UnwindState state{unwound, kGateStackDepthMax, 0};
  _Unwind_Backtrace(&OnUnwindFrame, &state);
  const bool hasCaller = std::find(unwound, unwound + state.depth, caller) != unwound + state.depth;
  const std::uint32_t fast = CaptureStackFast(caller, frames, framesMax);
  if (!hasCaller) return fast;
  const void* full[kGateStackDepthMax];
  const std::uint32_t depth =
      StartAt(caller, unwound, state.depth, full, std::min(framesMax, kGateStackDepthMax));
  if (depth <= fast) return fast;
  std::copy(full, full + depth, frames);
  return depth;
}

void AppendCodeAddress(GateText& text, const void* returnAddress) noexcept {
  // A return address may be the first byte after a function that ends in a call: look up the call itself.
  const auto* const call = static_cast<const char*>(returnAddress) - 1;
  Dl_info info{};
  if (dladdr(call, &info) == 0 || info.dli_fname == nullptr) {
    text.Append("(unknown module)");
    return;
  }
  const char* const slash = std::strrchr(info.dli_fname, '/');
  text.Append(slash != nullptr ? slash + 1 : info.dli_fname).Append("+");
  text.AppendHex(static_cast<std::uint64_t>(static_cast<const char*>(returnAddress) -
                                            static_cast<const char*>(info.dli_fbase)));
  if (info.dli_sname == nullptr) return;
  text.Append(" ").AppendSymbol(info.dli_sname).Append("+");
  text.AppendHex(static_cast<std::uint64_t>(static_cast<const char*>(returnAddress) -
                                            static_cast<const char*>(info.dli_saddr)));
}

void AppendStack(GateText& text, const void* const* frames, std::uint32_t depth) noexcept {
  for (std::uint32_t index = 0; index < depth; ++index) {
    text.Append("  #").AppendDecimal(index).Append(" ").AppendPointer(frames[index]).Append(" ");
    AppendCodeAddress(text, frames[index]);
    text.Append("\n");
  }
}

}  // namespace stadial::runtime::detail
