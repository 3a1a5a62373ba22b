// SubmitThread: the pump. One thread, registered with role Submit, that makes every driver call while frames
// run. The frame thread pushes requests into a single-producer ring and otherwise blocks only on an atomic.
//
// Why: drivers allocate in blocking waits and now and then in submits (NVIDIA 580 does), which must not
// happen on a frame thread; and the validation layer deadlocks when one thread waits while another submits.
//
// How it works: submits go to vkQueueSubmit2 in order, each signalling the frame timeline with its value; the
// counter is polled after every submit and while the pump lingers; vkWaitSemaphores is called only while
// somebody waits for a value that was submitted, in slices of `waitSliceNs`, so that a new request or a stop
// is seen between slices. After its last work the pump lingers for `lingerNs` (polling, on its core) before
// it sleeps; a push to a lingering pump costs no system call, a push to a sleeping one costs one futex wake.
//
// Errors: the first failed driver call makes the pump refuse all further work; Submit and every wait return
// that error. A wait that runs out returns Timeout and nothing else changes: the caller may wait again or
// give up. Thread rules: Submit, RunOnce, Invalidate from one thread at a time (the producer); WaitForValue
// and CompletedValue from any thread. Cost: Submit about 20 ns to a lingering pump; no allocation anywhere
// after Start.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "stadial/arenas/effects.h"
#include "stadial/arenas/spsc_ring.h"
#include "stadial/gpu/device.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/gpu/owned.h"
#include "stadial/runtime/frame_loop.h"

namespace stadial::gpu {

struct SubmitThreadOptions {
  std::uint32_t requestsMax = 64;             // ring capacity: at least 2 x frames in flight
  std::uint64_t waitSliceNs = 20'000'000;     // one vkWaitSemaphores; also the longest reaction to Stop
  std::uint64_t lingerNs = 50'000;            // 0: sleep at once
  std::uint64_t deadlineNs = 10'000'000'000;  // of Drain, RunOnce, Invalidate and Stop
};

struct SubmitThreadStats {
  std::uint64_t submits = 0;
  std::uint64_t waits = 0;   // vkWaitSemaphores calls
  std::uint64_t polls = 0;   // vkGetSemaphoreCounterValue calls
  std::uint64_t wakes = 0;   // futex wakes the producer had to make
  std::uint64_t sleeps = 0;  // times the pump went to sleep
};

class SubmitThread final : public runtime::CompletionSource {
 public:
  // Setup phase. Starts the thread and returns when it is registered.
  static Result<Owned<SubmitThread>> Start(Device& device, const SubmitThreadOptions& options) noexcept;

  SubmitThread(Device& device, const SubmitThreadOptions& options, arenas::Arena& memory) noexcept;
  ~SubmitThread() override;  // Stop()
  SubmitThread(const SubmitThread&) = delete;
  SubmitThread& operator=(const SubmitThread&) = delete;

  // Submits up to two command buffers (`second`, or both, may be null) in one batch that signals `value` when
  // done. Values must grow. Never waits. Errors: CapacityExceeded (ring full), InvalidArgument (value not
  // above the last), or the pump's error.
  Result<void> Submit(VkCommandBuffer first, VkCommandBuffer second,
                      std::uint64_t value) noexcept STADIAL_NONALLOCATING;

  // CompletionSource: the last value known to be complete, without any driver call. One atomic load.
  std::uint64_t CompletedValue() noexcept override { return completed_.load(std::memory_order_acquire); }
  // Returns when `value` is complete. Errors: Timeout (naming value, completed and last submitted), or the
  // pump's error.
  Result<void> WaitForValue(std::uint64_t value, std::uint64_t timeoutNs) noexcept override;
  std::uint64_t SubmittedValue() const noexcept { return submitted_.load(std::memory_order_acquire); }
  // Waits for everything submitted so far.
  Result<void> Drain() noexcept;

  // Setup and Compile: submits `commands` on its own timeline and waits until it is done.
  Result<void> RunOnce(VkCommandBuffer commands) noexcept;
  // GpuMemory::Invalidate on the pump: for reading back non-coherent memory in a frame. Returns when done.
  Result<void> Invalidate(GpuMemory& memory, const Buffer& buffer) noexcept STADIAL_NONALLOCATING;

  // Drains with the deadline, ends and joins the thread. Idempotent. When draining fails the device is
  // quarantined.
  Result<void> Stop() noexcept;

  SubmitThreadStats Stats() const noexcept;
  Device& GetDevice() const noexcept { return device_; }

 private:
  enum class RequestKind : std::uint32_t { Submit, RunOnce, Invalidate };
  struct Request {
    RequestKind kind = RequestKind::Submit;
    VkCommandBuffer first = VK_NULL_HANDLE;
    VkCommandBuffer second = VK_NULL_HANDLE;
    std::uint64_t value = 0;  // on the frame timeline for Submit, on the side timeline otherwise
    GpuMemory* memory = nullptr;
    const Buffer* buffer = nullptr;
  };

  // The producer's and the waiters' side.
  Result<void> Initialize() noexcept;
  Result<void> Push(const Request& request) noexcept;
  Result<void> PushSide(Request request, const char* what) noexcept;
  Error CurrentError() const noexcept { return error_; }
  void WakePump() noexcept;

  // The pump's side.
  static void* ThreadMain(void* self) noexcept;
  void Run() noexcept;
  bool ServeRequests() noexcept;  // true when it did something
  void ServeSubmit(const Request& request) noexcept;
  void ServeRunOnce(const Request& request) noexcept;
  void ServeInvalidate(const Request& request) noexcept;
  bool HandOver(const Request& request, VkSemaphore timeline) noexcept;
  void Poll() noexcept;
  bool IsSomebodyWaiting() const noexcept;
  void WaitSlice() noexcept;
  void Sleep() noexcept;
  void PublishProgress() noexcept;
  void Fail(const Error& error) noexcept;

  Device& device_;
  SubmitThreadOptions options_;
  VkSemaphore timeline_ = VK_NULL_HANDLE;      // frames
  VkSemaphore sideTimeline_ = VK_NULL_HANDLE;  // RunOnce
  arenas::SpscRing<Request> ring_;
  pthread_t thread_{};
  bool running_ = false;
  Error error_;  // written once, before failed_ is set

  // Written by the producer.
  alignas(64) std::atomic<std::uint64_t> submitted_{0};
  std::uint64_t sideRequested_ = 0;
  std::atomic<std::uint64_t> wakes_{0};
  // Written by waiters.
  alignas(64) std::atomic<std::uint64_t> wanted_{0};
  std::atomic<std::uint32_t> waiters_{0};
  std::atomic<bool> stop_{false};
  // Written by the pump.
  alignas(64) std::atomic<std::uint64_t> completed_{0};
  std::atomic<std::uint64_t> sideCompleted_{0};
  std::atomic<std::uint32_t> progress_{
      0};  // waiters sleep on it; changes whenever one of them might be satisfied
  std::atomic<bool> failed_{false};
  std::uint64_t handed_ = 0;  // last value given to vkQueueSubmit2; read by others only after the join
  std::uint64_t sideHanded_ = 0;
  std::atomic<std::uint64_t> submits_{0}, waits_{0}, polls_{0}, sleeps_{0};
  // Written by both, rarely: 1 while the pump sleeps on it or is about to.
  alignas(64) std::atomic<std::uint32_t> asleep_{0};
};

}  // namespace stadial::gpu
