// DeferredQueue: destruction that waits until the GPU is done (C-b). Fixed records (function, device, handle,
// retire value) in the order of enqueueing; Retire calls the function of every record whose value has been
// reached. One queue per timeline: values of two timelines cannot be compared.
//
//   DeferredQueue queue(setup, {.capacity = CalculateDeferredCapacity(nodes, framesInFlight)});
//   queue.Enqueue(MakeDeferredRecord<&DestroyBuffer>(device, buffer, lastUse));  // in a destructor, too
//   queue.Retire(source.CompletedValue());                                       // once a frame
//
// Order: first in, first out. A record never runs before its value is reached, and never before one that was
// enqueued earlier: views go before their images when they were given up in that order. So a record with a
// small value behind one with a larger value runs with the larger one.
//
// When the queue is full, its mode decides:
//   Strict    the record is rejected: the caller still owns the object, and may wait, Retire and try again. A
//             destructor cannot, so there the object is leaked; it is counted, and the log names it;
//   Fallback  the queue grows by a chunk of the designated fallback; only when that refuses is the record
//             rejected. The chunk is given back as soon as its last record has run;
//   Discard   the oldest record makes room. Its function is NOT called, for the device may still use the
//             object: the object is leaked, counted, given to `onDiscard`, and the log names it.
// One warning of each kind between two calls of Retire.
//
// The functions may do all of this: Enqueue (such a record runs in the next Retire at the earliest, so a
// record that enqueues itself cannot hold the frame up), destroy objects whose destructors enqueue, Retire
// and Flush (do nothing: the outer call goes on). A record has left the queue before its function is called.
//
// The six answers. Growth: Fallback mode only, see above, and Reserve in Setup. Exhaustion: by mode, see
// above. Alignment: 32. Destructors: ~DeferredQueue calls no function (nobody says that the device is idle):
// it reports how many records were left and gives growth back. Threads: one at a time, for everything; a
// queue per thread, or hand records over through an SpscRing. Invalidation: none, records are copied in and
// out. Cost: Enqueue is inline, a copy of 32 bytes; Retire adds one indirect call per record. Neither
// allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/overflow.h"
#include "stadial/arenas/result.h"
#include "stadial/runtime/accept_result.h"
#include "stadial/runtime/log.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

class FallbackSite;

// Destroys `handle`, which belongs to `device`. Must not throw.
using DeferredFunction = void (*)(void* device, std::uint64_t handle) noexcept STADIAL_NONALLOCATING;

struct DeferredRecord {
  DeferredFunction function = nullptr;
  void* device = nullptr;
  std::uint64_t handle = 0;
  std::uint64_t retireValue = 0;  // of the last work that uses the object
};

// A record that will call kDestroy(device, handle). `Handle`: a pointer, an integer or an enum of at most 64
// bits.
template <auto kDestroy, class Device, class Handle>
constexpr DeferredRecord MakeDeferredRecord(Device* device, Handle handle,
                                            std::uint64_t retireValue) noexcept {
  static_assert(sizeof(Handle) <= sizeof(std::uint64_t), "the handle must fit in 64 bits");
  if constexpr (std::is_pointer_v<Handle>) {
    return {[](void* owner, std::uint64_t object) noexcept STADIAL_NONALLOCATING {
              kDestroy(static_cast<Device*>(owner), reinterpret_cast<Handle>(object));
            },
            device, reinterpret_cast<std::uint64_t>(handle), retireValue};
  } else {
    return {[](void* owner, std::uint64_t object) noexcept STADIAL_NONALLOCATING {
              kDestroy(static_cast<Device*>(owner), static_cast<Handle>(object));
            },
            device, static_cast<std::uint64_t>(handle), retireValue};
  }
}

// The sizing rule: max(nodes * recordsPerNode * framesInFlight, recordsMin).
struct DeferredSizing {
  std::size_t recordsPerNode =
      5;  // what one node may give up in one frame (buffer, image, view, set, pipeline)
  std::size_t recordsMin = 64;
};
// Saturates at DeferredQueue::kCapacityMax.
std::size_t CalculateDeferredCapacity(std::size_t nodes, std::size_t framesInFlight,
                                      const DeferredSizing& sizing = {}) noexcept;

// Told of a record that Discard mode drops. Must not enqueue into the same queue (asserted).
using DeferredDiscard = void (*)(void* self, const DeferredRecord& record) noexcept STADIAL_NONALLOCATING;

struct DeferredQueueOptions {
  const char* name = "deferred";  // not copied
  std::size_t capacity = 64;      // records
  arenas::AllocationMode mode = arenas::AllocationMode::Strict;
  FallbackSite* growth = nullptr;  // Fallback mode demands one (asserted); must outlive the queue
  DeferredDiscard onDiscard = nullptr;
  void* onDiscardSelf = nullptr;
  LogSink log = {};
};

// enqueued = retired + discarded + rejected + size, at any moment outside of the calls.
struct DeferredQueueStats {
  std::uint64_t enqueued = 0;  // records given to Enqueue
  std::uint64_t retired = 0;   // functions called
  std::uint64_t rejected = 0;
  std::uint64_t discarded = 0;
  std::uint64_t growths = 0;  // chunks taken
  std::size_t size = 0;       // queued now
  std::size_t capacity = 0;   // of the storage there is now
  std::size_t peak = 0;       // most queued at once
};

