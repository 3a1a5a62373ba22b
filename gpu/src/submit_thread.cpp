#include "stadial/gpu/submit_thread.h"

#include <sched.h>

#include <algorithm>

#include "driver_call.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/kernel_witness.h"
#include "stadial/runtime/runtime.h"
#include "stadial/runtime/wait_on_word.h"

namespace stadial::gpu {

using runtime::kNoDeadline;
using runtime::WaitOnWord;
using runtime::WakeWord;

namespace {

// A waiter looks up from its sleep this often and repeats its wish, so that no lost wish can hold it for
// long.
constexpr std::uint64_t kWaiterSliceNs = 50'000'000;
constexpr std::uint32_t kPausesPerPoll = 64;  // about 2 us between two looks of a lingering pump

unsigned long long Print(std::uint64_t value) noexcept { return value; }

void PauseProcessor() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Result<Owned<SubmitThread>> SubmitThread::Start(Device& device, const SubmitThreadOptions& options) noexcept {
  runtime::Runtime& runtime = device.GetRuntime();
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "gpu::SubmitThread::Start"));
  STADIAL_ASSIGN_OR_RETURN(Owned<SubmitThread> thread,
                           MakeOwned<SubmitThread>(runtime.SetupArena(), "gpu::SubmitThread", device, options,
                                                   runtime.SetupArena()));
  STADIAL_RETURN_IF_ERROR(thread->Initialize());
  return thread;
}

SubmitThread::SubmitThread(Device& device, const SubmitThreadOptions& options, arenas::Arena& memory) noexcept
    : device_(device),
      options_(options),
      ring_(memory, options.requestsMax),
      error_(Error::Format(ErrorCode::Driver, "the submit thread has not failed")) {}

SubmitThread::~SubmitThread() {
  if (auto stopped = Stop(); !stopped) {
    device_.GetRuntime().Options().log.Format(runtime::LogLevel::Error, "%s", stopped.GetError().Message());
  }
  if (device_.IsQuarantined()) return;
  const VolkDeviceTable& table = device_.Table();
  STADIAL_DRIVER_CALL(table, vkDestroySemaphore, device_.Handle(), sideTimeline_, device_.Callbacks());
  STADIAL_DRIVER_CALL(table, vkDestroySemaphore, device_.Handle(), timeline_, device_.Callbacks());
}

Result<void> SubmitThread::Initialize() noexcept {
  VkSemaphoreTypeCreateInfo type{};
  type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
  info.pNext = &type;
  for (VkSemaphore* semaphore : {&timeline_, &sideTimeline_}) {
    const VkResult result = STADIAL_DRIVER_CALL(device_.Table(), vkCreateSemaphore, device_.Handle(), &info,
                                                device_.Callbacks(), semaphore);
    if (result != VK_SUCCESS) {
      *semaphore = VK_NULL_HANDLE;
      return DriverError(result, "vkCreateSemaphore", "a timeline semaphore on device '%s'", device_.Name());
    }
  }
  device_.SetName(VK_OBJECT_TYPE_SEMAPHORE, HandleBits(timeline_), "frame timeline");
  device_.SetName(VK_OBJECT_TYPE_SEMAPHORE, HandleBits(sideTimeline_), "side timeline");
  const int failure = ::pthread_create(&thread_, nullptr, &ThreadMain, this);
  if (failure != 0) {
    return Error::Format(ErrorCode::OutOfMemory,
                         "the GPU submit thread could not be started (pthread_create: error %d); look at the "
                         "limits on threads "
                         "(ulimit -u) and memory",
                         failure);
  }
  running_ = true;
  // The pump is registered once it has gone through its first loop; registering may allocate, so not later.
  const std::uint64_t deadline = runtime::NowNs() + options_.deadlineNs;
  while (progress_.load(std::memory_order_acquire) == 0 && runtime::NowNs() < deadline)
    WaitOnWord(progress_, 0, deadline);
  return {};
}

Result<void> SubmitThread::Push(const Request& request) noexcept {
  if (failed_.load(std::memory_order_acquire)) [[unlikely]]
    return CurrentError();
  if (!running_ || !ring_.TryPush(request)) [[unlikely]] {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "the submit thread takes no more: %zu of %zu requests are waiting; raise "
                         "SubmitThreadOptions::requestsMax "
                         "(at least 2 x frames in flight)",
                         ring_.Size(), running_ ? ring_.Capacity() : std::size_t{0});
  }
  WakePump();
  return {};
}

