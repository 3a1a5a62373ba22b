// What the frame loop does on the frame thread around each frame: closes the gate, opens the kernel witness,
// and takes the difference of its counters and the workers'. Private to the runtime.
#pragma once

#include <optional>

#include "stadial/runtime/audit.h"
#include "stadial/runtime/frame_loop.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/gate_policies.h"
#include "stadial/runtime/kernel_witness.h"
#include "stadial/runtime/worker_threads.h"

namespace stadial::runtime {

// Are the page faults of a thread the program's own? Null: yes; otherwise why not.
const char* WhyFaultsAreNotOurs() noexcept;

struct FrameLoop::FrameThread {
  // `witness` may be null. `areFaultsOurs`: see WhyFaultsAreNotOurs.
  FrameThread(GateRule rule, VmSyscallWitness* witness, bool areFaultsOurs) noexcept
      : rule_(rule), witness_(witness), areFaultsOurs_(areFaultsOurs) {}

  // No page fault is served in less: entering and leaving the kernel alone takes about this long.
  static constexpr std::uint64_t kFaultNsMin = 150;

  // Before Open, and before the frame waits for its slot: the faults of the wait count as well, and the
  // kernel's part of this reading is still warm from the last frame's (after a long wait it costs four times
  // as much). `gapNs`: time since the last frame ended. The fault count is a system call and by far the
  // dearest part of an empty frame, so the last frame's is reused when nothing can have faulted since.
  void CountFaultsFromHere(std::uint64_t gapNs) noexcept {
    faultsBefore_ = gapNs < kFaultNsMin ? faultsAfter_ : MinorFaults();
  }

  void Open(std::uint64_t frameIndex) noexcept {
    SetGateFrame(frameIndex);
    countersBefore_ = CurrentThreadCounters();
    if (workers_ != nullptr) workersBefore_ = workers_->Counters();
    if (witness_ != nullptr) syscallsBefore_ = OwnVmSyscalls();
    gate_.emplace(rule_.allocate, rule_.free, Phase::Frame, "frame");
    if (witness_ != nullptr) witness_->Enter();
  }

  void Close(FrameSample& sample) noexcept {
    if (witness_ != nullptr) witness_->Leave();
    gate_.reset();
    const GateThreadCounters counters = CurrentThreadCounters();
    sample.heapAllocations = counters.allocations - countersBefore_.allocations;
    sample.heapFrees = counters.frees - countersBefore_.frees;
    if (witness_ != nullptr) sample.vmSyscalls = OwnVmSyscalls() - syscallsBefore_;
    faultsAfter_ = MinorFaults();
    if (areFaultsOurs_) sample.minorFaults = faultsAfter_ - faultsBefore_;
    if (workers_ != nullptr) AddWorkers(sample);
  }

  // Null: none. Their faults count from here on.
  void SetWorkers(WorkerThreads* workers) noexcept {
    workers_ = workers;
    SettleWorkers();
  }
  // What the workers did up to here counts for no later frame. Outside of frames.
  void SettleWorkers() noexcept {
    if (workers_ == nullptr) return;
    workers_->Rendezvous();
    workerFaultsSeen_ = workers_->Counters().minorFaults;
  }
  // The workers' faults that came to light after the last frame was closed. Outside of frames.
  void CountLateFaults(FrameAudit& audit, std::uint64_t nextFrame) noexcept {
    if (workers_ == nullptr || !areFaultsOurs_ || nextFrame == 0) return;
    workers_->Rendezvous();
    const std::uint64_t faults = workers_->Counters().minorFaults;
    audit.AddLateFaults(nextFrame - 1, faults - workerFaultsSeen_);
    workerFaultsSeen_ = faults;
  }

  // The driver's direct allocations are reported from here on.
  void TakeDriverBaseline() noexcept { driverBaseline_ = CurrentDriverCounters(); }
  DriverCounters DriverSinceBaseline() const noexcept {
    const DriverCounters now = CurrentDriverCounters();
    return {.frameThread = now.frameThread - driverBaseline_.frameThread,
            .workerThreads = now.workerThreads - driverBaseline_.workerThreads,
            .submitThread = now.submitThread - driverBaseline_.submitThread,
            .otherThreads = now.otherThreads - driverBaseline_.otherThreads};
  }

  void Suspend() noexcept {
    if (witness_ != nullptr) witness_->Leave();
  }
  void Resume() noexcept {
    if (witness_ != nullptr) witness_->Enter();
  }

 private:
  // Without the driver's: those are accounted to it. A thread or process that starts counts as one, and what
  // follows it in the frame was not watched.
  std::uint64_t OwnVmSyscalls() const noexcept {
    const VmSyscallCounts counts = witness_->Counts();
    return counts.Vm() - counts.driverVm + counts.lostWindows;
  }

  void AddWorkers(FrameSample& sample) noexcept {
    const WorkerCounters now = workers_->Counters();
    sample.heapAllocations += now.heapAllocations - workersBefore_.heapAllocations;
    sample.heapFrees += now.heapFrees - workersBefore_.heapFrees;
    sample.vmSyscalls += now.vmSyscalls - workersBefore_.vmSyscalls;
    if (areFaultsOurs_) sample.minorFaults += now.minorFaults - workerFaultsSeen_;
    workerFaultsSeen_ = now.minorFaults;
  }

  GateRule rule_;
  VmSyscallWitness* witness_;
  bool areFaultsOurs_;
  std::optional<GateScope> gate_;
  GateThreadCounters countersBefore_;
  std::uint64_t syscallsBefore_ = 0;
  std::uint64_t faultsBefore_ = 0;
  std::uint64_t faultsAfter_ = 0;
  WorkerThreads* workers_ = nullptr;
  WorkerCounters workersBefore_;
  std::uint64_t workerFaultsSeen_ = 0;
  DriverCounters driverBaseline_ = CurrentDriverCounters();
};

}  // namespace stadial::runtime
