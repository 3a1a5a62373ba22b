// Where an AllocationTracker's allocations come from. An origin is a call stack, a component and a phase;
// blocks name theirs by its number, and all that an allocation or a free counts is counted in its origin. An
// origin lives while a block or a recent site needs it, so as many as blocks and recent sites always suffice.
//
// A recent site is an origin with the memory words that led a stack walk to it. While the same caller in the
// same frame still finds the same words there, a walk would find the same stack, and is left out.
// Private to the runtime; nothing here locks.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "gate_stack.h"
#include "stadial/arenas/thread_slot.h"
#include "stadial/runtime/allocation_tracker.h"

namespace stadial::runtime {

// What all blocks of an origin add up to.
struct OriginTally {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  std::uint64_t freed = 0;
  std::uint64_t freedBytes = 0;
};

// Where an allocation was made, as far as it can be told without a walk.
struct AllocationSite {
  const void* caller;    // the return address of malloc or new
  std::uintptr_t frame;  // a frame address inside of that, where a walk begins
  std::uint32_t thread;  // arenas::PeekThreadSlot
  std::string_view component;
  Phase phase;
};

class TrackedOrigins {
 public:
  static constexpr std::uint32_t kFramesMax = kTrackedStackDepthMax;
  static constexpr std::uint32_t kRecentsMax = 64;

  // What an allocation adds to lies apart: compilers would add neighbours in one vector register, which takes
  // longer.
  struct alignas(64) Origin {
    std::uint64_t count;
    std::uint32_t nextDirty;     // 0: the totals have all of it
    std::uint32_t nextInBucket;  // or, of an unused origin, the next unused one
    std::uint64_t bytes;
    std::uint32_t recents;  // sites that name it
    std::uint16_t component;
    Phase phase;
    std::uint8_t depth;
    std::uint64_t needs;  // live blocks, and recent sites
    std::uint64_t freedBytes;
  };

  struct alignas(512) Recent {
    // The gate's own frames, from the one that a walk begins at to that of malloc or new.
    static constexpr std::uint32_t kGateFramesMax = 6;
    static constexpr std::uint32_t kLinksMax = kFramesMax + kGateFramesMax;

    const void* caller;
    std::uintptr_t frame;  // 0: no walk can be left out
    const char* component;
    std::size_t componentBytes;
    std::size_t keptBytes;  // of them, in the tracker's copy
    std::uint32_t origin;   // 0: none yet
    std::uint32_t thread;
    Phase phase;
    const detail::FrameLink* linksEnd;
    detail::FrameLink links[kLinksMax + 1];  // and the one that ended the walk

    // Is this the site, and would a walk from it find the origin's stack?
    bool Is(const AllocationSite& site) const noexcept {
      return caller == site.caller && frame == site.frame && thread == site.thread && phase == site.phase &&
             componentBytes == site.component.size() &&
             IsSameText(component, site.component.data(), keptBytes) &&
             detail::LinksHold(site.frame, links, linksEnd);
    }
  };

  // Bytes for `originsMax`, which recent sites come on top of.
  static std::size_t BytesFor(std::size_t originsMax) noexcept;
  void Place(std::byte* memory, std::size_t originsMax) noexcept;
  void Clear() noexcept;

  Recent& RecentOf(const AllocationSite& site) noexcept {
    const std::uintptr_t mixed = reinterpret_cast<std::uintptr_t>(site.caller) ^ (site.frame >> 4);
    return recents_[mixed % kRecentsMax];
  }
  // Makes `recent` that of the site. `component` is the number of its name, and `name` the tracker's copy of
  // it. Returns the number of an origin that nothing needs any more, or 0.
  std::uint32_t Learn(Recent& recent, const AllocationSite& site, std::uint16_t component,
                      const char* name) noexcept;

  // No site is a recent one until it is learnt again.
  void ForgetSites() noexcept;

