#include "stadial/arenas/fallback_heap.h"

#include <mimalloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "abort_line.h"
#include "stadial/arenas/byte_text.h"

namespace stadial::arenas {
namespace {

constexpr std::uint32_t kLiveMagic = 0x53746c76;
constexpr std::uint32_t kFreedMagic = 0x53746672;
constexpr std::uint32_t kForwardMagic = 0x53746677;

// mimalloc never forgets an arena. A segment that comes back at the same place must not be registered twice,
// and one that several heaps share must be registered once.
struct ManagedRange {
  const std::byte* base;
  std::size_t bytes;
  mi_arena_id_t arena;
};
constexpr std::size_t kManagedRangesMax = 128;  // more than mimalloc has room for
ManagedRange managedRanges[kManagedRangesMax];
std::size_t managedRangeCount = 0;
std::mutex managedRangesMutex;

// The id of mimalloc's arena over these bytes, registered at the first call.
bool ArenaOver(std::byte* base, std::size_t bytes, mi_arena_id_t& arena) noexcept {
  const std::lock_guard lock(managedRangesMutex);
  for (std::size_t index = 0; index < managedRangeCount; ++index) {
    if (managedRanges[index].base == base && managedRanges[index].bytes == bytes) {
      arena = managedRanges[index].arena;
      return true;
    }
  }
  if (managedRangeCount == kManagedRangesMax) return false;
  // Declared as large pages although they are not: mimalloc treats such memory as pinned and neither
  // decommits nor purges it, so that no allocation or free in there ever reaches the kernel.
  constexpr bool kIsCommitted = true;
  constexpr bool kIsPinned = true;
  constexpr bool kIsZero = false;  // true only at the first use of these addresses
  constexpr int kAnyNumaNode = -1;
  constexpr bool kExclusive = true;
  if (!mi_manage_os_memory_ex(base, bytes, kIsCommitted, kIsPinned, kIsZero, kAnyNumaNode, kExclusive,
                              &arena))
    return false;
  managedRanges[managedRangeCount++] = {base, bytes, arena};
  return true;
}

// Different for every thread that is alive.
std::uintptr_t CurrentThreadMark() noexcept STADIAL_NONALLOCATING {
  static thread_local char mark [[gnu::tls_model("initial-exec")]];
  return STADIAL_EFFECTS_REVIEWED("thread-local storage of one byte",
                                  reinterpret_cast<std::uintptr_t>(&mark));
}

std::uint32_t NextIdentity() noexcept {
  static std::atomic<std::uint32_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

[[noreturn]] void AbortOtherThread(const char* component, const char* operation) noexcept {
  char line[256];
  const int formatted =
      std::snprintf(line, sizeof line,
                    "stadial: fallback heap '%s': %s from a thread that does not own it; only Free and "
                    "Stats may be called from other threads\n",
                    component, operation);
  if (formatted > 0) {
    const auto length = std::min(static_cast<std::size_t>(formatted), sizeof line - 1);
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line, length);
  }
  std::abort();
}

mi_heap_t* HeapOf(void* heap) noexcept { return static_cast<mi_heap_t*>(heap); }

}  // namespace

// Stands right before every payload. When alignment puts the payload further inside mimalloc's block, a
// second record with kForwardMagic at the block's start tells where. mimalloc overwrites the first 8 bytes of
// a block that it gets back; the magic lies behind them and survives until the block is handed out again.
struct FallbackHeap::BlockHeader {
  std::uint32_t payloadOffset;  // from the start of mimalloc's block
  std::uint32_t sizeBytes;      // as requested
  std::uint32_t identity;       // of the heap
  std::uint32_t magic;
};

Result<FallbackHeap*> FallbackHeap::Create(const char* component, Segment& segment, std::size_t budgetBytes,
                                           Arena& memory) {
  static_assert(sizeof(BlockHeader) == 16);
  STADIAL_ASSERT(component != nullptr, "a fallback heap needs the name of its component");
  const std::size_t bytes = segment.CommittedBytes();
  if (bytes == 0 || bytes % kSegmentAlignmentBytes != 0 ||
      reinterpret_cast<std::uintptr_t>(segment.Base()) % kSegmentAlignmentBytes != 0 ||
      segment.Access() != PageAccess::ReadWrite) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "fallback heap '%s': segment '%s' has %s committed at %p; it needs a multiple of %s, writable, at "
        "a multiple of %s (SegmentOptions::alignmentBytes)",
        component, segment.Name(), FormatBytes(bytes).Get(), static_cast<void*>(segment.Base()),
        FormatBytes(kSegmentAlignmentBytes).Get(), FormatBytes(kSegmentAlignmentBytes).Get());
  }
  void* const record = memory.TryAllocate(sizeof(FallbackHeap), alignof(FallbackHeap));
  if (record == nullptr) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "fallback heap '%s': its record needs %zu B, arena '%s' has %s left", component,
                         sizeof(FallbackHeap), memory.Name(), FormatBytes(memory.RemainingBytes()).Get());
  }
  mi_arena_id_t arena = 0;
  if (!ArenaOver(segment.Base(), bytes, arena)) {
    return Error::Format(
        ErrorCode::OutOfMemory,
        "fallback heap '%s': mimalloc's table of arenas is full after %zu segments; it lasts for the life "
        "of the process, so reuse regions instead of making new ones",
        component, managedRangeCount);
  }
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  if (heap == nullptr) {
    return Error::Format(ErrorCode::OutOfMemory,
                         "fallback heap '%s': mimalloc refused a heap in segment '%s'", component,
                         segment.Name());
  }
  return ::new (record) FallbackHeap(component, segment, budgetBytes, heap, NextIdentity());
}

