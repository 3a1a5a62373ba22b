#include "stadial/runtime/sizing_profile.h"

#include <algorithm>

#include "stadial/arenas/byte_text.h"
#include "stadial/runtime/budget.h"
#include "stadial/runtime/deferred_queue.h"
#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/event_bus.h"
#include "stadial/runtime/runtime.h"

namespace stadial::runtime {
namespace {

constexpr std::uint64_t kPageBytes = 4096;
// The least a runtime can do with: its own records in Setup, one page elsewhere, the floor of a bus.
constexpr std::size_t kSetupBytesMin = std::size_t{256} << 10;
constexpr std::size_t kEventCapacityMin = 64;
constexpr std::size_t kTaskCapacityMin = 64;
// Findings that an error message names; the others are counted.
constexpr std::size_t kNamedFindingsMax = 3;

bool ByName(const SizingEntry& entry, std::string_view name) noexcept { return entry.name < name; }

bool IsNameGood(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kSizingNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char character) {
           return character >= ' ' && character <= '~' && character != '"' && character != '\\';
         });
}

unsigned long long Wide(std::uint64_t value) noexcept { return value; }

std::string Amount(std::uint64_t value, SizingUnit unit) {
  return unit == SizingUnit::Bytes ? std::string(arenas::FormatBytes(value).Get()) : std::to_string(value);
}

// value * percent / 100, rounded up; value is at most kSizingValueMax and the result saturates there.
std::uint64_t Percent(std::uint64_t value, std::uint64_t percent) noexcept {
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(value, percent, &product)) return kSizingValueMax;
  return std::min(product / 100 + (product % 100 == 0 ? 0 : 1), kSizingValueMax);
}

Result<void> AddNamed(SizingProfile& profile, const char* prefix, std::string_view name, SizingUnit unit,
                      std::uint64_t used, std::uint64_t capacity) {
  return profile.Add(std::string(prefix) + std::string(name), unit, std::min(used, kSizingValueMax),
                     std::min(capacity, kSizingValueMax));
}

}  // namespace

const char* ToString(SizingUnit unit) noexcept { return unit == SizingUnit::Bytes ? "bytes" : "count"; }

std::uint64_t CalculateWithMargin(std::uint64_t used, SizingUnit unit, const SizingMargin& margin) noexcept {
  used = std::min(used, kSizingValueMax);
  const std::uint64_t with = std::min(used + Percent(used, margin.percent), kSizingValueMax);
  if (unit == SizingUnit::Count) return with;
  return std::min((with + kPageBytes - 1) / kPageBytes * kPageBytes,
                  kSizingValueMax / kPageBytes * kPageBytes);
}

Result<void> SizingProfile::Add(std::string_view name, SizingUnit unit, std::uint64_t used,
                                std::uint64_t capacity) {
  if (!IsNameGood(name)) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "a capacity of a sizing profile needs a name of 1 to %zu printable ASCII characters "
                         "without quotes and backslashes",
                         kSizingNameBytesMax);
  }
  const int length = static_cast<int>(name.size());
  if (used > kSizingValueMax || capacity > kSizingValueMax) {
    return Error::Format(ErrorCode::InvalidArgument, "capacity '%.*s': %llu used of %llu; the most is %llu",
                         length, name.data(), Wide(used), Wide(capacity), Wide(kSizingValueMax));
  }
  const auto place = std::lower_bound(entries_.begin(), entries_.end(), name, ByName);
  if (place != entries_.end() && place->name == name) {
    if (place->unit != unit) {
      return Error::Format(ErrorCode::InvalidArgument, "capacity '%.*s' is in %s and in %s", length,
                           name.data(), ToString(place->unit), ToString(unit));
    }
    place->used = std::max(place->used, used);
    place->capacity = std::max(place->capacity, capacity);
    return {};
  }
  if (entries_.size() == kSizingEntriesMax) {
    return Error::Format(ErrorCode::CapacityExceeded, "capacity '%.*s': a sizing profile holds %zu at most",
                         length, name.data(), kSizingEntriesMax);
  }
  entries_.insert(place, {.name = std::string(name), .unit = unit, .used = used, .capacity = capacity});
  return {};
}

Result<void> SizingProfile::Merge(const SizingProfile& other) {
  SizingProfile merged = *this;
  for (const SizingEntry& entry : other.entries_)
    STADIAL_RETURN_IF_ERROR(merged.Add(entry.name, entry.unit, entry.used, entry.capacity));
  merged.runs_ = std::min(merged.runs_ + other.runs_, kSizingValueMax);
  *this = std::move(merged);
  return {};
}

