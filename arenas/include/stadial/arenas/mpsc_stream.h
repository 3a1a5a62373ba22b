// MpscByteStream: records of any size from many threads to one, in arena memory. Every producing thread has a
// lane of its own, a byte queue with that one producer, and the consumer drains them all: no cache line has
// two writers. For elements of one type take MpscEventStream.
//
// Growth:       never. The room of a lane is rounded up to a power of two, of bytes at least 64.
// Exhaustion:   the Try forms return false or nullptr and count a refusal; a full lane shuts out no other.
// Alignment:    payloads start at multiples of 8.
// Destructors:  none run; what is written must be trivially copyable.
// Threads:      each lane has at most one Producer at a time, which belongs to one thread; the stream has one
//               consumer (Drain). What a producer wrote before publishing is visible in the visit.
// Invalidation: a record is valid during its visit. The stream cannot be copied or moved; a Producer lives no
//               longer than its stream.
//
// Order and fairness. Order is kept within a lane and not between lanes. A Drain without a limit takes from
// every lane what was published when its turn came and no more, so no producer, however fast, holds up
// another. With a limit it goes on, next time, with the lane behind the one it stopped in: a busy lane waits
// for no more than one turn of each other lane. Both sides are wait-free.
//
// Cost: a copy and a store to a line of the producer's own. A Producer keeps its state in registers, if it is
// a local variable, and reads the consumer's position only when its last look says full (and when it is new:
// get it once, not for every record). The consumer reads each lane's position once a drain.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <type_traits>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/byte_stream.h"

namespace stadial::arenas {

inline constexpr std::size_t kDrainAll = std::numeric_limits<std::size_t>::max();

struct MpscByteStreamOptions {
  std::uint32_t lanes = 1;
  std::size_t bytesPerLane = 0;
};

class MpscByteStream {
  struct Lane;

 public:
  using Options = MpscByteStreamOptions;

  MpscByteStream(Arena& arena, const Options& options) noexcept;
  MpscByteStream(const MpscByteStream&) = delete;
  MpscByteStream& operator=(const MpscByteStream&) = delete;

  class Producer {
   public:
    // The payload of a new record, to be filled by the caller and seen by the consumer after Publish; nullptr
    // when the lane is full or the payload is more than PayloadBytesMax().
    [[nodiscard, gnu::always_inline]] inline std::byte* TryReserve(std::uint32_t tag,
                                                                   std::size_t payloadBytes) noexcept;
    // Shows the consumer every record reserved so far. What is not published when the Producer dies was never
    // written.
    void Publish() noexcept;

    // Reserve and copy: a record that the consumer sees after Publish. Saves a store for each record.
    [[nodiscard]] bool TryStage(std::uint32_t tag, std::span<const std::byte> payload) noexcept {
      std::byte* const place = TryReserve(tag, payload.size());
      if (place == nullptr) [[unlikely]]
        return false;
      if (!payload.empty()) std::memcpy(place, payload.data(), payload.size());
      return true;
    }
    template <class T>
    requires(std::is_trivially_copyable_v<T> && !std::is_convertible_v<const T&, std::span<const std::byte>>)
        [[nodiscard]] bool TryStage(std::uint32_t tag, const T& value) noexcept {
      std::byte* const place = TryReserve(tag, sizeof(T));
      if (place == nullptr) [[unlikely]]
        return false;
      WriteStreamValue(place, value);
      return true;
    }
    // Stage and publish.
    [[nodiscard]] bool TryWrite(std::uint32_t tag, std::span<const std::byte> payload) noexcept {
      const bool staged = TryStage(tag, payload);
      if (staged) [[likely]]
        Publish();
      return staged;
    }
    template <class T>
    requires(std::is_trivially_copyable_v<T> && !std::is_convertible_v<const T&, std::span<const std::byte>>)
        [[nodiscard]] bool TryWrite(std::uint32_t tag, const T& value) noexcept {
      const bool staged = TryStage(tag, value);
      if (staged) [[likely]]
        Publish();
      return staged;
    }

