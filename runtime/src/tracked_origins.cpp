#include "tracked_origins.h"

#include <algorithm>
#include <bit>
#include <new>

#include "stadial/arenas/assert.h"

namespace stadial::runtime {
namespace {

std::size_t BucketsFor(std::size_t originsMax) noexcept { return std::bit_ceil(originsMax); }

}  // namespace

std::size_t TrackedOrigins::BytesFor(std::size_t originsMax) noexcept {
  const std::size_t slots = originsMax + kOriginsBeside;
  return slots * (sizeof(Origin) + sizeof(Detail)) + BucketsFor(slots) * sizeof(std::uint32_t);
}

void TrackedOrigins::Place(std::byte* memory, std::size_t originsMax) noexcept {
  const std::size_t slots = originsMax + kOriginsBeside;
  origins_ = {reinterpret_cast<Origin*>(memory), slots};
  details_ = {reinterpret_cast<Detail*>(memory + origins_.size_bytes()), slots};
  buckets_ = {reinterpret_cast<std::uint32_t*>(memory + origins_.size_bytes() + details_.size_bytes()),
              BucketsFor(slots)};
}

void TrackedOrigins::Clear() noexcept {
  for (Recent& recent : recents_) recent = Recent{};
  std::fill(buckets_.begin(), buckets_.end(), 0u);
  firstDirty_ = kNoMoreDirty;
  firstFree_ = 0;
  firstUnused_ = 1;
}

std::uint32_t TrackedOrigins::Learn(Recent& recent, const AllocationSite& site, std::uint16_t component,
                                    const char* name) noexcept {
  const detail::StackBounds bounds = detail::CurrentStackBounds(site.frame);
  const void* frames[kFramesMax];
  std::uint32_t depth = 0;
  detail::FrameWalk walk;
  if (bounds.high != 0) {
    walk = detail::WalkFrameLinks(site.frame, bounds, recent.links, Recent::kLinksMax);
    depth = detail::StackOfLinks(site.caller, recent.links, walk.depth, frames, kFramesMax);
  } else {
    depth = detail::CaptureStackFast(site.caller, frames, kFramesMax);
  }
  const bool canRepeat = walk.links != 0 && site.thread < arenas::kThreadSlotsMax;
  const std::uint32_t before = recent.origin;
  const std::uint32_t now = Intern(frames, depth, component, site.phase);
  ++origins_[now].recents;
  ++origins_[now].needs;
  recent.caller = site.caller;
  recent.frame = canRepeat ? site.frame : 0;
  recent.component = name;
  recent.componentBytes = site.component.size();
  recent.keptBytes = std::min(site.component.size(), kTrackedComponentNameBytesMax - 1);
  recent.origin = now;
  recent.thread = site.thread;
  recent.linksEnd = recent.links + walk.links;
  recent.phase = site.phase;
  if (before == 0) return 0;
  --origins_[before].recents;
  return --origins_[before].needs == 0 ? before : 0;
}

void TrackedOrigins::ForgetSites() noexcept {
  for (Recent& recent : recents_) recent.frame = 0;
}

std::uint32_t& TrackedOrigins::BucketOf(const void* const* frames, std::uint32_t depth,
                                        std::uint16_t component, Phase phase) noexcept {
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15;
  std::uint64_t mixed = (std::uint64_t{component} << 8) | static_cast<std::uint64_t>(phase);
  for (std::uint32_t index = 0; index < depth; ++index) {
    mixed = std::rotl(mixed, 23) ^ reinterpret_cast<std::uintptr_t>(frames[index]);
    mixed *= kFactor;
  }
  return buckets_[(mixed >> 32) & (buckets_.size() - 1)];
}

std::uint32_t TrackedOrigins::Intern(const void* const* frames, std::uint32_t depth, std::uint16_t component,
                                     Phase phase) noexcept {
  std::uint32_t& bucket = BucketOf(frames, depth, component, phase);
  for (std::uint32_t number = bucket; number != 0; number = origins_[number].nextInBucket) {
    const Origin& origin = origins_[number];
    if (origin.component == component && origin.phase == phase && origin.depth == depth &&
        std::equal(frames, frames + depth, details_[number].frames)) {
      return number;
    }
  }
  std::uint32_t number = firstFree_;
  if (number != 0) {
    firstFree_ = origins_[number].nextInBucket;
  } else {
    STADIAL_ASSERT_COMPARE(firstUnused_, <, origins_.size(), "every origin has a block or a recent site");
    number = firstUnused_++;
    origins_[number].nextDirty = 0;
  }
  Origin& origin = origins_[number];
  // A removed one may still stand in the list of dirty ones, and stays there.
  origin = {.count = 0,
            .nextDirty = origin.nextDirty,
            .nextInBucket = bucket,
            .bytes = 0,
            .recents = 0,
            .component = component,
            .phase = phase,
            .depth = static_cast<std::uint8_t>(depth),
            .needs = 0,
            .freedBytes = 0};
  bucket = number;
  details_[number].told = OriginTally{};
  std::copy(frames, frames + depth, details_[number].frames);
  return number;
}

OriginTally TrackedOrigins::TakeNews(std::uint32_t number) noexcept {
  const Origin& origin = origins_[number];
  const std::uint64_t live = origin.needs - origin.recents;
  const OriginTally now{origin.count, origin.bytes, origin.count - live, origin.freedBytes};
  OriginTally& told = details_[number].told;
  const OriginTally news{now.count - told.count, now.bytes - told.bytes, now.freed - told.freed,
                         now.freedBytes - told.freedBytes};
  told = now;
  return news;
}

void TrackedOrigins::Remove(std::uint32_t number) noexcept {
  Origin& origin = origins_[number];
  std::uint32_t* link = &BucketOf(details_[number].frames, origin.depth, origin.component, origin.phase);
  while (*link != number) link = &origins_[*link].nextInBucket;
  *link = origin.nextInBucket;
  origin.nextInBucket = firstFree_;
  firstFree_ = number;
}

}  // namespace stadial::runtime
