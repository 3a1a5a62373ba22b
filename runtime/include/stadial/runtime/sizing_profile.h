// SizingProfile: what a run used of every capacity, by name (Z1). Written to a file, it sizes the next run,
// which reserves that much plus a margin; checked in, it is a budget: a run that uses more fails, with the
// culprit named.
//
//   SizingProfile run;
//   AddRuntime(run, *runtime);                                               // after the last frame
//   WriteSizingProfile(run, "sizing.json");
//   ...
//   ApplySizing(ReadSizingProfile("sizing.json").Value(), runtimeOptions);   // the next run, before Create
//   RequireWithinSizing(run, ReadSizingProfile("budget.json").Value());      // CI
//
// The file is JSON, one capacity a line, sorted by name, the same bytes for the same profile:
//
//   {
//     "format": "stadial-sizing-profile",
//     "version": 1,
//     "runs": 3,
//     "capacities": {
//       "arena.setup": {"unit": "bytes", "used": 812345, "capacity": 16777216}
//     }
//   }
//
// Reading trusts nothing: a file that is malformed, too large, or says anything else than the above, or says
// it twice, is refused with the place.
//
// The six answers. Growth: on the heap, up to kSizingEntriesMax; profiles belong before the first frame and
// after the last. Exhaustion: error CapacityExceeded. Alignment: natural. Destructors: ordinary. Threads:
// plain values. Invalidation: entries move when one is added.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/result.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

class Budget;
class DeferredQueue;
class EventBus;
class FallbackSite;
class Runtime;
struct RuntimeOptions;

inline constexpr std::size_t kSizingFileBytesMax = std::size_t{1} << 20;
inline constexpr std::size_t kSizingEntriesMax = 4096;
inline constexpr std::size_t kSizingNameBytesMax = 128;
// 2^53 - 1: what every reader of JSON keeps exactly.
inline constexpr std::uint64_t kSizingValueMax = (std::uint64_t{1} << 53) - 1;

enum class SizingUnit : std::uint8_t { Bytes, Count };
const char* ToString(SizingUnit unit) noexcept;  // "bytes", "count"

struct SizingEntry {
  std::string name{};
  SizingUnit unit = SizingUnit::Bytes;
  std::uint64_t used = 0;      // the most that any of the runs used at once
  std::uint64_t capacity = 0;  // the most that any of them had; 0: not bounded, or not known
};

// used + percent of it, rounded up; bytes to whole pages of 4 KiB. Saturates at kSizingValueMax.
struct SizingMargin {
  std::uint32_t percent = 25;
};
std::uint64_t CalculateWithMargin(std::uint64_t used, SizingUnit unit, const SizingMargin& margin) noexcept;

class SizingProfile {
 public:
  // The same name again keeps the larger numbers. InvalidArgument: a name that is empty, longer than
  // kSizingNameBytesMax or not printable ASCII without quotes and backslashes; another unit than before; a
  // number above kSizingValueMax. CapacityExceeded: more than kSizingEntriesMax names.
  Result<void> Add(std::string_view name, SizingUnit unit, std::uint64_t used, std::uint64_t capacity = 0);
  // The larger of each number, the union of names, the sum of runs. On an error (see Add) nothing changes.
  Result<void> Merge(const SizingProfile& other);

  const SizingEntry* Find(std::string_view name) const noexcept;
  std::span<const SizingEntry> Entries() const noexcept { return entries_; }  // sorted by name
  std::uint64_t Runs() const noexcept { return runs_; }
  // What to reserve: used with margin, or `absent` when there is no such name with that unit.
  std::uint64_t CapacityFor(std::string_view name, SizingUnit unit, std::uint64_t absent,
                            const SizingMargin& margin = {}) const noexcept;

 private:
  friend class SizingReader;
  std::vector<SizingEntry> entries_;
  std::uint64_t runs_ = 1;
};

// --- collecting ---
// Names are "arena.NAME", "events.NAME", "deferred.NAME", "fallback.NAME", "budget.NAME".

Result<void> AddArena(SizingProfile& profile, const arenas::Arena& arena);
Result<void> AddEventBus(SizingProfile& profile, const EventBus& bus, std::string_view name = "bus");
Result<void> AddDeferredQueue(SizingProfile& profile, const DeferredQueue& queue);
Result<void> AddFallbackSite(SizingProfile& profile, const FallbackSite& site);
Result<void> AddBudget(SizingProfile& profile, const Budget& budget);
// The capacities of RuntimeOptions: "runtime.setup", "runtime.compile" (the fuller half),
// "runtime.frame_lane" (the fullest lane), "runtime.events", "runtime.deferred", "runtime.tasks"; every
// fallback site, the budget of the host and those of subsystems (a device heap's use hangs on other
// programs). Not inside a frame (asserted).
Result<void> AddRuntime(SizingProfile& profile, Runtime& runtime);

// The opposite: sets setupBytes, compileBytes, frameLaneBytes, eventCapacity, deferredCapacity and
// tasks.tasksMax from the names above, each never below what a runtime needs in any case; what the profile
// does not name stays as it is.
void ApplySizing(const SizingProfile& profile, RuntimeOptions& options,
                 const SizingMargin& margin = {}) noexcept;

// --- Files.
// ----------------------------------------------------------------------------------------------------

std::string ToJson(const SizingProfile& profile);
// `source` names the text in errors. CorruptData: what is wrong, and where.
Result<SizingProfile> ParseSizingProfile(std::string_view text, std::string_view source);
// Io: the system's reason; CorruptData as above.
Result<SizingProfile> ReadSizingProfile(const char* path);
// Replaces the file as a whole or not at all. Io: the system's reason.
Result<void> WriteSizingProfile(const SizingProfile& profile, const char* path);

// --- Check.
// ----------------------------------------------------------------------------------------------------

struct SizingCheck {
  std::uint32_t tolerancePercent = 0;  // of the budget's `used`
  bool allowUnbudgeted = false;        // names that the budget does not have
};

struct SizingFinding {
  enum class Kind : std::uint8_t {
    Exceeded,     // the run used more than the budget
    Unbudgeted,   // the budget has no such name
    UnitDiffers,  // bytes against count
  };
  Kind kind = Kind::Exceeded;
  std::string name{};
  SizingUnit unit = SizingUnit::Bytes;
  std::uint64_t used = 0;
  std::uint64_t budget = 0;  // tolerance included
};

// Worst first: by the ratio of excess, then unbudgeted ones by size. Empty: the run is within its budget.
std::vector<SizingFinding> FindSizingExcess(const SizingProfile& run, const SizingProfile& budget,
                                            const SizingCheck& check = {});
// CapacityExceeded that names the worst culprits with their numbers.
Result<void> RequireWithinSizing(const SizingProfile& run, const SizingProfile& budget,
                                 const SizingCheck& check = {});

}  // namespace stadial::runtime