// The exchange orders the push before it against the pump's exchange in Sleep: one of the two sees the other.
void SubmitThread::WakePump() noexcept {
  if (asleep_.exchange(0, std::memory_order_acq_rel) == 0) [[likely]]
    return;
  wakes_.fetch_add(1, std::memory_order_relaxed);
  // The one system call of a frame: not by way of the kernel witness's signal.
  const runtime::WitnessExemption exempt;
  WakeWord(asleep_);
}

Result<void> SubmitThread::Submit(VkCommandBuffer first, VkCommandBuffer second,
                                  std::uint64_t value) noexcept {
  const std::uint64_t last = submitted_.load(std::memory_order_relaxed);
  if (value <= last) [[unlikely]] {
    return Error::Format(ErrorCode::InvalidArgument,
                         "submit with value %llu after value %llu: values must grow", Print(value),
                         Print(last));
  }
  Request request;
  request.first = first;
  request.second = second;
  request.value = value;
  STADIAL_RETURN_IF_ERROR(Push(request));
  submitted_.store(value, std::memory_order_release);
  return {};
}

Result<void> SubmitThread::WaitForValue(std::uint64_t value, std::uint64_t timeoutNs) noexcept {
  if (CompletedValue() >= value) [[likely]]
    return {};
  const std::uint64_t now = runtime::NowNs();
  const std::uint64_t deadline = timeoutNs > kNoDeadline - 1 - now ? kNoDeadline - 1 : now + timeoutNs;
  waiters_.fetch_add(1);
  bool timedOut = false;
  for (;;) {
    std::uint64_t wanted = wanted_.load();
    while (wanted < value && !wanted_.compare_exchange_weak(wanted, value)) {
    }
    const std::uint32_t seen = progress_.load();
    if (CompletedValue() >= value || failed_.load(std::memory_order_acquire)) break;
    const std::uint64_t moment = runtime::NowNs();
    if (moment >= deadline) {
      timedOut = true;
      break;
    }
    WakePump();
    WaitOnWord(progress_, seen, std::min(deadline, moment + kWaiterSliceNs));
  }
  // A wish that ran out is withdrawn, so that the pump does not go on waiting for it; another waiter's is
  // repeated by him.
  std::uint64_t mine = value;
  if (waiters_.fetch_sub(1) == 1 && timedOut) wanted_.compare_exchange_strong(mine, 0);
  if (CompletedValue() >= value) return {};
  if (!timedOut) return CurrentError();
  const std::uint64_t submitted = SubmittedValue();
  return Error::Format(ErrorCode::Timeout,
                       "GPU value %llu was not reached within %.3f s on device '%s': %llu is complete, %llu "
                       "is the last submitted%s",
                       Print(value), static_cast<double>(timeoutNs) * 1e-9, device_.Name(),
                       Print(CompletedValue()), Print(submitted),
                       value > submitted ? "; it was never submitted"
                                         : "; the device hangs or needs longer: raise the deadline");
}

Result<void> SubmitThread::Drain() noexcept { return WaitForValue(SubmittedValue(), options_.deadlineNs); }

Result<void> SubmitThread::PushSide(Request request, const char* what) noexcept {
  request.value = ++sideRequested_;
  STADIAL_RETURN_IF_ERROR(Push(request));
  // The pump itself gives up after the same time; the margin lets its better message arrive first.
  const std::uint64_t deadline = runtime::NowNs() + options_.deadlineNs + options_.deadlineNs / 2;
  waiters_.fetch_add(1);
  for (;;) {
    const std::uint32_t seen = progress_.load();
    if (sideCompleted_.load(std::memory_order_acquire) >= request.value) break;
    if (failed_.load(std::memory_order_acquire) || runtime::NowNs() >= deadline) break;
    WaitOnWord(progress_, seen, deadline);
  }
  waiters_.fetch_sub(1);
  if (sideCompleted_.load(std::memory_order_acquire) >= request.value) return {};
  if (failed_.load(std::memory_order_acquire)) return CurrentError();
  return Error::Format(ErrorCode::Timeout, "%s did not finish within %.3f s on device '%s'", what,
                       static_cast<double>(options_.deadlineNs) * 1.5e-9, device_.Name());
}

Result<void> SubmitThread::RunOnce(VkCommandBuffer commands) noexcept {
  Request request;
  request.kind = RequestKind::RunOnce;
  request.first = commands;
  return PushSide(request, "a one-time submit");
}

Result<void> SubmitThread::Invalidate(GpuMemory& memory, const Buffer& buffer) noexcept {
  if (buffer.coherent) return {};
  Request request;
  request.kind = RequestKind::Invalidate;
  request.memory = &memory;
  request.buffer = &buffer;
  return PushSide(request, "invalidating a readback buffer");
}