class DeferredQueue {
 public:
  static constexpr std::size_t kCapacityMax = std::size_t{1} << 30;
  static constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

  // Carves everything from `setup`, which must have CalculateBytes(capacity) left. A capacity of 0 is a queue
  // that is always full.
  DeferredQueue(arenas::Arena& setup, const DeferredQueueOptions& options) noexcept;
  DeferredQueue(const DeferredQueue&) = delete;
  DeferredQueue& operator=(const DeferredQueue&) = delete;
  ~DeferredQueue();

  static std::size_t CalculateBytes(std::size_t capacity) noexcept;

  // Makes room for `capacity` records at least, carved from `setup`; the records that are queued stay, the
  // old ring's bytes are lost. In Setup, before growth is in use (asserted). CapacityExceeded: too many, or
  // no room in `setup`.
  Result<void> Reserve(arenas::Arena& setup, std::size_t capacity) noexcept;

  // Never Coalesced.
  [[gnu::always_inline]] inline AcceptResult Enqueue(const DeferredRecord& record) noexcept
      STADIAL_NONALLOCATING {
    STADIAL_ASSERT(record.function != nullptr, "a deferred record without a function");
    if (pushed_ - popped_ >= plainLimit_) [[unlikely]]
      return EnqueueFull(record);
    // Member by member: a record that was just built in pieces would otherwise be read back in larger ones,
    // which waits until the stores have reached the cache (it takes twice the time).
    DeferredRecord& slot = ring_[tail_];
    slot.function = record.function;
    slot.device = record.device;
    slot.handle = record.handle;
    slot.retireValue = record.retireValue;
    tail_ = Next(tail_);
    ++pushed_;
    return AcceptResult::Accepted;
  }

  // Calls the functions of the records at the front whose retire value is at most `completedValue`, at most
  // `recordsMax` of them (to spread a large teardown over frames). Returns their number.
  std::size_t Retire(std::uint64_t completedValue,
                     std::size_t recordsMax = kNoLimit) noexcept STADIAL_NONALLOCATING;

  // For the end, when the device is known to be idle: all records whatever their value, and those that their
  // functions enqueue, for at most `roundsMax` rounds. Returns the number of functions called; the queue is
  // empty afterwards unless a function keeps enqueueing.
  std::size_t Flush(std::size_t roundsMax = 64) noexcept STADIAL_NONALLOCATING;

  std::size_t Size() const noexcept { return static_cast<std::size_t>(pushed_ - popped_); }
  std::size_t Capacity() const noexcept { return slots_ + growthSlots_; }
  bool IsEmpty() const noexcept { return pushed_ == popped_; }
  const char* Name() const noexcept { return name_; }
  arenas::AllocationMode Mode() const noexcept { return mode_; }
  DeferredQueueStats GetStats() const noexcept;

 private:
  struct Chunk;
  std::size_t Next(std::size_t index) const noexcept { return index + 1 == slots_ ? 0 : index + 1; }
  AcceptResult EnqueueFull(const DeferredRecord& record) noexcept STADIAL_NONALLOCATING;
  AcceptResult EnqueueInGrowth(const DeferredRecord& record) noexcept;
  AcceptResult EnqueueDiscarding(const DeferredRecord& record) noexcept;
  AcceptResult Reject(const DeferredRecord& record) noexcept;
  bool TryGrow() noexcept;
  const DeferredRecord& Front() const noexcept;
  void PopFront() noexcept;
  void ReleaseFirstChunk() noexcept;
  std::size_t Run(std::uint64_t completedValue, std::size_t recordsMax) noexcept;
  std::size_t RunRing(std::uint64_t end, std::uint64_t completedValue, std::size_t recordsMax) noexcept;
  bool ShouldWarn(std::uint8_t kind) noexcept;
  void NotePeak() noexcept;

  // The inline path's members first: one cache line.
  DeferredRecord* ring_ = nullptr;
  std::size_t slots_ = 0;
  std::size_t tail_ = 0;
  std::size_t head_ = 0;
  std::uint64_t pushed_ = 0;      // records ever queued
  std::uint64_t popped_ = 0;      // of these, run or discarded
  std::uint64_t plainLimit_ = 0;  // the inline path works while fewer are queued; 0 while growth is in use
  arenas::AllocationMode mode_ = arenas::AllocationMode::Strict;
  bool isRunning_ = false;
  bool isDiscarding_ = false;
  std::uint8_t warned_ = 0;  // kinds, since the last Retire

  Chunk* growthFirst_ = nullptr;  // oldest; growth holds the youngest records
  Chunk* growthLast_ = nullptr;
  std::size_t growthSize_ = 0;   // records in growth
  std::size_t growthSlots_ = 0;  // room in growth
  FallbackSite* site_ = nullptr;

  std::uint64_t rejected_ = 0;
  std::uint64_t discarded_ = 0;
  std::uint64_t growths_ = 0;
  std::size_t peak_ = 0;  // as of the last time records left
  DeferredDiscard onDiscard_ = nullptr;
  void* onDiscardSelf_ = nullptr;
  const char* name_ = "";
  LogSink log_;
};

}  // namespace stadial::runtime
