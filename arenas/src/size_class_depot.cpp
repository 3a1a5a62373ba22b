// How a SizeClassHeap comes to be, and how its slabs do: the half that most calls never reach.
#include <algorithm>
#include <bit>
#include <memory>
#include <mutex>
#include <new>

#include "size_class_slab.h"
#include "stadial/arenas/byte_text.h"

namespace stadial::arenas {

constinit SizeClassHeap::Shard SizeClassHeap::closedShard_(false);

// --- creation ---

// Where the parts lie: all in the given memory, in this order.
struct SizeClassHeap::Layout {
  std::byte* base;
  std::byte* end;
  std::byte* heap;
  std::byte* shards;
  std::byte* depots;
  std::byte* slabs;
  std::byte* classes;
  std::byte* blocks;
  std::uint32_t slabsMax;
  std::uint32_t ownShards;
  std::uint32_t sharedShards;

  Layout(const SizeClassHeapOptions& options, std::byte* memory, std::size_t sizeBytes) noexcept
      : base(memory), end(memory + sizeBytes) {
    ownShards = options.oneThread ? 1 : options.shards;
    sharedShards = options.oneThread ? 0 : (options.shards + 3) / 4;
    const std::uintptr_t firstSlab = AddressOf(base) & ~(kSlabBytes - 1);
    slabsMax = static_cast<std::uint32_t>((AddressOf(end) - firstSlab + kSlabBytes - 1) / kSlabBytes);
    heap = Align(base, alignof(SizeClassHeap));
    shards = Align(heap + sizeof(SizeClassHeap), alignof(Shard));
    depots = Align(shards + std::size_t{ownShards + sharedShards} * sizeof(Shard), alignof(Depot));
    slabs = Align(depots + kClasses * sizeof(Depot), alignof(Slab));
    classes = slabs + slabsMax * sizeof(Slab);
    blocks = Align(classes + slabsMax * sizeof(std::atomic<std::uint8_t>), kSizeClassGranularityBytes);
  }
  static std::byte* Align(std::byte* address, std::size_t alignment) noexcept {
    return address + ((0 - AddressOf(address)) & (alignment - 1));
  }
};

Result<SizeClassHeap*> SizeClassHeap::Create(const SizeClassHeapOptions& options, Segment& segment) {
  if (segment.CommittedBytes() == 0 || segment.Access() != PageAccess::ReadWrite) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "heap '%s': segment '%s' has %s committed%s; commit at least %s, writable, before Create",
        options.name, segment.Name(), FormatBytes(segment.CommittedBytes()).Get(),
        segment.Access() == PageAccess::ReadWrite ? "" : ", not writable",
        FormatBytes(kMemoryBytesMin).Get());
  }
  return Create(options, segment.Base(), segment.CommittedBytes());
}

Result<SizeClassHeap*> SizeClassHeap::Create(const SizeClassHeapOptions& options, std::byte* base,
                                             std::size_t sizeBytes) {
  STADIAL_ASSERT(base != nullptr && options.name != nullptr, "a heap needs memory and a name");
  if (sizeBytes < kMemoryBytesMin) {
    return Error::Format(ErrorCode::InvalidArgument, "heap '%s': it was given %s, it needs at least %s",
                         options.name, FormatBytes(sizeBytes).Get(), FormatBytes(kMemoryBytesMin).Get());
  }
  if (options.shards == 0 || options.shards > kShardsMax) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "heap '%s': SizeClassHeapOptions::shards is %u, it must be 1 to %u", options.name,
                         options.shards, kShardsMax);
  }
  const Layout layout(options, base, sizeBytes);
  if (layout.blocks + kSlabBytes > layout.end) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "heap '%s': its records for %u shards leave no room in %s; give it more memory or fewer "
        "shards",
        options.name, options.shards, FormatBytes(sizeBytes).Get());
  }
  LiftPoison(base, sizeBytes);
  return ::new (static_cast<void*>(layout.heap)) SizeClassHeap(options, layout);
}

SizeClassHeap::SizeClassHeap(const SizeClassHeapOptions& options, const Layout& layout) noexcept
    : firstSlab_(layout.base - (AddressOf(layout.base) & (kSlabBytes - 1))),
      classes_(reinterpret_cast<std::atomic<std::uint8_t>*>(layout.classes)),
      slabsMax_(layout.slabsMax),
      ownShards_(layout.ownShards),
      sharedShards_(layout.sharedShards),
      oneThread_(options.oneThread),
      slabs_(reinterpret_cast<Slab*>(layout.slabs)),
      shards_(reinterpret_cast<Shard*>(layout.shards)),
      depots_(reinterpret_cast<Depot*>(layout.depots)),
      base_(layout.base),
      end_(layout.end),
      name_(options.name),
      remedy_(options.remedy),
      backing_(options.name, layout.blocks, static_cast<std::size_t>(layout.end - layout.blocks)) {
  static_assert(kClasses == kSmallClasses);
  for (std::uint32_t record = 0; record < slabsMax_; ++record) {
    ::new (static_cast<void*>(slabs_ + record)) Slab;
    ::new (static_cast<void*>(classes_ + record)) std::atomic<std::uint8_t>(kNoClass);
  }
  for (unsigned sizeClass = 0; sizeClass < kClasses; ++sizeClass) {
    ::new (static_cast<void*>(depots_ + sizeClass)) Depot;
  }
  for (std::uint32_t index = 0; index < ShardCount(); ++index) {
    ::new (static_cast<void*>(shards_ + index)) Shard;
    shards_[index].isShared = index >= ownShards_;
  }
  std::fill(std::begin(ownShardOf_), std::end(ownShardOf_), oneThread_ ? shards_ : &closedShard_);
}