   private:
    friend class MpscByteStream;
    struct Room {
      std::uint64_t written = 0;
      std::uint64_t freeUntil = 0;  // the same when there is no room
    };
    Producer(Lane& lane, std::uint64_t mask) noexcept;
    // Looks at the consumer's position, and leaves a gap at the ring's end where the record would cross it.
    [[gnu::noinline]] static Room FindRoom(Lane& lane, std::uint64_t mask, std::uint64_t written,
                                           std::size_t payloadBytes) noexcept {
      const std::uint64_t capacity = mask + 1;
      const std::uint64_t freeEnd = lane.read.load(std::memory_order_acquire) + capacity;
      const std::uint64_t ringEnd = (written | mask) + 1;
      if (payloadBytes <= capacity / 2 - sizeof(StreamRecordHeader)) {
        const std::size_t recordBytes = StreamRecordBytes(payloadBytes);
        if (recordBytes <= ringEnd - written && recordBytes <= freeEnd - written) {
          return {written, std::min(freeEnd, ringEnd)};
        }
        if (recordBytes > ringEnd - written && ringEnd + recordBytes <= freeEnd) {
          WriteStreamHeader(lane.data + (written & mask), kSkip, 0);
          return {ringEnd, freeEnd};
        }
      }
      lane.refused.store(lane.refused.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      return {};
    }

    Lane* lane_;
    std::byte* data_;
    std::uint64_t mask_;
    std::uint64_t written_;    // position; behind what is published lies what is reserved
    std::uint64_t freeUntil_;  // up to here, and without crossing the ring's end, there is room
  };

  Producer GetProducer(std::uint32_t lane) noexcept;

  // Calls visit(lane, const StreamRecord&) for what is published, at most `recordsMax` records, and removes
  // them; returns how many. Only the consumer. The visitor may write through a Producer of its own thread,
  // and must not drain.
  template <class Visit>
  std::size_t Drain(Visit&& visit, std::size_t recordsMax = kDrainAll);

  std::uint32_t LaneCount() const noexcept { return static_cast<std::uint32_t>(lanes_.size()); }
  std::size_t BytesPerLane() const noexcept { return mask_ + 1; }
  // Half a lane less the header: such a record fits into every empty lane, wherever its ring stands.
  std::size_t PayloadBytesMax() const noexcept { return (mask_ + 1) / 2 - sizeof(StreamRecordHeader); }
  std::uint64_t RefusedCount() const noexcept;  // any thread

 private:
  // A record that would cross the end of the ring starts at its beginning; this stands where it would have.
  static constexpr std::uint32_t kSkip = std::numeric_limits<std::uint32_t>::max();

  // Positions count bytes ever written and read; they do not wrap.
  struct Lane {
    alignas(64) std::atomic<std::uint64_t> published{0};  // the producer's line
    std::atomic<std::uint64_t> refused{0};
    std::byte* data = nullptr;
    alignas(64) std::atomic<std::uint64_t> read{0};  // the consumer's line
  };
  template <class Visit>
  std::size_t DrainLane(std::uint32_t index, Visit& visit, std::size_t recordsMax);

