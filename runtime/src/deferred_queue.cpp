#include "stadial/runtime/deferred_queue.h"

#include <algorithm>
#include <new>

#include "stadial/runtime/designated_fallback.h"

namespace stadial::runtime {
namespace {

using arenas::AllocationMode;

constexpr std::size_t kRecordAlignment = 32;  // two records per cache line, none across two
static_assert(sizeof(DeferredRecord) == kRecordAlignment);

// A growth chunk holds as many records as the ring, within these bounds: small queues do not grow one record
// at a time, large ones do not ask for megabytes at once.
constexpr std::size_t kChunkRecordsMin = 64;
constexpr std::size_t kChunkRecordsMax = 4096;

// What the log was told of since the last Retire.
enum Warning : std::uint8_t { kWarnedGrowth = 1, kWarnedRejected = 2, kWarnedDiscarded = 4 };

unsigned long long Wide(std::uint64_t value) noexcept { return value; }

}  // namespace

struct alignas(kRecordAlignment) DeferredQueue::Chunk {
  Chunk* next;
  std::size_t begin;  // oldest record
  std::size_t end;    // one past the youngest
  std::size_t capacity;

  DeferredRecord* Records() noexcept { return reinterpret_cast<DeferredRecord*>(this + 1); }
};

std::size_t CalculateDeferredCapacity(std::size_t nodes, std::size_t framesInFlight,
                                      const DeferredSizing& sizing) noexcept {
  std::size_t records = 0;
  if (__builtin_mul_overflow(nodes, sizing.recordsPerNode, &records) ||
      __builtin_mul_overflow(records, framesInFlight, &records)) {
    return DeferredQueue::kCapacityMax;
  }
  return std::min(std::max(records, sizing.recordsMin), DeferredQueue::kCapacityMax);
}

std::size_t DeferredQueue::CalculateBytes(std::size_t capacity) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(capacity, <=, kCapacityMax, "deferred capacity out of range");
  return capacity * sizeof(DeferredRecord) + kRecordAlignment;  // the ring, and its alignment
}

DeferredQueue::DeferredQueue(arenas::Arena& setup, const DeferredQueueOptions& options) noexcept
    : slots_(options.capacity),
      plainLimit_(options.capacity),
      mode_(options.mode),
      site_(options.growth),
      onDiscard_(options.onDiscard),
      onDiscardSelf_(options.onDiscardSelf),
      name_(options.name),
      log_(options.log) {
  STADIAL_ASSERT_COMPARE_ALWAYS(options.capacity, <=, kCapacityMax, "deferred capacity out of range");
  STADIAL_ASSERT_ALWAYS(mode_ != AllocationMode::Fallback || site_ != nullptr,
                        "a deferred queue in Fallback mode needs a designated fallback to grow from");
  ring_ = static_cast<DeferredRecord*>(setup.Allocate(slots_ * sizeof(DeferredRecord), kRecordAlignment));
}

Result<void> DeferredQueue::Reserve(arenas::Arena& setup, std::size_t capacity) noexcept {
  STADIAL_ASSERT_ALWAYS(!isRunning_ && !isDiscarding_ && growthFirst_ == nullptr,
                        "DeferredQueue::Reserve while the queue drains or has grown");
  if (capacity <= slots_) return {};
  void* const memory = capacity > kCapacityMax
                           ? nullptr
                           : setup.TryAllocate(capacity * sizeof(DeferredRecord), kRecordAlignment);
  if (memory == nullptr) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "deferred queue '%s': no room for %zu records of %zu B in arena '%s' (%zu B left; at "
        "most %zu records); raise its capacity",
        name_, capacity, sizeof(DeferredRecord), setup.Name(), setup.RemainingBytes(), kCapacityMax);
  }
  auto* const ring = static_cast<DeferredRecord*>(memory);
  const std::size_t size = Size();
  for (std::size_t i = 0; i < size; ++i) {
    ring[i] = ring_[head_];
    head_ = Next(head_);
  }
  ring_ = ring;
  slots_ = capacity;
  plainLimit_ = capacity;
  head_ = 0;
  tail_ = size;
  return {};
}