  Origin& operator[](std::uint32_t number) noexcept { return origins_[number]; }
  const Origin& operator[](std::uint32_t number) const noexcept { return origins_[number]; }
  std::span<const void* const> Stack(std::uint32_t number) const noexcept {
    return {details_[number].frames, origins_[number].depth};
  }

  void CountAllocation(std::uint32_t number, std::uint64_t bytes) noexcept {
    Origin& origin = origins_[number];
    ++origin.count;
    origin.bytes += bytes;
    ++origin.needs;
    if (origin.nextDirty == 0) [[unlikely]]
      MakeDirty(number);
  }
  void CountFree(std::uint32_t number, std::uint64_t bytes) noexcept {
    Origin& origin = origins_[number];
    origin.freedBytes += bytes;
    --origin.needs;
    if (origin.nextDirty == 0) [[unlikely]]
      MakeDirty(number);
  }
  // Is it in use for one block, or one recent site, alone?
  bool IsLastNeed(std::uint32_t number) const noexcept { return origins_[number].needs == 1; }
  // What was counted since the last call of this for the origin.
  OriginTally TakeNews(std::uint32_t number) noexcept STADIAL_NONALLOCATING;
  // For an origin that nothing needs, after its news were taken.
  void Remove(std::uint32_t number) noexcept;

  // Calls visit(number) for each origin with news.
  template <class Visit>
  void ForEachDirty(Visit visit) noexcept {
    for (std::uint32_t number = firstDirty_; number != kNoMoreDirty;) {
      const std::uint32_t next = origins_[number].nextDirty;
      origins_[number].nextDirty = 0;
      visit(number);
      number = next;
    }
    firstDirty_ = kNoMoreDirty;
  }

 private:
  static constexpr std::uint32_t kNoMoreDirty = ~std::uint32_t{0};
  // A site that is learnt holds its new origin before it lets go of the old one; and number 0 is none.
  static constexpr std::size_t kOriginsBeside = kRecentsMax + 2;

  struct Detail {
    OriginTally told;
    const void* frames[kFramesMax];
  };

  void MakeDirty(std::uint32_t number) noexcept {
    origins_[number].nextDirty = firstDirty_;
    firstDirty_ = number;
  }
  std::uint32_t& BucketOf(const void* const* frames, std::uint32_t depth, std::uint16_t component,
                          Phase phase) noexcept;
  std::uint32_t Intern(const void* const* frames, std::uint32_t depth, std::uint16_t component,
                       Phase phase) noexcept;

  template <class Word>
  static Word Load(const char* from) noexcept {
    Word word;
    std::memcpy(&word, from, sizeof word);
    return word;
  }
  static bool IsSameText(const char* ours, const char* theirs, std::size_t bytes) noexcept;

  Recent recents_[kRecentsMax];
  std::span<Origin> origins_;
  std::span<Detail> details_;
  std::span<std::uint32_t> buckets_;
  std::uint32_t firstDirty_ = kNoMoreDirty;
  std::uint32_t firstFree_ = 0;
  std::uint32_t firstUnused_ = 1;
};

inline bool TrackedOrigins::IsSameText(const char* ours, const char* theirs, std::size_t bytes) noexcept {
  // Words, the last two of which may overlap. No call: see Record.
  const char* const end = ours + bytes;
  if (bytes >= sizeof(std::uint64_t)) {
    for (; end - ours > 8; ours += 8, theirs += 8) {
      if (Load<std::uint64_t>(ours) != Load<std::uint64_t>(theirs)) return false;
    }
    return Load<std::uint64_t>(end - 8) == Load<std::uint64_t>(theirs + (end - ours) - 8);
  }
  if (bytes >= sizeof(std::uint32_t)) {
    return Load<std::uint32_t>(ours) == Load<std::uint32_t>(theirs) &&
           Load<std::uint32_t>(end - 4) == Load<std::uint32_t>(theirs + bytes - 4);
  }
  for (; ours != end; ++ours, ++theirs) {
    if (*ours != *theirs) return false;
  }
  return true;
}

}  // namespace stadial::runtime