Result<void> SubmitThread::Stop() noexcept {
  if (!running_) return {};
  Result<void> drained = Drain();
  stop_.store(true, std::memory_order_release);
  WakePump();
  ::pthread_join(thread_, nullptr);
  running_ = false;
  if (drained) return {};
  // The pump failed or ran out of time. What it handed over before may still be running.
  const VkSemaphore semaphores[] = {timeline_, sideTimeline_};
  const std::uint64_t values[] = {handed_, sideHanded_};
  VkSemaphoreWaitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  info.semaphoreCount = 2;
  info.pSemaphores = semaphores;
  info.pValues = values;
  const bool lost = drained.GetError().Code() == ErrorCode::DeviceLost;
  if (lost || STADIAL_DRIVER_CALL(device_.Table(), vkWaitSemaphores, device_.Handle(), &info,
                                  options_.deadlineNs) != VK_SUCCESS) {
    device_.Quarantine(drained.GetError().Message());
  }
  return drained.GetError();
}

SubmitThreadStats SubmitThread::Stats() const noexcept {
  SubmitThreadStats stats;
  stats.submits = submits_.load(std::memory_order_relaxed);
  stats.waits = waits_.load(std::memory_order_relaxed);
  stats.polls = polls_.load(std::memory_order_relaxed);
  stats.wakes = wakes_.load(std::memory_order_relaxed);
  stats.sleeps = sleeps_.load(std::memory_order_relaxed);
  return stats;
}

void* SubmitThread::ThreadMain(void* self) noexcept {
  static_cast<SubmitThread*>(self)->Run();
  return nullptr;
}

void SubmitThread::Run() noexcept {
  const runtime::ThreadRegistration registration(runtime::ThreadRole::Submit, "gpu submit");
  runtime::Runtime& runtime = device_.GetRuntime();
  PublishProgress();
  std::uint64_t lingerUntil = 0;
  for (;;) {
    // What the pump's own code does; inside driver calls the gate counts.
    const runtime::Phase phase = runtime.Phases().Current();
    const runtime::GateRule& rule = runtime.Options().gate.Of(runtime::GateRole::Submit, phase);
    const runtime::GateScope gate(rule.allocate, rule.free, phase, "gpu submit thread");
    if (ServeRequests()) {
      lingerUntil = runtime::NowNs() + options_.lingerNs;
    } else if (stop_.load(std::memory_order_acquire)) {
      return;
    } else if (IsSomebodyWaiting()) {
      WaitSlice();
      lingerUntil = runtime::NowNs() + options_.lingerNs;
    } else if (runtime::NowNs() < lingerUntil) {
      if (completed_.load(std::memory_order_relaxed) < handed_) Poll();
      for (std::uint32_t i = 0; i < kPausesPerPoll && ring_.Size() == 0; ++i) PauseProcessor();
      // The frame thread that this pump has just woken often stands in line for this very core (software
      // drivers keep all of them busy): spinning on would hold it up until the pump sleeps, and its submit
      // would then have to wake it.
      if (ring_.Size() == 0) ::sched_yield();
    } else {
      Sleep();
    }
  }
}

bool SubmitThread::ServeRequests() noexcept {
  bool served = false;
  for (const Request* request = ring_.Front(); request != nullptr; request = ring_.Front()) {
    if (!failed_.load(std::memory_order_relaxed)) {
      switch (request->kind) {
        case RequestKind::Submit:
          ServeSubmit(*request);
          break;
        case RequestKind::RunOnce:
          ServeRunOnce(*request);
          break;
        case RequestKind::Invalidate:
          ServeInvalidate(*request);
          break;
      }
    }
    ring_.Drop();
    served = true;
  }
  return served;
}

bool SubmitThread::HandOver(const Request& request, VkSemaphore timeline) noexcept {
  VkCommandBufferSubmitInfo commands[2]{};
  commands[0].sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO;
  commands[0].commandBuffer = request.first;
  commands[1].sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO;
  commands[1].commandBuffer = request.second;
  VkSemaphoreSubmitInfo signal{};
  signal.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO;
  signal.semaphore = timeline;
  signal.value = request.value;
  signal.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
  VkSubmitInfo2 info{};
  info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2;
  info.commandBufferInfoCount = request.first == VK_NULL_HANDLE    ? 0
                                : request.second == VK_NULL_HANDLE ? 1
                                                                   : 2;
  info.pCommandBufferInfos = commands;
  info.signalSemaphoreInfoCount = 1;
  info.pSignalSemaphoreInfos = &signal;
  const VkResult result =
      STADIAL_DRIVER_CALL(device_.Table(), vkQueueSubmit2, device_.Queue(), 1, &info, VK_NULL_HANDLE);
  submits_.fetch_add(1, std::memory_order_relaxed);
  if (result == VK_SUCCESS) return true;
  Fail(DriverError(result, "vkQueueSubmit2", "value %llu on device '%s'", Print(request.value),
                   device_.Name()));
  return false;
}