FallbackHeap::FallbackHeap(const char* component, Segment& segment, std::size_t budgetBytes, void* heap,
                           std::uint32_t identity) noexcept
    : component_(component),
      segment_(&segment),
      heap_(heap),
      ownerThread_(CurrentThreadMark()),
      identity_(identity),
      budgetBytes_(budgetBytes) {
  // Makes mimalloc set up its own records now, not in the first frame that falls back.
  mi_free(mi_heap_malloc(HeapOf(heap_), sizeof(BlockHeader)));
}

std::size_t FallbackHeap::Close() noexcept {
  if (heap_ == nullptr) return 0;
  AssertOwner("Close");
  const std::size_t live = LiveBlocks();
  mi_heap_destroy(HeapOf(heap_));
  heap_ = nullptr;
  liveBlocks_.store(0, std::memory_order_relaxed);
  liveBytes_.store(0, std::memory_order_relaxed);
  return live;
}

// Takes the bytes out of the budget. Frees on other threads may give some back at the same time.
bool FallbackHeap::TryReserve(std::size_t sizeBytes) noexcept {
  std::uint64_t live = liveBytes_.load(std::memory_order_relaxed);
  do {
    if (live > budgetBytes_ || sizeBytes > budgetBytes_ - live) return false;
  } while (!liveBytes_.compare_exchange_weak(live, live + sizeBytes, std::memory_order_relaxed));
  if (live + sizeBytes > peakBytes_.load(std::memory_order_relaxed)) {
    peakBytes_.store(live + sizeBytes, std::memory_order_relaxed);  // only the owner allocates
  }
  return true;
}