std::size_t SizeClassHeap::Close() noexcept {
  const std::size_t live = Stats().liveBlocks;
  std::byte* const base = base_;
  const auto sizeBytes = static_cast<std::size_t>(end_ - base_);
  std::destroy_n(shards_, ShardCount());
  std::destroy_n(depots_, kClasses);
  this->~SizeClassHeap();
  LiftPoison(base, sizeBytes);
  return live;
}

// --- slabs: under the lock of the depot of their class ---

// At the end of the ring: until it is the first again it gathers free blocks, so that a slab does not enter
// and leave the ring for every single one.
void SizeClassHeap::Link(unsigned sizeClass, Slab& slab) noexcept {
  std::uint32_t& partial = depots_[sizeClass].partial;
  const auto index = static_cast<std::uint32_t>(&slab - slabs_);
  if (partial == kNoSlab) {
    slab.next = slab.previous = partial = index;
    return;
  }
  slab.next = partial;
  slab.previous = slabs_[partial].previous;
  slabs_[slab.previous].next = slabs_[partial].previous = index;
}

void SizeClassHeap::Unlink(unsigned sizeClass, Slab& slab) noexcept {
  std::uint32_t& partial = depots_[sizeClass].partial;
  const auto index = static_cast<std::uint32_t>(&slab - slabs_);
  slabs_[slab.previous].next = slab.next;
  slabs_[slab.next].previous = slab.previous;
  if (partial == index) partial = slab.next == index ? kNoSlab : slab.next;
  slab.next = slab.previous = kNoSlab;
}

// A slab of nothing but free, marked blocks, linked; nullptr when there is no room.
SizeClassHeap::Slab* SizeClassHeap::MakeSlab(unsigned sizeClass) noexcept {
  auto* const memory = static_cast<std::byte*>(backing_.Allocate(kSlabPayloadBytes, kSlabBytes));
  if (memory == nullptr) return nullptr;
  PoisonReturned(memory, kSlabPayloadBytes);
  const std::size_t blocks = kSmall[sizeClass].slabBlocks;
  for (std::size_t block = 0; block < blocks; ++block) SetMark(memory + block * kSmall[sizeClass].bytes);
  const std::uint32_t record = UnitOf(memory) / kSlabUnits;
  Slab& slab = slabs_[record];
  slab.freeBlocks = static_cast<std::uint32_t>(blocks);
  const std::size_t fullWords = blocks / 64;
  const std::size_t rest = blocks % 64;
  std::fill_n(slab.free, fullWords, ~std::uint64_t{0});
  if (rest != 0) slab.free[fullWords] = (std::uint64_t{1} << rest) - 1;
  const std::size_t words = fullWords + (rest != 0 ? 1 : 0);
  slab.freeWords = static_cast<std::uint32_t>((std::uint64_t{1} << words) - 1);
  Link(sizeClass, slab);
  Depot& depot = depots_[sizeClass];
  ++depot.emptySlabs;
  ++depot.slabs;
  ++depot.slabsMade;
  classes_[record].store(static_cast<std::uint8_t>(sizeClass), std::memory_order_relaxed);
  return &slab;
}

void SizeClassHeap::DropSlab(unsigned sizeClass, Slab& slab) noexcept {
  Unlink(sizeClass, slab);
  --depots_[sizeClass].emptySlabs;
  --depots_[sizeClass].slabs;
  std::fill(std::begin(slab.free), std::end(slab.free), 0);
  slab.freeBlocks = slab.freeWords = 0;
  const auto record = static_cast<std::uint32_t>(&slab - slabs_);
  classes_[record].store(kNoClass, std::memory_order_relaxed);
  backing_.Free(AtUnit(record * kSlabUnits));
}

// The blocks of one word of a slab's bitmap, as bits.
void SizeClassHeap::GiveToSlab(unsigned sizeClass, Slab& slab, std::uint32_t word,
                               std::uint64_t bits) noexcept {
  slab.free[word] |= bits;
  slab.freeWords |= std::uint32_t{1} << word;
  if (slab.freeBlocks == 0) Link(sizeClass, slab);
  slab.freeBlocks += static_cast<std::uint32_t>(std::popcount(bits));
  if (slab.freeBlocks != kSmall[sizeClass].slabBlocks) return;
  Depot& depot = depots_[sizeClass];
  // Some stay, so that use that swings does not make and drop slabs all the time.
  if (++depot.emptySlabs > 1 + depot.slabs / 4) DropSlab(sizeClass, slab);
}