DeferredQueue::~DeferredQueue() {
  if (!IsEmpty()) {
    log_.Format(LogLevel::Error,
                "deferred queue '%s' ends with %zu records that never ran; their objects leak (the first: "
                "handle 0x%llx, value %llu); call Flush once the device is idle",
                name_, Size(), Wide(Front().handle), Wide(Front().retireValue));
  }
  while (growthFirst_ != nullptr) ReleaseFirstChunk();
}

AcceptResult DeferredQueue::EnqueueFull(const DeferredRecord& record) noexcept {
  STADIAL_ASSERT_ALWAYS(!isDiscarding_, "onDiscard must not enqueue into the queue that discards");
  switch (mode_) {
    case AllocationMode::Fallback:
      return EnqueueInGrowth(record);
    case AllocationMode::Discard:
      return EnqueueDiscarding(record);
    case AllocationMode::Strict:
      break;
  }
  return Reject(record);
}

AcceptResult DeferredQueue::Reject(const DeferredRecord& record) noexcept {
  ++rejected_;
  if (ShouldWarn(kWarnedRejected)) {
    log_.Format(LogLevel::Warning,
                "deferred queue '%s' is full (%zu of %zu, mode %s): handle 0x%llx, value %llu rejected; "
                "retire more often or raise its capacity",
                name_, Size(), Capacity(), arenas::ToString(mode_), Wide(record.handle),
                Wide(record.retireValue));
  }
  return AcceptResult::Rejected;
}

// Growth is younger than the ring: while it is in use, new records follow there even if the ring has room.
AcceptResult DeferredQueue::EnqueueInGrowth(const DeferredRecord& record) noexcept {
  if ((growthLast_ == nullptr || growthLast_->end == growthLast_->capacity) && !TryGrow())
    return Reject(record);
  growthLast_->Records()[growthLast_->end++] = record;
  ++growthSize_;
  ++pushed_;
  plainLimit_ = 0;
  NotePeak();
  return AcceptResult::AcceptedAfterGrowth;
}

bool DeferredQueue::TryGrow() noexcept {
  const std::size_t records = std::clamp(slots_, kChunkRecordsMin, kChunkRecordsMax);
  void* const memory = site_->TryAllocate(sizeof(Chunk) + records * sizeof(DeferredRecord), kRecordAlignment);
  if (memory == nullptr) return false;
  Chunk* const chunk = ::new (memory) Chunk{.next = nullptr, .begin = 0, .end = 0, .capacity = records};
  (growthLast_ == nullptr ? growthFirst_ : growthLast_->next) = chunk;
  growthLast_ = chunk;
  growthSlots_ += records;
  ++growths_;
  if (ShouldWarn(kWarnedGrowth)) {
    log_.Format(LogLevel::Warning,
                "deferred queue '%s' grew past its capacity of %zu records into fallback '%s'; raise its "
                "capacity",
                name_, slots_, site_->Name());
  }
  return true;
}

AcceptResult DeferredQueue::EnqueueDiscarding(const DeferredRecord& record) noexcept {
  if (slots_ == 0) return Reject(record);
  const DeferredRecord oldest = Front();
  NotePeak();
  PopFront();
  ++discarded_;
  ring_[tail_] = record;
  tail_ = Next(tail_);
  ++pushed_;
  if (ShouldWarn(kWarnedDiscarded)) {
    log_.Format(LogLevel::Warning,
                "deferred queue '%s' is full (%zu, mode Discard): its oldest record, handle 0x%llx, value "
                "%llu, made room and its object leaks; raise its capacity",
                name_, slots_, Wide(oldest.handle), Wide(oldest.retireValue));
  }
  if (onDiscard_ != nullptr) {
    isDiscarding_ = true;
    onDiscard_(onDiscardSelf_, oldest);
    isDiscarding_ = false;
  }
  return AcceptResult::AcceptedOlderDropped;
}

const DeferredRecord& DeferredQueue::Front() const noexcept {
  STADIAL_ASSERT(!IsEmpty(), "the front of an empty deferred queue");
  // Counted with growthSize_, the ring holds the rest.
  return Size() != growthSize_ ? ring_[head_] : growthFirst_->Records()[growthFirst_->begin];
}

