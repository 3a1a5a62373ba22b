// The options of a Runtime: what is legal, and what follows from it.
#include <algorithm>

#include "runtime_state.h"

namespace stadial::runtime {
namespace {

constexpr std::size_t kLaneNameBytesMax = 64;  // and the alignment of lane and name

// Sanity bounds of the options; the address space decides the rest.
constexpr std::size_t kSegmentBytesMax = std::size_t{1} << 40;

std::size_t RoundUp(std::size_t bytes, std::size_t multiple) noexcept {
  return (bytes + multiple - 1) / multiple * multiple;
}

Error OutOfRange(const char* option, std::uint64_t value, std::uint64_t least, std::uint64_t most) noexcept {
  return Error::Format(ErrorCode::InvalidArgument, "RuntimeOptions::%s is %llu; it must be %llu to %llu",
                       option, static_cast<unsigned long long>(value), static_cast<unsigned long long>(least),
                       static_cast<unsigned long long>(most));
}

Result<void> CheckWorkers(const RuntimeOptions& options) noexcept {
  if (options.taskRunner != nullptr && options.workers != 0) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "RuntimeOptions::workers is %u, and there is a taskRunner; it must be 0 then",
                         options.workers);
  }
  const std::uint32_t count = options.workers < kLanesMax ? WorkerCountOf(options) : kLanesMax + 1;
  if (count == 0 || count > kLanesMax) {
    return options.taskRunner != nullptr ? OutOfRange("taskRunner->WorkerCount()", count, 1, kLanesMax)
                                         : OutOfRange("workers", options.workers, 0, kLanesMax - 1);
  }
  return {};
}

}  // namespace

std::uint32_t WorkerCountOf(const RuntimeOptions& options) noexcept {
  return options.taskRunner != nullptr ? options.taskRunner->WorkerCount() : options.workers + 1;
}

Result<void> CheckOptions(const RuntimeOptions& options) noexcept {
  const struct {
    const char* name;
    std::uint64_t value, least, most;
  } ranges[] = {
      {"setupBytes", options.setupBytes, std::size_t{256} << 10, kSegmentBytesMax},
      {"compileBytes", options.compileBytes, 1, kSegmentBytesMax},
      {"frameLaneBytes", options.frameLaneBytes, 1, kSegmentBytesMax},
      {"driverBytes", options.driverBytes, 0, kSegmentBytesMax},
      {"fallbackBytes", options.fallbackBytes, 1, kSegmentBytesMax},
      {"setupGuardBytes", options.setupGuardBytes, 0, kSegmentBytesMax},
      {"compileGuardBytes", options.compileGuardBytes, 0, kSegmentBytesMax},
      {"frameGuardBytes", options.frameGuardBytes, 0, kSegmentBytesMax},
      {"quarantineWindows", options.quarantineWindows, 0, arenas::kQuarantineWindowsMax},
      {"framesInFlight", options.framesInFlight, 1, kFramesInFlightMax},
      {"lanes", options.lanes, 1, kLanesMax},
      {"eventCapacity", options.eventCapacity, 0, EventQueue::kCapacityMax},
      {"eventGrowthBytes", options.eventGrowthBytes, 1, options.fallbackBytes},
      {"deferredCapacity", options.deferredCapacity, 0, DeferredQueue::kCapacityMax},
      {"deferredMode", static_cast<std::uint64_t>(options.deferredMode), 0,
       static_cast<std::uint64_t>(arenas::AllocationMode::Discard)},
      {"deferredGrowthBytes", options.deferredGrowthBytes, 1,
       options.deferredMode == arenas::AllocationMode::Fallback ? options.fallbackBytes : kSegmentBytesMax},
      {"budgets.heapsMax", options.budgets.heapsMax, 1, 1u << 16},
      {"budgets.subsystemsMax", options.budgets.subsystemsMax, 0, 1u << 16},
      {"events.typePoliciesMax", options.events.typePoliciesMax, 6, 1u << 20},
      {"events.subscriptionsMax", options.events.subscriptionsMax, 0, 1u << 24},
  };
  for (const auto& range : ranges) {
    if (range.value < range.least || range.value > range.most) {
      return OutOfRange(range.name, range.value, range.least, range.most);
    }
  }
  if (options.quarantineWindows == 1) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "RuntimeOptions::quarantineWindows is 1; it must be 0 (off) or 2 to %u",
                         arenas::kQuarantineWindowsMax);
  }
  if (const char* const bad = FramePacer::Check(options.pacing); bad != nullptr) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "RuntimeOptions::pacing.%s is out of range: periodNs must be 0 or %llu to %llu (it is "
        "%llu), spinNs not above it (it is %llu)",
        bad, static_cast<unsigned long long>(kPacingPeriodNsMin),
        static_cast<unsigned long long>(kPacingPeriodNsMax),
        static_cast<unsigned long long>(options.pacing.periodNs),
        static_cast<unsigned long long>(options.pacing.spinNs));
  }
  if (options.telemetry.publish) STADIAL_RETURN_IF_ERROR(Telemetry::Check(options.telemetry));
  if (HitchDetector::Check(options.hitches) != nullptr) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "RuntimeOptions::hitches.factor is %.3g; it must be 1 to 1000",
                         options.hitches.factor);
  }
  STADIAL_RETURN_IF_ERROR(options.gate.Check());
  if (options.name == nullptr || options.name[0] == '\0') {
    return Error::Format(ErrorCode::InvalidArgument, "RuntimeOptions::name is empty");
  }
  STADIAL_RETURN_IF_ERROR(CheckWorkers(options));
  STADIAL_RETURN_IF_ERROR(TaskSystem::Check(options.tasks, WorkerCountOf(options)));
  return Budget::Check("host", options.hostBudget);
}