  std::span<Lane> lanes_;
  std::uint64_t mask_ = 0;
  std::uint32_t next_ = 0;  // the lane whose turn comes next
};

inline MpscByteStream::MpscByteStream(Arena& arena, const Options& options) noexcept
    : lanes_(arena.NewArrayUninitialized<Lane>(options.lanes)) {
  STADIAL_ASSERT_COMPARE_ALWAYS(options.lanes, >, 0u, "a stream needs a lane for each producing thread");
  STADIAL_ASSERT_COMPARE_ALWAYS(options.bytesPerLane, <=, kStreamPayloadBytesMax,
                                "bytesPerLane out of range");
  // Whole cache lines: no lane's bytes meet another's in one.
  const std::size_t bytes = std::bit_ceil(std::max(options.bytesPerLane, alignof(Lane)));
  mask_ = bytes - 1;
  for (Lane& lane : lanes_) {
    ::new (static_cast<void*>(&lane)) Lane;
    lane.data = static_cast<std::byte*>(arena.Allocate(bytes, alignof(Lane)));
  }
}

inline std::uint64_t MpscByteStream::RefusedCount() const noexcept {
  std::uint64_t refused = 0;
  for (const Lane& lane : lanes_) refused += lane.refused.load(std::memory_order_relaxed);
  return refused;
}

inline MpscByteStream::Producer MpscByteStream::GetProducer(std::uint32_t lane) noexcept {
  STADIAL_ASSERT_COMPARE(lane, <, LaneCount(), "no such lane");
  return Producer(lanes_[lane], mask_);
}

inline MpscByteStream::Producer::Producer(Lane& lane, std::uint64_t mask) noexcept
    : lane_(&lane),
      data_(lane.data),
      mask_(mask),
      written_(lane.published.load(std::memory_order_relaxed)),
      freeUntil_(written_) {}

inline std::byte* MpscByteStream::Producer::TryReserve(std::uint32_t tag, std::size_t payloadBytes) noexcept {
  const std::size_t recordBytes = StreamRecordBytes(payloadBytes);
  if (payloadBytes > (mask_ + 1) / 2 - sizeof(StreamRecordHeader) || recordBytes > freeUntil_ - written_)
      [[unlikely]] {
    // The new positions come back by value: a Producer whose address never leaves a loop lives in registers.
    const Room room = FindRoom(*lane_, mask_, written_, payloadBytes);
    if (room.written == room.freeUntil) return nullptr;
    written_ = room.written;
    freeUntil_ = room.freeUntil;
  }
  std::byte* const record = data_ + (written_ & mask_);
  WriteStreamHeader(record, payloadBytes, tag);
  written_ += recordBytes;
  return record + sizeof(StreamRecordHeader);
}

inline void MpscByteStream::Producer::Publish() noexcept {
  lane_->published.store(written_, std::memory_order_release);
}

template <class Visit>
std::size_t MpscByteStream::Drain(Visit&& visit, std::size_t recordsMax) {
  std::size_t taken = 0;
  for (std::uint32_t turn = 0; turn < LaneCount() && taken < recordsMax; ++turn) {
    const std::uint32_t index = next_;
    next_ = index + 1 == LaneCount() ? 0 : index + 1;
    taken += DrainLane(index, visit, recordsMax - taken);
  }
  return taken;
}

template <class Visit>
std::size_t MpscByteStream::DrainLane(std::uint32_t index, Visit& visit, std::size_t recordsMax) {
  Lane& lane = lanes_[index];
  const std::byte* const data = lane.data;
  const std::uint64_t mask = mask_;
  const std::uint64_t end = lane.published.load(std::memory_order_acquire);
  std::uint64_t position = lane.read.load(std::memory_order_relaxed);
  std::size_t left = recordsMax;
  while (position != end && left != 0) {
    // A quarter of the lane at a time, so that its producer need not wait for the whole drain to get room;
    // and no further than the ring's end, so that nothing wraps within.
    const std::byte* const first = data + (position & mask);
    const std::byte* const stop =
        first + std::min({end - position, mask / 4 + 1, mask + 1 - (position & mask)});
    const std::byte* record = first;
    do {
      StreamRecordHeader header;
      std::memcpy(&header, record, sizeof header);
      if (header.bytes == kSkip) [[unlikely]] {
        record = data + mask + 1;
        break;
      }
      visit(index, StreamRecord{header.tag, {record + sizeof header, header.bytes}});
      record = NextStreamRecord(record, header.bytes);
      --left;
    } while (record < stop && left != 0);
    position += static_cast<std::uint64_t>(record - first);
    lane.read.store(position, std::memory_order_release);
  }
  return recordsMax - left;
}

}  // namespace stadial::arenas
