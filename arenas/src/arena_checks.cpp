#include "stadial/arenas/arena_checks.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "abort_line.h"
#include "code_address.h"
#include "stadial/arenas/arena.h"
#include "stadial/arenas/byte_text.h"

namespace stadial::arenas {

#if STADIAL_ASSERT_LEVEL >= 2

namespace {

constexpr unsigned char kGuardByte = 0xFB;
constexpr std::uint64_t kFrontCanary = 0x5A17C0DEFEEDFACEu;
constexpr std::uint64_t kTailCanary = 0xC0FFEE5EA1EDF00Du;

std::uintptr_t AddressOf(const void* pointer) noexcept { return reinterpret_cast<std::uintptr_t>(pointer); }

std::size_t RoundUp(std::size_t bytes) noexcept {
  return (bytes + (kArenaGranularityBytes - 1)) & ~(kArenaGranularityBytes - 1);
}

// FNV-1a over the words of the record and its address.
std::uint32_t HashRecord(const ArenaGuard& guard) noexcept {
  const std::uint64_t words[] = {AddressOf(guard.previous), AddressOf(guard.payload), guard.sizeBytes,
                                 AddressOf(guard.site),     guard.leadBytes,          AddressOf(&guard)};
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::uint64_t word : words) hash = (hash ^ word) * 0x100000001b3u;
  return static_cast<std::uint32_t>(hash ^ (hash >> 32));
}

std::uint64_t FrontCanaryOf(const ArenaGuard& guard) noexcept { return kFrontCanary ^ AddressOf(&guard); }

// The first byte of [begin, end) that is not `value`; null when all are.
const std::byte* FirstOther(const std::byte* begin, const std::byte* end, unsigned char value) noexcept {
  const std::byte* const found =
      std::find_if(begin, end, [value](std::byte byte) { return byte != std::byte{value}; });
  return found == end ? nullptr : found;
}

// The first byte of `word` that differs from `expected`; null when none does.
const std::byte* FirstOther(const std::uint64_t& word, std::uint64_t expected) noexcept {
  if (word == expected) return nullptr;
  const auto* const bytes = reinterpret_cast<const std::byte*>(&word);
  const auto* const wanted = reinterpret_cast<const std::byte*>(&expected);
  return std::mismatch(bytes, bytes + sizeof word, wanted).first;
}

// Opens a range for the checks and closes it again.
class OpenedRange {
 public:
  OpenedRange(const std::byte* begin, const std::byte* end) noexcept
      : begin_(const_cast<std::byte*>(begin)), bytes_(static_cast<std::size_t>(end - begin)) {
    LiftPoison(begin_, bytes_);
  }
  ~OpenedRange() { PoisonFresh(begin_, bytes_); }
  OpenedRange(const OpenedRange&) = delete;
  OpenedRange& operator=(const OpenedRange&) = delete;