void DeferredQueue::PopFront() noexcept {
  STADIAL_ASSERT(!IsEmpty(), "popping from an empty deferred queue");
  if (Size() != growthSize_) {
    head_ = Next(head_);
    ++popped_;
    return;
  }
  ++popped_;
  --growthSize_;
  Chunk& chunk = *growthFirst_;
  ++chunk.begin;
  if (chunk.begin == chunk.capacity || growthSize_ == 0) ReleaseFirstChunk();
  if (growthSize_ == 0) plainLimit_ = slots_;
}

void DeferredQueue::ReleaseFirstChunk() noexcept {
  Chunk* const chunk = growthFirst_;
  growthFirst_ = chunk->next;
  if (growthFirst_ == nullptr) growthLast_ = nullptr;
  growthSlots_ -= chunk->capacity;
  site_->Free(chunk);
}

std::size_t DeferredQueue::Run(std::uint64_t completedValue, std::size_t recordsMax) noexcept {
  NotePeak();
  isRunning_ = true;
  // What the functions enqueue stands behind `end`.
  const std::uint64_t end = pushed_;
  std::size_t count = 0;
  if (mode_ != AllocationMode::Discard) count = RunRing(end - growthSize_, completedValue, recordsMax);
  // One by one: growth, and Discard mode, where the functions may also drop records from the front.
  std::uint64_t known = pushed_;
  while (popped_ < end && count < recordsMax) {
    const DeferredRecord record = Front();
    if (record.retireValue > completedValue) break;
    PopFront();
    ++count;
    record.function(record.device, record.handle);
    if (pushed_ != known) [[unlikely]] {
      known = pushed_;
      NotePeak();
    }
  }
  isRunning_ = false;
  return count;
}

// The records of the ring before `end`: only this loop moves the head, so head and count stay in registers.
std::size_t DeferredQueue::RunRing(std::uint64_t end, std::uint64_t completedValue,
                                   std::size_t recordsMax) noexcept {
  const std::uint64_t first = popped_;
  const std::uint64_t stop = first + std::min<std::uint64_t>(recordsMax, end - first);
  std::uint64_t known = pushed_;
  std::size_t head = head_;
  std::uint64_t popped = first;
  while (popped < stop) {
    const DeferredRecord* const place = ring_ + head;
    if (place->retireValue > completedValue) break;
    const DeferredFunction function = place->function;
    void* const device = place->device;
    const std::uint64_t handle = place->handle;
    // The slot is free from here on: the function may enqueue into it.
    head_ = head = Next(head);
    popped_ = ++popped;
    function(device, handle);
    if (pushed_ != known) [[unlikely]] {
      known = pushed_;
      NotePeak();
    }
  }
  return static_cast<std::size_t>(popped - first);
}

std::size_t DeferredQueue::Retire(std::uint64_t completedValue, std::size_t recordsMax) noexcept {
  if (isRunning_) return 0;
  warned_ = 0;
  return Run(completedValue, recordsMax);
}

std::size_t DeferredQueue::Flush(std::size_t roundsMax) noexcept {
  if (isRunning_) return 0;
  warned_ = 0;
  std::size_t count = 0;
  for (std::size_t round = 0; round < roundsMax && !IsEmpty(); ++round) {
    count += Run(std::numeric_limits<std::uint64_t>::max(), kNoLimit);
  }
  return count;
}

bool DeferredQueue::ShouldWarn(std::uint8_t kind) noexcept {
  const bool isFirst = (warned_ & kind) == 0;
  warned_ |= kind;
  return isFirst;
}

// Read before records leave, and after a function that enqueued: in between the size only rises.
void DeferredQueue::NotePeak() noexcept { peak_ = std::max(peak_, Size()); }

DeferredQueueStats DeferredQueue::GetStats() const noexcept {
  return {.enqueued = pushed_ + rejected_,
          .retired = popped_ - discarded_,
          .rejected = rejected_,
          .discarded = discarded_,
          .growths = growths_,
          .size = Size(),
          .capacity = Capacity(),
          .peak = std::max(peak_, Size())};
}

}  // namespace stadial::runtime
