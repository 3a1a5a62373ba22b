// FrameAudit collects what each frame did; AuditReport is the account of a run, ready for a screen
// (PrintAudit) or a file (ToJson). Collecting happens inside frames, in fixed storage, and allocates nothing;
// building, printing and converting a report allocate, and belong after the last frame.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "stadial/arenas/effects.h"
#include "stadial/runtime/frame_pacing.h"
#include "stadial/runtime/gate_policies.h"
#include "stadial/runtime/hitch_detector.h"
#include "stadial/runtime/time_histogram.h"

namespace stadial::runtime {

class PhaseLedger;

// What one frame did on its frame thread and the workers, between Begin and End.
struct FrameSample {
  std::uint64_t frameIndex = 0;
  std::uint64_t frameNs = 0;     // Begin entered to End left, waiting included
  std::uint64_t overheadNs = 0;  // of these, the runtime's own: without node code, driver calls and waiting
  std::uint64_t heapAllocations = 0;  // by this process's code; the driver's are counted by the gate
  std::uint64_t heapFrees = 0;
  std::uint64_t vmSyscalls = 0;
  std::uint64_t minorFaults = 0;
  bool compiled = false;                  // a plan was built in this frame: it is not a steady one
  std::uint64_t beginNs = 0;              // monotonic clock
  std::uint64_t pacedNs = 0;              // waited before it, to hold the rate; no part of frameNs
  std::uint32_t slot = 0;                 // of the frames in flight
  std::uint64_t waitedNs = 0;             // of frameNs, waiting for the GPU
  std::uint64_t fallbackAllocations = 0;  // served by designated fallbacks
  std::uint64_t budgetDeferrals = 0;      // work that a budget put off
};

struct AuditFrames {
  std::uint64_t total = 0;
  std::uint64_t warmup = 0;   // the first frames, not counted below
  std::uint64_t compile = 0;  // frames after the warm-up in which a plan was built: Compile phase, not steady
  std::uint64_t steady = 0;   // the rest
};

struct AuditFrameThreads {  // sums over the steady frames
  std::uint64_t heapAllocations = 0;
  std::uint64_t heapFrees = 0;
  std::uint64_t vmSyscalls = 0;
  std::uint64_t minorFaults = 0;
};

// FrameAudit: the collector. Lives in Setup memory. Threads: the frame thread.
class FrameAudit {
 public:
  explicit FrameAudit(std::uint64_t warmupFrames = 0, const HitchOptions& hitches = {}) noexcept
      : warmupFrames_(warmupFrames), hitches_(hitches) {}

  void Record(const FrameSample& sample) noexcept STADIAL_NONALLOCATING;
  // Faults of worker threads that came to light after `frameIndex`, the last recorded frame, was recorded.
  // Nothing during the warm-up.
  void AddLateFaults(std::uint64_t frameIndex, std::uint64_t faults) noexcept STADIAL_NONALLOCATING;

  const AuditFrames& Frames() const noexcept { return frames_; }
  const AuditFrameThreads& Steady() const noexcept { return steady_; }
  const TimeHistogram& FrameTimes() const noexcept { return frameTimes_; }        // steady frames
  const TimeHistogram& OverheadTimes() const noexcept { return overheadTimes_; }  // steady frames
  const HitchDetector& Hitches() const noexcept { return hitches_; }  // all frames after the warm-up
  // The first steady frame that allocated, freed, made a VM syscall or faulted; ~0 when none did.
  std::uint64_t FirstOffendingFrame() const noexcept { return firstOffendingFrame_; }
  // True from the end of the last warm-up frame on.
  bool IsSteady() const noexcept { return frames_.total >= warmupFrames_; }