 private:
  std::byte* begin_;
  std::size_t bytes_;
};

const std::byte* BeginOf(const ArenaGuard& guard) noexcept {
  return reinterpret_cast<const std::byte*>(&guard);
}
const std::byte* EndOf(const ArenaGuard& guard) noexcept { return BeginOf(guard) + sizeof(ArenaGuard); }

// What is wrong around one guarded allocation, the lead included. Does not look at the tail canary.
ArenaDamage FindDamageIn(const ArenaGuard& guard) noexcept {
  const OpenedRange record(BeginOf(guard), EndOf(guard));
  if (guard.recordHash != HashRecord(guard)) {
    const std::byte* const front = FirstOther(guard.frontCanary, FrontCanaryOf(guard));
    return {.kind = ArenaDamage::Kind::Overrun,
            .address = front != nullptr ? front : BeginOf(guard) + sizeof guard.frontCanary};
  }
  ArenaDamage damage{.allocation = guard.payload, .allocationBytes = guard.sizeBytes, .site = guard.site};
  {
    const std::byte* const end = guard.payload + guard.sizeBytes;
    const OpenedRange slack(end, BeginOf(guard));
    damage.address = FirstOther(end, BeginOf(guard), kGuardByte);
  }
  if (damage.address == nullptr) damage.address = FirstOther(guard.frontCanary, FrontCanaryOf(guard));
  if (damage.address != nullptr) {
    damage.kind = ArenaDamage::Kind::Overrun;
    return damage;
  }
  const OpenedRange lead(guard.payload - guard.leadBytes, guard.payload);
  damage.address = FirstOther(guard.payload - guard.leadBytes, guard.payload, kGuardByte);
  if (damage.address != nullptr) damage.kind = ArenaDamage::Kind::Underrun;
  return damage;
}

// A damaged tail canary is an underrun of what came after: `newer`, if that is known.
ArenaDamage FindDamageBehind(const ArenaGuard& guard, const ArenaGuard* newer) noexcept {
  const OpenedRange record(BeginOf(guard), EndOf(guard));
  ArenaDamage damage;
  for (const std::uint64_t& word : guard.tailCanary) {
    if (damage.address == nullptr) damage.address = FirstOther(word, kTailCanary);
  }
  if (damage.address == nullptr) return damage;
  damage.kind = ArenaDamage::Kind::Underrun;
  if (newer == nullptr) return damage;
  const OpenedRange newerRecord(BeginOf(*newer), EndOf(*newer));
  damage.allocation = newer->payload;
  damage.allocationBytes = newer->sizeBytes;
  damage.site = newer->site;
  return damage;
}

// Walks the guards from `newest` down. Ends after the first one below `end` (its tail canary may have been
// hit from above); that one becomes `newest`.
ArenaDamage FindDamageDownTo(ArenaGuard*& newest, const std::byte* end) noexcept {
  const ArenaGuard* newer = nullptr;
  while (newest != nullptr) {
    const ArenaGuard& guard = *newest;
    ArenaDamage damage = FindDamageIn(guard);
    if (!damage) damage = FindDamageBehind(guard, newer);
    if (damage || BeginOf(guard) < end) return damage;
    newer = &guard;
    const OpenedRange record(BeginOf(guard), EndOf(guard));
    newest = guard.previous;
  }
  return {};
}

// Threads as a report names them: 1, 2, ... in the order of their first use of a checked arena.
std::uint32_t ThreadOrdinal() noexcept {
  static std::atomic<std::uint32_t> last{0};
  thread_local const std::uint32_t own = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return own;
}

}  // namespace

// --- generations ---

// Between the two stores of the generation readers try again. Release on the way in and acquire on the way
// out keep the tables' loads and stores between the generation's, without a fence.
void ArenaChecks::NoteRewind(const std::byte* target, const std::source_location& site) noexcept {
  const std::uint64_t next = generation_.load(std::memory_order_relaxed) + 2;
  generation_.store(next - 1, std::memory_order_relaxed);
  std::uint32_t count = rewindCount_.load(std::memory_order_relaxed);
  // Lower and later: what an earlier rewind to this address or above killed, this one kills as well.
  while (count != 0 && rewinds_[count - 1].target.load(std::memory_order_relaxed) >= target) --count;
  if (count == kRewindsMax) {
    for (std::uint32_t index = 1; index < kRewindsMax; ++index) {
      Rewind& to = rewinds_[index - 1];
      const Rewind& from = rewinds_[index];
      to.generation.store(from.generation.load(std::memory_order_relaxed), std::memory_order_release);
      to.target.store(from.target.load(std::memory_order_relaxed), std::memory_order_release);
      to.site = from.site;
    }
    --count;
  }
  rewinds_[count].generation.store(next, std::memory_order_release);
  rewinds_[count].target.store(target, std::memory_order_release);
  rewinds_[count].site = site;
  rewindCount_.store(count + 1, std::memory_order_release);
  generation_.store(next, std::memory_order_release);
}