void* FallbackHeap::TryAllocate(std::size_t sizeBytes, std::size_t alignment) noexcept {
  AssertOwner("TryAllocate");
  STADIAL_ASSERT(heap_ != nullptr, "the fallback heap is closed");
  STADIAL_ASSERT(alignment != 0 && (alignment & (alignment - 1)) == 0, "alignment must be a power of two");
  const std::size_t blockAlignment = std::max<std::size_t>(alignment, sizeof(BlockHeader));
  const std::uint64_t peakBefore = peakBytes_.load(std::memory_order_relaxed);
  std::byte* block = nullptr;
  if (alignment <= kAlignmentMax && sizeBytes < segment_->CommittedBytes() && TryReserve(sizeBytes)) {
    // mimalloc's blocks are 16-aligned; above that the payload is moved inside a larger block.
    block = static_cast<std::byte*>(STADIAL_EFFECTS_REVIEWED(
        "the designated fallback itself", mi_heap_malloc(HeapOf(heap_), sizeBytes + blockAlignment)));
    if (block == nullptr) {
      liveBytes_.fetch_sub(sizeBytes, std::memory_order_relaxed);
      peakBytes_.store(peakBefore, std::memory_order_relaxed);
    }
  }
  if (block == nullptr) {
    refusals_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  const std::uintptr_t earliest = reinterpret_cast<std::uintptr_t>(block) + sizeof(BlockHeader);
  const auto offset =
      static_cast<std::uint32_t>(sizeof(BlockHeader) + ((0 - earliest) & (blockAlignment - 1)));
  BlockHeader header{.payloadOffset = offset,
                     .sizeBytes = static_cast<std::uint32_t>(sizeBytes),
                     .identity = identity_,
                     .magic = kLiveMagic};
  ::new (static_cast<void*>(block + offset - sizeof header)) BlockHeader(header);
  if (offset != sizeof header) {
    header.magic = kForwardMagic;
    ::new (static_cast<void*>(block)) BlockHeader(header);
  }
  liveBlocks_.fetch_add(1, std::memory_order_relaxed);
  allocations_.fetch_add(1, std::memory_order_relaxed);
  return block + offset;
}

void FallbackHeap::Free(void* memory) noexcept {
  if (memory == nullptr) return;
  BlockHeader* const header = LiveHeader(memory, "Free");
  const std::uint32_t offset = header->payloadOffset;
  const std::uint32_t sizeBytes = header->sizeBytes;
  header->magic = kFreedMagic;
  frees_.fetch_add(1, std::memory_order_relaxed);
  liveBlocks_.fetch_sub(1, std::memory_order_relaxed);
  liveBytes_.fetch_sub(sizeBytes, std::memory_order_relaxed);
  STADIAL_EFFECTS_REVIEWED("the designated fallback itself",
                           mi_free(static_cast<std::byte*>(memory) - offset));
}

void* FallbackHeap::Allocate(std::size_t sizeBytes, std::size_t alignment) noexcept {
  void* const memory = TryAllocate(sizeBytes, alignment);
  if (memory == nullptr) [[unlikely]]
    Exhausted(sizeBytes, alignment);
  return memory;
}

void* FallbackHeap::TryReallocate(void* memory, std::size_t sizeBytes, std::size_t alignment) noexcept {
  if (memory == nullptr) return TryAllocate(sizeBytes, alignment);
  if (sizeBytes == 0) {
    Free(memory);
    return nullptr;
  }
  AssertOwner("TryReallocate");
  BlockHeader* const header = LiveHeader(memory, "TryReallocate");
  const std::size_t oldBytes = header->sizeBytes;
  if (sizeBytes <= oldBytes && (reinterpret_cast<std::uintptr_t>(memory) & (alignment - 1)) == 0) {
    header->sizeBytes = static_cast<std::uint32_t>(sizeBytes);
    liveBytes_.fetch_sub(oldBytes - sizeBytes, std::memory_order_relaxed);
    return memory;
  }
  void* const moved = TryAllocate(sizeBytes, alignment);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, memory, std::min(oldBytes, sizeBytes));
  Free(memory);
  return moved;
}

std::size_t FallbackHeap::SizeOf(const void* memory) const noexcept {
  return LiveHeader(memory, "SizeOf")->sizeBytes;
}

FallbackHeapStats FallbackHeap::Stats() const noexcept {
  const auto get = [](const std::atomic<std::uint64_t>& value) {
    return value.load(std::memory_order_relaxed);
  };
  return {.liveBlocks = get(liveBlocks_),
          .liveBytes = get(liveBytes_),
          .peakBytes = get(peakBytes_),
          .allocations = get(allocations_),
          .frees = get(frees_),
          .refusals = get(refusals_),
          .budgetBytes = budgetBytes_};
}