RuntimeOptions Rounded(RuntimeOptions options) noexcept {
  const std::size_t page = arenas::PageSize();
  options.lanes = std::max(options.lanes, WorkerCountOf(options));
  options.threads.workerCount = options.workers + 1;
  options.threads.policy = options.gate.Of(GateRole::Worker);
  options.tasks.policy = options.gate.Of(GateRole::Task);
  options.threads.kernelWitness = options.kernelWitness;
  options.setupBytes = RoundUp(options.setupBytes + Runtime::CalculateOwnBytes(options), page);
  options.compileBytes = RoundUp(options.compileBytes, page);
  options.frameLaneBytes = RoundUp(options.frameLaneBytes, page);
  for (std::size_t* const guardBytes :
       {&options.setupGuardBytes, &options.compileGuardBytes, &options.frameGuardBytes}) {
    *guardBytes = arenas::kArenaChecks ? RoundUp(*guardBytes, page) : 0;
  }
  options.driverBytes = RoundUp(options.driverBytes, page);
  options.fallbackBytes = RoundUp(options.fallbackBytes, arenas::FallbackHeap::kSegmentAlignmentBytes);
  // Setup, two compile halves, the frame slots, driver, fallback.
  options.region.segmentsMax = std::max(options.region.segmentsMax, 5 + kFramesInFlightMax);
  options.region.name = options.name;
  options.events.log = options.log;
  return options;
}

std::size_t Runtime::CalculateOwnBytes(const RuntimeOptions& options) noexcept {
  const std::uint32_t workers = WorkerCountOf(options);
  return TaskSystem::CalculateBytes(workers, options.tasks) +       // tasks
         DeferredQueue::CalculateBytes(options.deferredCapacity) +  // records
         BudgetTable::CalculateBytes(options.budgets) +
         (options.workers == 0 ? 0 : WorkerThreads::CalculateBytes(workers) + kWorkersAlignment) +
         std::size_t{workers - 1} * options.framesInFlight *
             (sizeof(arenas::Arena) + kLaneNameBytesMax);  // their lanes
}

}  // namespace stadial::runtime