void ArenaChecks::NoteReset(const std::source_location& site) noexcept {
  const std::uint64_t next = generation_.load(std::memory_order_relaxed) + 2;
  generation_.store(next - 1, std::memory_order_relaxed);
  const std::uint32_t number = resetCount_.load(std::memory_order_relaxed) + 1;
  resets_[(number - 1) % kResetsMax] = site;
  resetCount_.store(number, std::memory_order_release);
  rewindCount_.store(0, std::memory_order_release);
  lastResetGeneration_.store(next, std::memory_order_release);
  generation_.store(next, std::memory_order_release);
}

bool ArenaChecks::IsLiveSlow(const void* address, std::uint64_t generation) const noexcept {
  for (;;) {
    const std::uint64_t now = generation_.load(std::memory_order_acquire);
    if ((now & kWriting) != 0) continue;  // for the few stores of a rewind
    bool isLive = generation >= lastResetGeneration_.load(std::memory_order_acquire);
    const std::uint32_t count = rewindCount_.load(std::memory_order_acquire);
    for (std::uint32_t index = 0; isLive && index < count; ++index) {
      if (rewinds_[index].generation.load(std::memory_order_acquire) <= generation) continue;
      // The lowest target of all rewinds since.
      isLive = static_cast<const void*>(rewinds_[index].target.load(std::memory_order_acquire)) > address;
      break;
    }
    if (generation_.load(std::memory_order_relaxed) == now) return isLive;
  }
}

ArenaChecks::Killer ArenaChecks::FindKiller(const void* address, std::uint64_t generation,
                                            std::uint32_t resetCount) const noexcept {
  const std::uint32_t resets = resetCount_.load(std::memory_order_acquire);
  if (generation < lastResetGeneration_.load(std::memory_order_acquire)) {
    Killer killer;
    killer.resetNumber = resetCount + 1;
    killer.isSiteKnown = resets - resetCount <= kResetsMax;
    if (killer.isSiteKnown) killer.site = resets_[resetCount % kResetsMax];
    return killer;
  }
  const std::uint32_t count = rewindCount_.load(std::memory_order_acquire);
  for (std::uint32_t index = 0; index < count; ++index) {
    const Rewind& rewind = rewinds_[index];
    if (rewind.generation.load(std::memory_order_acquire) > generation &&
        rewind.target.load(std::memory_order_acquire) <= address) {
      return {.isSiteKnown = true, .site = rewind.site};
    }
  }
  return {};
}

void ArenaChecks::TakeFrom(ArenaChecks& other) noexcept {
  const auto take = [](auto& to, auto& from, auto emptied) {
    to.store(from.load(std::memory_order_relaxed), std::memory_order_relaxed);
    from.store(emptied, std::memory_order_relaxed);
  };
  const std::uint64_t generation = other.generation_.load(std::memory_order_relaxed);
  for (std::uint32_t index = 0; index < kRewindsMax; ++index) {
    take(rewinds_[index].generation, other.rewinds_[index].generation, std::uint64_t{0});
    take(rewinds_[index].target, other.rewinds_[index].target, static_cast<const std::byte*>(nullptr));
    rewinds_[index].site = other.rewinds_[index].site;
  }
  std::copy(std::begin(other.resets_), std::end(other.resets_), std::begin(resets_));
  take(rewindCount_, other.rewindCount_, 0u);
  take(resetCount_, other.resetCount_, 0u);
  // Pointers that name the old object are stale from now on.
  take(lastResetGeneration_, other.lastResetGeneration_, generation + 2);
  take(generation_, other.generation_, generation + 2);
  guardBytes_ = std::exchange(other.guardBytes_, 0);
  guardBytesSpent_ = std::exchange(other.guardBytesSpent_, 0);
  lastGuard_ = std::exchange(other.lastGuard_, nullptr);
  filledEnd_ = std::exchange(other.filledEnd_, nullptr);
  thread_ = std::exchange(other.thread_, 0);
  oneThread_ = std::exchange(other.oneThread_, false);
}

// --- guards ---