const SizingEntry* SizingProfile::Find(std::string_view name) const noexcept {
  const auto place = std::lower_bound(entries_.begin(), entries_.end(), name, ByName);
  return place != entries_.end() && place->name == name ? &*place : nullptr;
}

std::uint64_t SizingProfile::CapacityFor(std::string_view name, SizingUnit unit, std::uint64_t absent,
                                         const SizingMargin& margin) const noexcept {
  const SizingEntry* const entry = Find(name);
  return entry == nullptr || entry->unit != unit ? absent : CalculateWithMargin(entry->used, unit, margin);
}

Result<void> AddArena(SizingProfile& profile, const arenas::Arena& arena) {
  return AddNamed(profile, "arena.", arena.Name(), SizingUnit::Bytes, arena.PeakBytes(),
                  arena.CapacityBytes());
}

Result<void> AddEventBus(SizingProfile& profile, const EventBus& bus, std::string_view name) {
  const EventBus::QueueStats stats = bus.GetStats();
  return AddNamed(profile, "events.", name, SizingUnit::Count, stats.peak,
                  stats.capacity - stats.growthEvents);
}

Result<void> AddDeferredQueue(SizingProfile& profile, const DeferredQueue& queue) {
  const DeferredQueueStats stats = queue.GetStats();
  return AddNamed(profile, "deferred.", queue.Name(), SizingUnit::Count, stats.peak, stats.capacity);
}

Result<void> AddFallbackSite(SizingProfile& profile, const FallbackSite& site) {
  return AddNamed(profile, "fallback.", site.Name(), SizingUnit::Bytes, site.Stats().peakBytes,
                  site.BudgetBytes());
}

Result<void> AddBudget(SizingProfile& profile, const Budget& budget) {
  const std::uint64_t hard = budget.Limits().hardBytes;
  return AddNamed(profile, "budget.", budget.Name(), SizingUnit::Bytes, budget.Stats().peakBytes,
                  hard == kBudgetBytesMax ? 0 : hard);
}

Result<void> AddRuntime(SizingProfile& profile, Runtime& runtime) {
  STADIAL_ASSERT_ALWAYS(!runtime.Frames().IsFrameOpen(), "a sizing profile is not taken inside a frame");
  const RuntimeOptions& options = runtime.Options();
  SizingProfile taken = profile;
  const auto add = [&](const char* name, SizingUnit unit, std::uint64_t used, std::uint64_t capacity) {
    return AddNamed(taken, "runtime.", name, unit, used, capacity);
  };
  for (const AuditArena& arena : runtime.BuildAudit().arenas) {
    if (arena.name == "setup") {
      // Without what comes on top of setupBytes.
      const std::size_t own = Runtime::CalculateOwnBytes(options);
      STADIAL_RETURN_IF_ERROR(
          add("setup", SizingUnit::Bytes, arena.peakBytes - own, options.setupBytes - own));
    }
    if (arena.name == "compile_a" || arena.name == "compile_b")
      STADIAL_RETURN_IF_ERROR(add("compile", SizingUnit::Bytes, arena.peakBytes, options.compileBytes));
  }
  for (const arenas::LaneSet& slot : runtime.Frames().Slots()) {
    STADIAL_RETURN_IF_ERROR(
        add("frame_lane", SizingUnit::Bytes, slot.LanePeakBytesMax(), options.frameLaneBytes));
  }
  const EventBus::QueueStats events = runtime.Events().GetStats();
  STADIAL_RETURN_IF_ERROR(
      add("events", SizingUnit::Count, events.peak, events.capacity - events.growthEvents));
  const DeferredQueueStats deferred = runtime.Deferred().GetStats();
  STADIAL_RETURN_IF_ERROR(add("deferred", SizingUnit::Count, deferred.peak, deferred.capacity));
  const TaskStats tasks = runtime.Tasks().GetStats();
  STADIAL_RETURN_IF_ERROR(add("tasks", SizingUnit::Count, tasks.queuedPeak, tasks.capacity));
  STADIAL_RETURN_IF_ERROR(AddBudget(taken, *runtime.Budgets().Find("host")));
  for (const Budget& budget : runtime.Budgets().Subsystems())
    STADIAL_RETURN_IF_ERROR(AddBudget(taken, budget));
  for (const FallbackSite& site : runtime.Fallbacks().Sites())
    STADIAL_RETURN_IF_ERROR(AddFallbackSite(taken, site));
  profile = std::move(taken);
  return {};
}