std::size_t FallbackHeap::LiveBlocks() noexcept {
  AssertOwner("LiveBlocks");
  if (heap_ == nullptr) return 0;
  mi_heap_collect(HeapOf(heap_), false);  // brings in what other threads freed
  std::size_t blocks = 0;
  const auto countArea = [](const mi_heap_t*, const mi_heap_area_t* area, void*, std::size_t, void* context) {
    *static_cast<std::size_t*>(context) += area->used;
    return true;
  };
  mi_heap_visit_blocks(HeapOf(heap_), false, countArea, &blocks);
  return blocks;
}

void FallbackHeap::Visit(VisitFunction visit, void* context) noexcept {
  AssertOwner("Visit");
  if (heap_ == nullptr) return;
  mi_heap_collect(HeapOf(heap_), false);
  struct Visitor {
    VisitFunction visit;
    void* context;
  } visitor{visit, context};
  const auto visitBlock = [](const mi_heap_t*, const mi_heap_area_t*, void* block, std::size_t,
                             void* argument) {
    if (block == nullptr) return true;  // the area itself
    const auto* const header = static_cast<const BlockHeader*>(block);
    const auto* const target = static_cast<const Visitor*>(argument);
    std::byte* const payload = static_cast<std::byte*>(block) + header->payloadOffset;
    return target->visit(target->context, payload, header->sizeBytes);
  };
  mi_heap_visit_blocks(HeapOf(heap_), true, visitBlock, &visitor);
}

FallbackHeap::BlockHeader* FallbackHeap::LiveHeader(const void* memory,
                                                    const char* operation) const noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const auto base = reinterpret_cast<std::uintptr_t>(segment_->Base());
  if (!Contains(memory) || address % sizeof(BlockHeader) != 0 || address < base + sizeof(BlockHeader)) {
    Misuse(memory, operation, "it does not lie in this heap's segment (foreign pointer)");
  }
  auto* const header = reinterpret_cast<BlockHeader*>(address - sizeof(BlockHeader));
  if (header->magic == kFreedMagic) Misuse(memory, operation, "it was freed already (double free)");
  if (header->magic != kLiveMagic)
    Misuse(memory, operation, "no live block starts there, or its header was overwritten");
  if (header->identity != identity_)
    Misuse(memory, operation, "it belongs to another heap of the same segment");
  return header;
}

void FallbackHeap::Misuse(const void* memory, const char* operation, const char* what) const noexcept {
  char line[512];
  const int formatted =
      std::snprintf(line, sizeof line, "stadial: fallback heap '%s': %s(%p): %s; segment '%s' is %p + %s\n",
                    component_, operation, memory, what, segment_->Name(),
                    static_cast<void*>(segment_->Base()), FormatBytes(segment_->ReservedBytes()).Get());
  if (formatted > 0) {
    const auto length = std::min(static_cast<std::size_t>(formatted), sizeof line - 1);
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line, length);
  }
  std::abort();
}

void FallbackHeap::Exhausted(std::size_t sizeBytes, std::size_t alignment) const noexcept {
  const FallbackHeapStats stats = Stats();
  AbortWithLine(
      "stadial: fallback heap '%s' exhausted: asked %s at a multiple of %zu, %s live of its budget of %s "
      "(peak %s, "
      "%llu blocks); raise its budget, or segment '%s' of %s which it lies in",
      component_, FormatBytes(sizeBytes).Get(), alignment, FormatBytes(stats.liveBytes).Get(),
      FormatBytes(budgetBytes_).Get(), FormatBytes(stats.peakBytes).Get(),
      static_cast<unsigned long long>(stats.liveBlocks), segment_->Name(),
      FormatBytes(segment_->CommittedBytes()).Get());
}

void FallbackHeap::AssertOwner(const char* operation) const noexcept {
  if (ownerThread_ != CurrentThreadMark()) [[unlikely]]
    AbortOtherThread(component_, operation);
}

}  // namespace stadial::arenas