bool ArenaCore::BumpChecked(std::size_t sizeBytes, std::size_t alignment, std::byte*& memory) noexcept {
  CheckThread("allocates from it");
  // Inlined up to here into the code that allocates, so this is where it returns to.
  const void* const site = __builtin_return_address(0);
  // What fits is decided as it would be without guards.
  std::byte* const plain = PlainCursor();
  const std::size_t available = RemainingBytes();
  const std::size_t padding = (0 - AddressOf(plain)) & (alignment - 1);
  if (padding > available || sizeBytes > available - padding) return false;
  std::byte* const plainEnd = plain + padding + RoundUp(sizeBytes);
  return PlaceChecked(plainEnd, sizeBytes, alignment, checks_.guardBytes_ != 0, site, memory) ||
         PlaceChecked(plainEnd, sizeBytes, alignment, false, site, memory);
}

// False when the guards' bytes do not suffice. `plainEnd`: the cursor afterwards if there were no guards.
bool ArenaCore::PlaceChecked(std::byte* plainEnd, std::size_t sizeBytes, std::size_t alignment,
                             bool isGuarded, const void* site, std::byte*& memory) noexcept {
  const bool isBehindGuard = checks_.lastGuard_ != nullptr && EndOf(*checks_.lastGuard_) == cursor_;
  const std::size_t leadMin = isGuarded && !isBehindGuard ? kArenaGranularityBytes : 0;
  // As numbers: an alignment larger than the memory may lead far out of it.
  const std::uintptr_t startAt = (AddressOf(cursor_) + leadMin + (alignment - 1)) & (0 - alignment);
  const std::size_t leadBytes = startAt - AddressOf(cursor_);
  const std::uintptr_t endAt = startAt + RoundUp(sizeBytes) + (isGuarded ? kGuardBytes : 0);
  if (endAt - AddressOf(plainEnd) > checks_.guardBytes_) return false;
  if (isGuarded && leadBytes > std::numeric_limits<std::uint32_t>::max()) return false;
  std::byte* const start = cursor_ + leadBytes;
  std::byte* const guardAt = start + RoundUp(sizeBytes);
  std::byte* const end = guardAt + (isGuarded ? kGuardBytes : 0);
  CheckFree(end);
  LiftPoison(cursor_, static_cast<std::size_t>(end - cursor_));
  if (isGuarded) {
    std::memset(cursor_, kGuardByte, leadBytes);
    std::memset(start + sizeBytes, kGuardByte, static_cast<std::size_t>(guardAt - start) - sizeBytes);
    auto* const guard =
        ::new (static_cast<void*>(guardAt)) ArenaGuard{.frontCanary = 0,
                                                       .previous = checks_.lastGuard_,
                                                       .payload = start,
                                                       .sizeBytes = sizeBytes,
                                                       .site = site,
                                                       .leadBytes = static_cast<std::uint32_t>(leadBytes),
                                                       .recordHash = 0,
                                                       .tailCanary = {kTailCanary, kTailCanary}};
    guard->frontCanary = FrontCanaryOf(*guard);
    guard->recordHash = HashRecord(*guard);
    checks_.lastGuard_ = guard;
  }
  PoisonFresh(cursor_, static_cast<std::size_t>(end - cursor_));
  OpenAllocation(start, sizeBytes);
  checks_.guardBytesSpent_ = static_cast<std::size_t>(end - plainEnd);
  cursor_ = end;
  memory = start;
  return true;
}

// Memory that was taken back and is to be handed out again, up to `end`: nobody may have written to it.
void ArenaCore::CheckFree(std::byte* end) noexcept {
  std::byte* const filledEnd = std::min(end, checks_.filledEnd_);
  if (checks_.filledEnd_ == nullptr || filledEnd <= cursor_) return;
  const OpenedRange range(cursor_, filledEnd);
  if (const std::byte* const written = FirstOther(cursor_, filledEnd, kPoisonByte); written != nullptr) {
    Damaged({.kind = ArenaDamage::Kind::StaleWrite, .address = written}, "when it was handed out again",
            nullptr);
  }
}