  // What only higher layers know; they set it when it changes, and the report repeats it.
  void SetValidationMessages(std::uint64_t count) noexcept { validationMessages_ = count; }
  void SetDriverCallbackAllocations(std::uint64_t inSteadyFrames) noexcept {
    callbackAllocations_ = inSteadyFrames;
  }
  std::uint64_t ValidationMessages() const noexcept { return validationMessages_; }
  std::uint64_t DriverCallbackAllocations() const noexcept { return callbackAllocations_; }

 private:
  std::uint64_t warmupFrames_;
  std::uint64_t validationMessages_ = 0;
  std::uint64_t callbackAllocations_ = 0;
  std::uint64_t firstOffendingFrame_ = ~std::uint64_t{0};
  AuditFrames frames_;
  AuditFrameThreads steady_;
  TimeHistogram frameTimes_;
  TimeHistogram overheadTimes_;
  HitchDetector hitches_;
};

struct AuditModule {
  std::string path{};
  std::string reason{};
};

struct AuditPolicy {  // of GatePolicies
  std::string role{};
  std::string phase{};
  std::string allocate{};
  std::string free{};
};

struct AuditDevice {  // filled in by gpu
  std::string name{};
  std::string type{};    // "discrete", "integrated", "virtual", "cpu"
  std::string driver{};  // name and version as the driver states them
  std::string apiVersion{};
  std::string note{};  // what its driver does in a frame, where that is known
};

struct AuditFallback {
  std::string name{};
  std::string owner{};
  std::uint64_t budgetBytes = 0;
  std::uint64_t countPerFrameMax = 0;  // 0: no limit
  std::uint64_t allocations = 0;       // served
  std::uint64_t allocationsInWorstFrame = 0;
  std::uint64_t bytes = 0;  // live, as requested
  std::uint64_t peakBytes = 0;
  std::uint64_t refused = 0;  // the sum of the next four
  std::uint64_t refusedByBudget = 0;
  std::uint64_t refusedByFrame = 0;  // beyond countPerFrameMax
  std::uint64_t refusedByHeap = 0;   // the Fallback segment is full
  std::uint64_t refusedByThread = 0;
};

struct AuditArena {
  std::string name{};
  std::uint64_t reservedBytes = 0;
  std::uint64_t committedBytes = 0;
  std::uint64_t peakBytes = 0;
};

struct AuditPhase {  // of all stays in the phase so far; the heap only
  std::string name{};
  std::uint64_t stays = 0;
  std::int64_t allocations = 0;
  std::int64_t bytes = 0;
  std::int64_t frees = 0;
  std::int64_t liveCount = 0;  // differences: a phase can free more than it allocates
  std::int64_t liveBytes = 0;
  double seconds = 0;
};

struct AuditTasks {
  std::uint32_t workers = 1;  // the frame thread included
  std::uint64_t capacity = 0;
  std::uint64_t queuedPeak = 0;
  std::uint64_t ran = 0;
  std::uint64_t dropped = 0;
  std::uint64_t rejected = 0;  // of spawned ones, too
  std::uint64_t stolen = 0;
  std::uint64_t throttled = 0;
};

struct AuditDeferred {  // records; a rejected one is still its owner's, or leaked by its destructor
  std::string name{};
  std::uint64_t capacity = 0;
  std::uint64_t peak = 0;
  std::uint64_t queued = 0;
  std::uint64_t retired = 0;
  std::uint64_t discarded = 0;
  std::uint64_t rejected = 0;
};

struct AuditBudget {
  std::string name{};
  bool isHeap = false;  // otherwise of a subsystem
  std::uint64_t usedBytes = 0;
  std::uint64_t outsideBytes = 0;  // of these, others'
  std::uint64_t peakBytes = 0;
  std::uint64_t softBytes = 0;  // kBudgetBytesMax: no limit
  std::uint64_t hardBytes = 0;
  std::uint64_t refused = 0;
  std::uint64_t throttles = 0;
  bool isThrottled = false;  // now
};

struct AuditTimes {  // microseconds
  double p50 = 0, p99 = 0, p999 = 0, max = 0;
};

enum class AuditVerdict : std::uint8_t {
  Pass,
  Fail,        // something happened that must not
  Incomplete,  // nothing was seen, but not everything was watched
};
const char* ToString(AuditVerdict verdict) noexcept;

struct AuditReport {
  struct {
    std::string state;                  // "ARMED", "PARTIAL", "DISARMED"
    std::string selftest;               // what the self-test found, in words
    std::string policy;                 // what the frame thread's allocations meet in a frame
    bool counts = false;                // false: frames allocate or free unseen
    std::string unseen;                 // what, then
    std::vector<AuditPolicy> policies;  // all that is not Allow
    std::vector<AuditModule> uncoveredModules;
  } gate;
  std::vector<AuditDevice> devices;
  AuditFrames frames;
  AuditFrameThreads frameThreads;
  struct {
    bool vmSyscalls = false;        // is there a witness for VM syscalls?
    std::string reason;             // why not
    bool minorFaults = false;       // are this thread's page faults the program's own?
    std::string minorFaultsReason;  // why not
  } witness;
  struct {
    bool asked = false;        // was Runtime::BeginKernelProof called?
    std::string covers;        // which threads, and how
    std::string reason;        // why it was refused; empty when it was not
    std::uint64_t frames = 0;  // that ran under it
    std::uint64_t denied = 0;  // VM system calls of the frame thread that failed in them
  } kernelProof;
  struct {
    double callbackAllocationsPerFrame = 0;
    // Since the warm-up: the driver's own mallocs in its calls, on frame (and worker) threads and on the
    // submit thread, and the mallocs of unregistered threads while frames ran.
    std::uint64_t directFrameThread = 0;
    std::uint64_t directSubmitThread = 0;
    std::uint64_t otherThreads = 0;
  } driver;
  AuditTasks tasks;
  std::vector<AuditDeferred> deferred;
  std::vector<AuditBudget> budgets;
  std::vector<AuditFallback> fallbacks;
  std::vector<AuditArena> arenas;
  std::vector<AuditPhase> phases;  // empty without RuntimeOptions::trackAllocations
  AuditTimes frameTimeUs;
  AuditTimes runtimeOverheadUs;
  struct {
    std::uint64_t total = 0;
    std::uint64_t byCause[kHitchCauseCount] = {};  // indexed by HitchCause
    std::vector<Hitch> worst;                      // longest first
  } hitches;
  struct {
    std::uint64_t periodNs = 0;  // 0: not paced, and the rest is 0
    std::uint64_t ceilingNs = 0;
    FramePacingStats stats;
  } pacing;
  std::uint64_t validationMessages = 0;
  std::uint64_t firstOffendingFrame = ~std::uint64_t{0};
  AuditVerdict verdict = AuditVerdict::Incomplete;
  std::vector<std::string> reasons;  // why it is not a pass; empty for one
};

// Fills in frames, frameThreads, times, validationMessages, driver callbacks per frame from what was
// collected.
void FillReport(const FrameAudit& audit, AuditReport& report);

void FillGatePolicies(const GatePolicies& policies, AuditReport& report);

void FillPhases(const PhaseLedger& ledger, AuditReport& report);

// Decides verdict and reasons from the other fields; call it again after changing one.
//   fail        a steady frame allocated, freed, made a VM syscall or faulted; validation messages; a
//               fallback refused; a deferred queue rejected or discarded a record
//   incomplete  the gate is not ARMED or was told to allow, no witness for VM syscalls or for faults, or no
//               steady frame
void Judge(AuditReport& report);

// The JSON keys are the names of the fields above in snake_case; docs with the example in
// tests/runtime/audit_test.cpp.
std::string ToJson(const AuditReport& report);

// About twenty lines for a person. `file` must be open for writing.
void PrintAudit(const AuditReport& report, std::FILE* file);

}  // namespace stadial::runtime
