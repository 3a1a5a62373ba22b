#include "stadial/arenas/size_class_heap.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <thread>

#include "abort_line.h"
#include "size_class_slab.h"
#include "stadial/arenas/byte_text.h"
#include "stadial/arenas/poison.h"

namespace stadial::arenas {
namespace {

static_assert(kSlabWords <= 32, "freeWords has a bit for every word");
static_assert(SizeClassHeap::kShardsMax < (1u << 24), "a tag holds a shard and a class");

// offset / bytes as a multiplication: exact for offsets below kSlabBytes and blocks up to kSmallBytesMax,
// because the error of each factor, below 1, times the offset stays below 2^32 / bytes.
constexpr unsigned kClassCount = SizeClassOf(SizeClassHeap::kSmallBytesMax) + 1;
constexpr std::size_t kUnitsMax = SizeClassHeap::kSmallBytesMax / kSizeClassGranularityBytes;
struct ClassTables {
  std::array<std::uint32_t, kClassCount> reciprocals{};
  std::array<std::uint16_t, kClassCount> bytes{};
  std::array<std::uint8_t, kUnitsMax + 1> ofUnits{};  // the class of so many times 16 B
};
constexpr ClassTables kTables = [] {
  ClassTables tables;
  for (unsigned sizeClass = 0; sizeClass < kClassCount; ++sizeClass) {
    const std::size_t bytes = SizeClassBytes(sizeClass);
    tables.reciprocals[sizeClass] = static_cast<std::uint32_t>((std::uint64_t{1} << 32) / bytes + 1);
    tables.bytes[sizeClass] = static_cast<std::uint16_t>(bytes);
  }
  for (std::size_t units = 0; units <= kUnitsMax; ++units) {
    tables.ofUnits[units] = static_cast<std::uint8_t>(SizeClassOf(units * kSizeClassGranularityBytes));
  }
  return tables;
}();
static_assert(SizeClassHeap::kSlabBytes * SizeClassHeap::kSmallBytesMax < (std::uint64_t{1} << 32));

// Numbers threads in the order of their first call. No destructor, so its first use on a thread allocates
// nothing.
std::uint32_t ThreadOrdinal() noexcept {
  static std::atomic<std::uint32_t> next{0};
  static thread_local constinit std::uint32_t ordinal = 0;
  if (ordinal == 0) [[unlikely]]
    ordinal = next.fetch_add(1, std::memory_order_relaxed) + 1;
  return ordinal - 1;
}

void Pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

constexpr bool IsPowerOfTwo(std::size_t value) noexcept { return std::has_single_bit(value); }

std::uintptr_t AddressOf(const void* memory) noexcept { return reinterpret_cast<std::uintptr_t>(memory); }

}  // namespace

void ShardLock::Wait() noexcept {
  constexpr int kSpinsMax = 200;  // some microseconds: many times what the lock is held for
  for (int spins = 0;;) {
    while (taken_.load(std::memory_order_relaxed)) {
      if (++spins < kSpinsMax) {
        Pause();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
    if (!taken_.exchange(true, std::memory_order_acquire)) return;
  }
}

// --- creation ---

// Where the parts lie: all in the given memory, in this order.
struct SizeClassHeap::Layout {
  std::byte* base;
  std::byte* end;
  std::byte* heap;
  std::byte* shards;
  std::byte* slabs;
  std::byte* blocks;
  std::uint32_t slabsMax;

  Layout(std::byte* memory, std::size_t sizeBytes, std::uint32_t shardCount) noexcept
      : base(memory), end(memory + sizeBytes) {
    const std::uintptr_t firstSlab = AddressOf(base) & ~(kSlabBytes - 1);
    slabsMax = static_cast<std::uint32_t>((AddressOf(end) - firstSlab + kSlabBytes - 1) / kSlabBytes);
    heap = Align(base, alignof(SizeClassHeap));
    shards = Align(heap + sizeof(SizeClassHeap), alignof(Shard));
    slabs = Align(shards + shardCount * sizeof(Shard), alignof(Slab));
    blocks = Align(slabs + slabsMax * sizeof(Slab), kSizeClassGranularityBytes);
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
  const Layout layout(base, sizeBytes, options.shards);
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
    : name_(options.name),
      remedy_(options.remedy),
      base_(layout.base),
      end_(layout.end),
      firstSlab_(base_ - (AddressOf(base_) & (kSlabBytes - 1))),
      slabs_(reinterpret_cast<Slab*>(layout.slabs)),
      slabsMax_(layout.slabsMax),
      shardCount_(options.oneThread ? 1 : options.shards),
      oneThread_(options.oneThread),
      shards_(reinterpret_cast<Shard*>(layout.shards)),
      backing_(options.name, layout.blocks, static_cast<std::size_t>(layout.end - layout.blocks)) {
  for (std::uint32_t index = 0; index < slabsMax_; ++index) ::new (static_cast<void*>(slabs_ + index)) Slab;
  for (std::uint32_t index = 0; index < shardCount_; ++index) {
    Shard* const shard = ::new (static_cast<void*>(shards_ + index)) Shard;
    std::fill(std::begin(shard->partial), std::end(shard->partial), kNoSlab);
  }
}

std::size_t SizeClassHeap::Close() noexcept {
  const std::size_t live = Stats().liveBlocks;
  std::byte* const base = base_;
  const auto sizeBytes = static_cast<std::size_t>(end_ - base_);
  std::destroy_n(shards_, shardCount_);
  this->~SizeClassHeap();
  LiftPoison(base, sizeBytes);
  return live;
}

// --- slabs ---

std::uint32_t SizeClassHeap::RecordOf(const void* memory) const noexcept {
  return static_cast<std::uint32_t>((AddressOf(memory) - AddressOf(firstSlab_)) / kSlabBytes);
}

std::byte* SizeClassHeap::BaseOf(const Slab& slab) const noexcept {
  return firstSlab_ + static_cast<std::size_t>(&slab - slabs_) * kSlabBytes;
}

SizeClassHeap::Shard& SizeClassHeap::ShardOfThread() const noexcept {
  return shards_[ThreadOrdinal() % shardCount_];
}

// At the end of the ring: until it is the first again it gathers free blocks, so that a slab does not enter
// and leave the ring for every single one.
void SizeClassHeap::Link(Shard& shard, unsigned sizeClass, Slab& slab) noexcept {
  const auto index = static_cast<std::uint32_t>(&slab - slabs_);
  const std::uint32_t first = shard.partial[sizeClass];
  if (first == kNoSlab) {
    slab.next = slab.previous = shard.partial[sizeClass] = index;
    return;
  }
  slab.next = first;
  slab.previous = slabs_[first].previous;
  slabs_[slab.previous].next = slabs_[first].previous = index;
}

void SizeClassHeap::Unlink(Shard& shard, unsigned sizeClass, Slab& slab) noexcept {
  const auto index = static_cast<std::uint32_t>(&slab - slabs_);
  slabs_[slab.previous].next = slab.next;
  slabs_[slab.next].previous = slab.previous;
  if (shard.partial[sizeClass] == index) shard.partial[sizeClass] = slab.next == index ? kNoSlab : slab.next;
  slab.next = slab.previous = kNoSlab;
}

// A slab of nothing but free blocks, linked; nullptr when there is no room.
SizeClassHeap::Slab* SizeClassHeap::MakeSlab(Shard& shard, unsigned sizeClass) noexcept {
  void* const memory = backing_.Allocate(kSlabPayloadBytes, kSlabBytes);
  if (memory == nullptr) return nullptr;
  PoisonFresh(memory, kSlabPayloadBytes);
  Slab& slab = slabs_[RecordOf(memory)];
  slab.blockCount = slab.freeBlocks =
      static_cast<std::uint32_t>(kSlabPayloadBytes / SizeClassBytes(sizeClass));
  const std::size_t fullWords = slab.blockCount / 64;
  const std::size_t rest = slab.blockCount % 64;
  for (std::size_t word = 0; word < fullWords; ++word) slab.free[word] = ~std::uint64_t{0};
  if (rest != 0) slab.free[fullWords] = (std::uint64_t{1} << rest) - 1;
  const std::size_t words = fullWords + (rest != 0 ? 1 : 0);
  slab.freeWords = static_cast<std::uint32_t>((std::uint64_t{1} << words) - 1);
  Link(shard, sizeClass, slab);
  ++shard.emptySlabs[sizeClass];
  ++shard.slabs;
  ++shard.slabsMade;
  slab.tag.store(Slab::MakeTag(static_cast<std::uint32_t>(&shard - shards_), sizeClass),
                 std::memory_order_relaxed);
  return &slab;
}

void SizeClassHeap::DropSlab(Shard& shard, unsigned sizeClass, Slab& slab) noexcept {
  Unlink(shard, sizeClass, slab);
  --shard.emptySlabs[sizeClass];
  --shard.slabs;
  std::fill(std::begin(slab.free), std::end(slab.free), 0);
  slab.freeWords = 0;
  slab.tag.store(0, std::memory_order_relaxed);
  backing_.Free(BaseOf(slab));
}

void SizeClassHeap::Trim() noexcept {
  for (std::uint32_t index = 0; index < shardCount_; ++index) {
    Shard& shard = shards_[index];
    const ShardGuard guard(shard, oneThread_);
    for (unsigned sizeClass = 0; sizeClass < kClasses; ++sizeClass) {
      FlushReady(shard, sizeClass, shard.readyCount[sizeClass]);
      std::uint32_t each = shard.partial[sizeClass];
      while (shard.emptySlabs[sizeClass] != 0) {
        Slab& slab = slabs_[each];
        each = slab.next;
        if (slab.IsEmpty()) DropSlab(shard, sizeClass, slab);
      }
    }
  }
}

// --- small blocks ---

// Puts some blocks at hand. Whether there were any.
bool SizeClassHeap::Refill(Shard& shard, unsigned sizeClass) noexcept {
  const std::uint32_t first = shard.partial[sizeClass];
  Slab* const slab = first != kNoSlab ? slabs_ + first : MakeSlab(shard, sizeClass);
  if (slab == nullptr) return false;
  if (slab->IsEmpty()) --shard.emptySlabs[sizeClass];
  const std::uint32_t count = std::min(slab->freeBlocks, kReadyMax / 2);
  const auto record = static_cast<std::uint32_t>(slab - slabs_) << kBlockIndexBits;
  for (std::uint32_t taken = 0; taken < count; ++taken) {
    const auto word = static_cast<std::uint32_t>(std::countr_zero(slab->freeWords));
    const std::uint64_t bits = slab->free[word];
    slab->free[word] = bits & (bits - 1);
    if (slab->free[word] == 0) slab->freeWords &= slab->freeWords - 1;
    shard.ready[sizeClass][count - 1 - taken] =
        record | (word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
  }
  shard.readyCount[sizeClass] = static_cast<std::uint8_t>(count);
  shard.handedOut[sizeClass] += count;
  slab->freeBlocks -= count;
  if (slab->freeBlocks == 0) Unlink(shard, sizeClass, *slab);
  return true;
}

void SizeClassHeap::GiveToSlab(Shard& shard, unsigned sizeClass, std::uint32_t block) noexcept {
  Slab& slab = slabs_[block >> kBlockIndexBits];
  const std::uint32_t index = block & ((1u << kBlockIndexBits) - 1);
  slab.free[index / 64] |= std::uint64_t{1} << (index % 64);
  slab.freeWords |= std::uint32_t{1} << (index / 64);
  --shard.handedOut[sizeClass];
  if (slab.freeBlocks++ == 0) Link(shard, sizeClass, slab);
  if (slab.IsEmpty() && ++shard.emptySlabs[sizeClass] > 1) DropSlab(shard, sizeClass, slab);
}

// Of the blocks at hand, gives the `count` oldest back to their slabs.
void SizeClassHeap::FlushReady(Shard& shard, unsigned sizeClass, std::uint32_t count) noexcept {
  std::uint32_t* const ready = shard.ready[sizeClass];
  for (std::uint32_t each = 0; each < count; ++each) GiveToSlab(shard, sizeClass, ready[each]);
  const std::uint32_t kept = shard.readyCount[sizeClass] - count;
  std::copy_n(ready + count, kept, ready);
  shard.readyCount[sizeClass] = static_cast<std::uint8_t>(kept);
}

void* SizeClassHeap::AllocateSmall(unsigned sizeClass, std::size_t sizeBytes) noexcept {
  Shard& shard = ShardOfThread();
  const ShardGuard guard(shard, oneThread_);
  if (shard.readyCount[sizeClass] == 0 && !Refill(shard, sizeClass)) [[unlikely]]
    return nullptr;
  const std::uint32_t block = shard.ready[sizeClass][--shard.readyCount[sizeClass]];
  Slab& slab = slabs_[block >> kBlockIndexBits];
  const std::size_t index = block & ((1u << kBlockIndexBits) - 1);
  slab.live[index / 64] |= std::uint64_t{1} << (index % 64);
  const std::size_t blockBytes = kTables.bytes[sizeClass];
  ++shard.allocations;
  void* const memory = firstSlab_ + std::size_t{block >> kBlockIndexBits} * kSlabBytes + index * blockBytes;
  OpenAllocation(memory, sizeBytes);
  return memory;
}

// The position of a live block in its slab. Under the lock of the slab's shard.
std::size_t SizeClassHeap::IndexOfLive(const Slab& slab, std::uint32_t tag, const void* memory,
                                       const char* operation) const noexcept {
  if (slab.tag.load(std::memory_order_relaxed) != tag) {
    Misuse(memory, operation, "its slab was given back meanwhile (double free)");
  }
  const std::size_t offset = AddressOf(memory) & (kSlabBytes - 1);
  const unsigned sizeClass = Slab::ClassOf(tag);
  const auto index = static_cast<std::size_t>(offset * std::uint64_t{kTables.reciprocals[sizeClass]} >> 32);
  if (index * std::size_t{kTables.bytes[sizeClass]} != offset || index >= slab.blockCount) {
    Misuse(memory, operation, "no block starts there");
  }
  if ((slab.live[index / 64] >> (index % 64) & 1) == 0) {
    Misuse(memory, operation, "no block is live there (double free, or never handed out)");
  }
  return index;
}

std::size_t SizeClassHeap::SmallBytes(const Slab& slab, std::uint32_t tag, const void* memory,
                                      const char* operation) const noexcept {
  const ShardGuard guard(shards_[Slab::ShardOf(tag)], oneThread_);
  IndexOfLive(slab, tag, memory, operation);
  return kTables.bytes[Slab::ClassOf(tag)];
}

// --- operations ---

void* SizeClassHeap::AllocateUncounted(std::size_t sizeBytes, std::size_t alignment) noexcept {
  if (!IsPowerOfTwo(alignment) || alignment > kAlignmentMax) return nullptr;
  std::size_t small = kSmallBytesMax + 1;
  if (sizeBytes <= kSmallBytesMax && alignment <= kSmallBytesMax) {
    small = (std::max<std::size_t>(sizeBytes, 1) + alignment - 1) & ~(alignment - 1);
  }
  const bool isSmall = small <= kSmallBytesMax;
  const unsigned sizeClass = isSmall ? kTables.ofUnits[(small + 15) / kSizeClassGranularityBytes] : 0;
  void* memory = isSmall ? AllocateSmall(sizeClass, sizeBytes) : backing_.Allocate(sizeBytes, alignment);
  if (memory != nullptr) [[likely]]
    return memory;
  if (sizeBytes > static_cast<std::size_t>(end_ - base_)) return nullptr;
  Trim();
  if (isSmall) memory = AllocateSmall(sizeClass, sizeBytes);
  // The last room may be too small for a slab and enough for one block.
  return memory != nullptr ? memory : backing_.Allocate(sizeBytes, alignment);
}

void* SizeClassHeap::TryAllocate(std::size_t sizeBytes, std::size_t alignment) noexcept {
  void* const memory = AllocateUncounted(sizeBytes, alignment);
  if (memory == nullptr) [[unlikely]]
    refusals_.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void* SizeClassHeap::Allocate(std::size_t sizeBytes, std::size_t alignment) noexcept {
  void* const memory = TryAllocate(sizeBytes, alignment);
  if (memory == nullptr) [[unlikely]]
    Exhausted(sizeBytes, alignment);
  return memory;
}

void SizeClassHeap::Free(void* memory) noexcept {
  if (memory == nullptr) return;
  if (!Contains(memory)) Misuse(memory, "Free", "it does not lie in this heap (foreign pointer)");
  const std::uint32_t record = RecordOf(memory);
  Slab& slab = slabs_[record];
  const std::uint32_t tag = slab.tag.load(std::memory_order_relaxed);
  if (tag == 0) {
    backing_.Free(memory);
    return;
  }
  Shard& shard = shards_[Slab::ShardOf(tag)];
  const ShardGuard guard(shard, oneThread_);
  const std::size_t index = IndexOfLive(slab, tag, memory, "Free");
  const unsigned sizeClass = Slab::ClassOf(tag);
  const std::size_t blockBytes = std::size_t{kTables.bytes[sizeClass]};
  PoisonReturned(memory, blockBytes);
  slab.live[index / 64] &= ~(std::uint64_t{1} << (index % 64));
  if (shard.readyCount[sizeClass] == kReadyMax) [[unlikely]]
    FlushReady(shard, sizeClass, kReadyMax / 2);
  shard.ready[sizeClass][shard.readyCount[sizeClass]++] =
      record << kBlockIndexBits | static_cast<std::uint32_t>(index);
}

void* SizeClassHeap::ReallocateLarge(void* memory, std::size_t sizeBytes, std::size_t alignment) noexcept {
  void* moved = backing_.Reallocate(memory, sizeBytes, alignment);
  if (moved == nullptr && IsPowerOfTwo(alignment) && sizeBytes <= static_cast<std::size_t>(end_ - base_)) {
    Trim();
    moved = backing_.Reallocate(memory, sizeBytes, alignment);
  }
  if (moved == nullptr) refusals_.fetch_add(1, std::memory_order_relaxed);
  return moved;
}

void* SizeClassHeap::TryReallocate(void* memory, std::size_t sizeBytes, std::size_t alignment) noexcept {
  if (memory == nullptr) return TryAllocate(sizeBytes, alignment);
  if (sizeBytes == 0) {
    Free(memory);
    return nullptr;
  }
  if (!Contains(memory)) Misuse(memory, "TryReallocate", "it does not lie in this heap (foreign pointer)");
  const Slab& slab = slabs_[RecordOf(memory)];
  const std::uint32_t tag = slab.tag.load(std::memory_order_relaxed);
  if (tag == 0) return ReallocateLarge(memory, sizeBytes, alignment);
  const std::size_t blockBytes = SmallBytes(slab, tag, memory, "TryReallocate");
  const bool fits = sizeBytes <= blockBytes && (AddressOf(memory) & (alignment - 1)) == 0;
  // A block that shrinks below half moves to a class of its own; it stays where it is when there is none.
  const bool stays = fits && sizeBytes > blockBytes / 2;
  void* const moved = stays ? nullptr : AllocateUncounted(sizeBytes, alignment);
  if (moved == nullptr) {
    if (!fits) {
      refusals_.fetch_add(1, std::memory_order_relaxed);
      return nullptr;
    }
    PoisonFresh(memory, blockBytes);
    LiftPoison(memory, sizeBytes);
    return memory;
  }
  const std::size_t kept = std::min(blockBytes, sizeBytes);
  LiftPoison(memory, kept);
  std::memcpy(moved, memory, kept);
  Free(memory);
  return moved;
}

std::size_t SizeClassHeap::UsableSize(const void* memory) const noexcept {
  if (!Contains(memory)) Misuse(memory, "UsableSize", "it does not lie in this heap (foreign pointer)");
  const Slab& slab = slabs_[RecordOf(memory)];
  const std::uint32_t tag = slab.tag.load(std::memory_order_relaxed);
  if (tag == 0) return backing_.SizeOf(memory);
  const std::size_t blockBytes = SmallBytes(slab, tag, memory, "UsableSize");
  LiftPoison(memory, blockBytes);
  return blockBytes;
}

// --- failures ---

void SizeClassHeap::Misuse(const void* memory, const char* operation, const char* what) const noexcept {
  AbortWithLine("stadial: heap '%s': %s(%p): %s; its memory is %p to %p", name_, operation, memory, what,
                static_cast<const void*>(base_), static_cast<const void*>(end_));
}

void SizeClassHeap::Exhausted(std::size_t sizeBytes, std::size_t alignment) const noexcept {
  const SizeClassHeapStats stats = Stats();
  AbortWithLine(
      "stadial: heap '%s' exhausted: asked %s at a multiple of %zu, %s taken of %s (peak %s, %llu blocks "
      "live)%s; %s",
      name_, FormatBytes(sizeBytes).Get(), alignment, FormatBytes(stats.takenBytes).Get(),
      FormatBytes(stats.capacityBytes).Get(), FormatBytes(stats.peakBytes).Get(),
      static_cast<unsigned long long>(stats.liveBlocks), IsSealed() ? ", sealed" : "", remedy_);
}

}  // namespace stadial::arenas