void ApplySizing(const SizingProfile& profile, RuntimeOptions& options, const SizingMargin& margin) noexcept {
  const auto set = [&](std::size_t& option, const char* name, SizingUnit unit, std::size_t least) {
    const std::uint64_t capacity = profile.CapacityFor(name, unit, option, margin);
    if (profile.Find(name) != nullptr) option = std::max(static_cast<std::size_t>(capacity), least);
  };
  set(options.setupBytes, "runtime.setup", SizingUnit::Bytes, kSetupBytesMin);
  set(options.compileBytes, "runtime.compile", SizingUnit::Bytes, kPageBytes);
  set(options.frameLaneBytes, "runtime.frame_lane", SizingUnit::Bytes, kPageBytes);
  set(options.eventCapacity, "runtime.events", SizingUnit::Count, kEventCapacityMin);
  set(options.deferredCapacity, "runtime.deferred", SizingUnit::Count, DeferredSizing{}.recordsMin);
  std::size_t tasks = options.tasks.tasksMax;
  set(tasks, "runtime.tasks", SizingUnit::Count, kTaskCapacityMin);
  options.tasks.tasksMax = static_cast<std::uint32_t>(std::min<std::size_t>(tasks, kTasksMaxMax));
}

std::vector<SizingFinding> FindSizingExcess(const SizingProfile& run, const SizingProfile& budget,
                                            const SizingCheck& check) {
  using Kind = SizingFinding::Kind;
  std::vector<SizingFinding> findings;
  for (const SizingEntry& entry : run.Entries()) {
    const SizingEntry* const limit = budget.Find(entry.name);
    const auto add = [&](Kind kind, std::uint64_t allowed) {
      findings.push_back(
          {.kind = kind, .name = entry.name, .unit = entry.unit, .used = entry.used, .budget = allowed});
    };
    if (limit == nullptr) {
      if (!check.allowUnbudgeted) add(Kind::Unbudgeted, 0);
    } else if (limit->unit != entry.unit) {
      add(Kind::UnitDiffers, limit->used);
    } else {
      const std::uint64_t allowed = limit->used + Percent(limit->used, check.tolerancePercent);
      if (entry.used > allowed) add(Kind::Exceeded, allowed);
    }
  }
  // A budget of 0 is exceeded without bound. Numbers stay below 2^54, which a double orders well enough.
  const auto ratio = [](const SizingFinding& finding) {
    return static_cast<double>(finding.used) /
           (finding.budget == 0 ? 1e-3 : static_cast<double>(finding.budget));
  };
  std::sort(findings.begin(), findings.end(), [&](const SizingFinding& a, const SizingFinding& b) {
    if (a.kind != b.kind) return a.kind < b.kind;
    if (a.kind == Kind::Exceeded && ratio(a) != ratio(b)) return ratio(a) > ratio(b);
    if (a.kind != Kind::Exceeded && a.used != b.used) return a.used > b.used;
    return a.name < b.name;
  });
  return findings;
}

Result<void> RequireWithinSizing(const SizingProfile& run, const SizingProfile& budget,
                                 const SizingCheck& check) {
  const std::vector<SizingFinding> findings = FindSizingExcess(run, budget, check);
  if (findings.empty()) return {};
  std::string text;
  for (std::size_t i = 0; i < std::min(findings.size(), kNamedFindingsMax); ++i) {
    const SizingFinding& finding = findings[i];
    text += (i == 0 ? "'" : "; '") + finding.name + "' used " + Amount(finding.used, finding.unit);
    if (finding.kind == SizingFinding::Kind::Exceeded)
      text += ", budget " + Amount(finding.budget, finding.unit);
    if (finding.kind == SizingFinding::Kind::Unbudgeted) text += ", not in the budget";
    if (finding.kind == SizingFinding::Kind::UnitDiffers)
      text += std::string(", in ") + ToString(finding.unit) + " where the budget has the other unit";
  }
  if (findings.size() > kNamedFindingsMax)
    text += "; and " + std::to_string(findings.size() - kNamedFindingsMax) + " more";
  return Error::Format(ErrorCode::CapacityExceeded,
                       "%zu of %zu capacities are not within the sizing budget: %.360s; find what grew, or "
                       "write the profile anew",
                       findings.size(), run.Entries().size(), text.c_str());
}

}  // namespace stadial::runtime