void ArenaCore::TakeBackChecked(std::byte* cursor, const ArenaChecks::Mark& checks, bool isReset) noexcept {
  STADIAL_ASSERT(!isLent_, "the arena is lent to an ArenaCursor: close that before a rewind or a Reset");
  if (!isReset) CheckThread("rewinds it");
  if (const ArenaDamage damage = FindDamageDownTo(checks_.lastGuard_, cursor); damage)
    Damaged(damage, isReset ? "by the Reset" : "when rewound to the mark set", &checks.site);
  checks_.guardBytesSpent_ = checks.guardBytesSpent;
  if (checks_.guardBytes_ != 0) checks_.filledEnd_ = std::max(checks_.filledEnd_, cursor_);
  if (isReset) {
    checks_.thread_ = 0;
    checks_.NoteReset(checks.site);
  } else if (cursor != cursor_) {
    checks_.NoteRewind(cursor, checks.site);
  }
}

ArenaDamage ArenaCore::FindDamage() noexcept {
  ArenaGuard* guard = checks_.lastGuard_;
  return FindDamageDownTo(guard, base_);
}

void ArenaCore::CheckGuards(std::source_location site) noexcept {
  if (const ArenaDamage damage = FindDamage(); damage) Damaged(damage, "by the check", &site);
}

void ArenaCore::Damaged(const ArenaDamage& damage, const char* when,
                        const std::source_location* site) const noexcept {
  char found[320];
  std::snprintf(found, sizeof found, "found %s", when);
  if (site != nullptr) {
    std::snprintf(found, sizeof found, "found %s at %.200s:%u", when, site->file_name(),
                  static_cast<unsigned>(site->line()));
  }
  char what[640];
  const auto offset = static_cast<std::size_t>(damage.address - base_);
  if (damage.kind == ArenaDamage::Kind::StaleWrite) {
    std::snprintf(
        what, sizeof what,
        "stale write: offset %zu was written after it had been taken back (reset %u of the arena, or "
        "a rewind since)",
        offset, resetCount_);
  } else if (damage.allocation == nullptr) {
    std::snprintf(
        what, sizeof what,
        "%s: offset %zu between two allocations was written; the record of the allocation is gone too",
        damage.kind == ArenaDamage::Kind::Overrun ? "overrun" : "underrun", offset);
  } else {
    const bool isOverrun = damage.kind == ArenaDamage::Kind::Overrun;
    const std::byte* const end = damage.allocation + damage.allocationBytes;
    std::snprintf(
        what, sizeof what,
        "%s: offset %zu was written, %zu B %s the allocation of %s at offset %zu made by %s",
        isOverrun ? "overrun" : "underrun", offset,
        static_cast<std::size_t>(isOverrun ? damage.address - end : damage.allocation - damage.address),
        isOverrun ? "past the end of" : "before", FormatBytes(damage.allocationBytes).Get(),
        static_cast<std::size_t>(damage.allocation - base_), FormatCodeAddress(damage.site).Get());
  }
  AbortWithLine(
      "stadial: %s%sarena '%s': %s; %s; an AddressSanitizer build stops at the write itself "
      "[created at %s:%u]",
      kind_, kind_[0] == '\0' ? "" : " ", name_, what, found, site_.file_name(),
      static_cast<unsigned>(site_.line()));
}

// --- threads ---

void ArenaCore::CheckThread(const char* operation) noexcept {
  if (!checks_.oneThread_) return;
  const std::uint32_t thread = ThreadOrdinal();
  if (checks_.thread_ == 0) checks_.thread_ = thread;
  if (checks_.thread_ == thread) return;
  AbortWithLine(
      "stadial: %s%sarena '%s': it belongs to thread %u since its reset %u, and thread %u %s; give "
      "each thread an arena of its own, or call HandOver between them [created at %s:%u]",
      kind_, kind_[0] == '\0' ? "" : " ", name_, checks_.thread_, resetCount_, thread, operation,
      site_.file_name(), static_cast<unsigned>(site_.line()));
}

void ArenaCore::HandOver() noexcept { checks_.thread_ = 0; }

#else

void ArenaCore::HandOver() noexcept {}
void ArenaCore::CheckGuards(std::source_location) noexcept {}

#endif

}  // namespace stadial::arenas