// Neighbours are often freed one after the other: they go back together.
void SizeClassHeap::GiveToSlabs(unsigned sizeClass, void* const* blocks, std::uint32_t count) noexcept {
  const std::uint32_t reciprocal = kSmall[sizeClass].reciprocal;
  std::uint32_t record = 0;
  std::uint32_t word = 0;
  std::uint64_t bits = 0;
  for (std::uint32_t each = 0; each < count; ++each) {
    const std::uint64_t offset = AddressOf(blocks[each]) & (kSlabBytes - 1);
    const auto index = static_cast<std::uint32_t>(offset * reciprocal >> 32);
    const std::uint32_t ownRecord = UnitOf(blocks[each]) / kSlabUnits;
    if (bits != 0 && (ownRecord != record || index / 64 != word)) {
      GiveToSlab(sizeClass, slabs_[record], word, bits);
      bits = 0;
    }
    record = ownRecord;
    word = index / 64;
    bits |= std::uint64_t{1} << (index % 64);
  }
  if (bits != 0) GiveToSlab(sizeClass, slabs_[record], word, bits);
}

// Up to `count` free blocks of the first slab that has any; 0 when none has. The lowest comes last.
std::uint32_t SizeClassHeap::TakeFromSlab(unsigned sizeClass, void** blocks, std::uint32_t count) noexcept {
  Depot& depot = depots_[sizeClass];
  if (depot.partial == kNoSlab) return 0;
  Slab& slab = slabs_[depot.partial];
  std::byte* const base = AtUnit(depot.partial * kSlabUnits);
  const std::uint32_t taken = std::min(count, slab.freeBlocks);
  if (slab.freeBlocks == kSmall[sizeClass].slabBlocks) --depot.emptySlabs;
  for (std::uint32_t left = taken; left != 0;) {
    const auto word = static_cast<std::uint32_t>(std::countr_zero(slab.freeWords));
    std::uint64_t bits = slab.free[word];
    for (; bits != 0 && left != 0; bits &= bits - 1) {
      const std::size_t index = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
      blocks[--left] = base + index * kSmall[sizeClass].bytes;
    }
    slab.free[word] = bits;
    if (bits == 0) slab.freeWords &= slab.freeWords - 1;
  }
  slab.freeBlocks -= taken;
  if (slab.freeBlocks == 0) Unlink(sizeClass, slab);
  return taken;
}

// --- between the shards and the depots ---

// Half a stack for a shard that has no block of the class. False when there is no room for a single one.
bool SizeClassHeap::Refill(Shard& shard, unsigned sizeClass) noexcept {
  const std::uint32_t wanted = kSmall[sizeClass].StackBlocks() / 2;
  void** const blocks = shard.Stack(sizeClass);
  Depot& depot = depots_[sizeClass];
  const std::lock_guard lock(depot.lock);
  std::uint32_t got = 0;
  while (got < wanted) {
    const std::uint32_t more = TakeFromSlab(sizeClass, blocks + got, wanted - got);
    // A new slab only for want of any block.
    if (more == 0 && (got != 0 || MakeSlab(sizeClass) == nullptr)) break;
    got += more;
  }
  depot.handedOut += got;
  shard.SetCount(sizeClass, got);
  return got != 0;
}

// Gives the `count` oldest blocks at hand back to their slabs.
void SizeClassHeap::Flush(Shard& shard, unsigned sizeClass, std::uint32_t count) noexcept {
  void** const blocks = shard.Stack(sizeClass);
  const std::uint32_t left = shard.Count(sizeClass) - count;
  {
    Depot& depot = depots_[sizeClass];
    const std::lock_guard lock(depot.lock);
    GiveToSlabs(sizeClass, blocks, count);
    depot.handedOut -= count;
  }
  std::copy_n(blocks + count, left, blocks);
  shard.SetCount(sizeClass, left);
}

void SizeClassHeap::FlushAll(Shard& shard) noexcept {
  for (unsigned sizeClass = 0; sizeClass < kClasses; ++sizeClass) {
    Flush(shard, sizeClass, shard.Count(sizeClass));
  }
}

void SizeClassHeap::Trim() noexcept {
  for (std::uint32_t index = ownShards_; index < ShardCount(); ++index) {
    const ShardGuard guard(shards_[index]);
    FlushAll(shards_[index]);
  }
  if (Shard* const own = ownShardOf_[PeekThreadSlot()]; own != &closedShard_) FlushAll(*own);
  for (unsigned sizeClass = 0; sizeClass < kClasses; ++sizeClass) {
    Depot& depot = depots_[sizeClass];
    const std::lock_guard lock(depot.lock);
    std::uint32_t each = depot.partial;
    while (depot.emptySlabs != 0) {
      Slab& slab = slabs_[each];
      each = slab.next;
      if (slab.freeBlocks == kSmall[sizeClass].slabBlocks) DropSlab(sizeClass, slab);
    }
  }
}

}  // namespace stadial::arenas