void SubmitThread::ServeSubmit(const Request& request) noexcept {
  if (!HandOver(request, timeline_)) return;
  handed_ = request.value;
  Poll();
}

void SubmitThread::ServeRunOnce(const Request& request) noexcept {
  if (!HandOver(request, sideTimeline_)) return;
  sideHanded_ = request.value;
  VkSemaphoreWaitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  info.semaphoreCount = 1;
  info.pSemaphores = &sideTimeline_;
  info.pValues = &request.value;
  const VkResult result =
      STADIAL_DRIVER_CALL(device_.Table(), vkWaitSemaphores, device_.Handle(), &info, options_.deadlineNs);
  waits_.fetch_add(1, std::memory_order_relaxed);
  if (result != VK_SUCCESS) {
    Fail(DriverError(result, "vkWaitSemaphores", "a one-time submit within %.3f s on device '%s'",
                     static_cast<double>(options_.deadlineNs) * 1e-9, device_.Name()));
    return;
  }
  sideCompleted_.store(request.value, std::memory_order_release);
  PublishProgress();
}

void SubmitThread::ServeInvalidate(const Request& request) noexcept {
  if (auto done = request.memory->Invalidate(*request.buffer); !done) {
    Fail(done.GetError());
    return;
  }
  sideCompleted_.store(request.value, std::memory_order_release);
  PublishProgress();
}

void SubmitThread::Poll() noexcept {
  std::uint64_t value = 0;
  const VkResult result =
      STADIAL_DRIVER_CALL(device_.Table(), vkGetSemaphoreCounterValue, device_.Handle(), timeline_, &value);
  polls_.fetch_add(1, std::memory_order_relaxed);
  if (result != VK_SUCCESS) {
    Fail(DriverError(result, "vkGetSemaphoreCounterValue", "the frame timeline of device '%s'",
                     device_.Name()));
    return;
  }
  if (value > handed_) {  // what some drivers answer once the device is lost
    Fail(Error::Format(ErrorCode::DeviceLost,
                       "the frame timeline of device '%s' reads %llu, but %llu is the last value submitted",
                       device_.Name(), Print(value), Print(handed_)));
    return;
  }
  if (value > completed_.load(std::memory_order_relaxed)) {
    completed_.store(value, std::memory_order_release);
    PublishProgress();
  }
}

bool SubmitThread::IsSomebodyWaiting() const noexcept {
  return !failed_.load(std::memory_order_relaxed) &&
         wanted_.load() > completed_.load(std::memory_order_relaxed) &&
         handed_ > completed_.load(std::memory_order_relaxed);
}

void SubmitThread::WaitSlice() noexcept {
  const std::uint64_t target = std::min(wanted_.load(), handed_);
  VkSemaphoreWaitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  info.semaphoreCount = 1;
  info.pSemaphores = &timeline_;
  info.pValues = &target;
  const VkResult result =
      STADIAL_DRIVER_CALL(device_.Table(), vkWaitSemaphores, device_.Handle(), &info, options_.waitSliceNs);
  waits_.fetch_add(1, std::memory_order_relaxed);
  if (result != VK_SUCCESS && result != VK_TIMEOUT) {
    Fail(DriverError(result, "vkWaitSemaphores", "value %llu on device '%s'", Print(target), device_.Name()));
    return;
  }
  Poll();
}

void SubmitThread::Sleep() noexcept {
  asleep_.exchange(1, std::memory_order_acq_rel);
  if (ring_.Front() == nullptr && !stop_.load(std::memory_order_acquire) && !IsSomebodyWaiting()) {
    sleeps_.fetch_add(1, std::memory_order_relaxed);
    WaitOnWord(asleep_, 1, kNoDeadline);
  }
  asleep_.exchange(0,
                   std::memory_order_acq_rel);  // read-modify-write: keeps the order of the producer's pushes
}

void SubmitThread::PublishProgress() noexcept {
  progress_.fetch_add(1);
  if (waiters_.load() != 0 || progress_.load() == 1) WakeWord(progress_);
}

void SubmitThread::Fail(const Error& error) noexcept {
  if (failed_.load(std::memory_order_relaxed)) return;
  error_ = error;
  failed_.store(true, std::memory_order_release);
  PublishProgress();
}

}  // namespace stadial::gpu
