// ByteStream: records of any size and kind, one behind the other, in arena memory. Written, read from the
// first on, and cleared: what a command list or the event log of a frame needs. Between threads take
// MpscByteStream.
//
// Growth:       never.
// Exhaustion:   Write and Reserve assert (in every build); the Try forms return false or nullptr and change
//               nothing.
// Alignment:    payloads start at multiples of 8.
// Destructors:  none run; what is written must be trivially copyable.
// Threads:      one at a time; concurrent readers without a writer are fine.
// Invalidation: records never move; all die with Clear. Not copyable; a moved-from stream has capacity 0.
//
// Cost: one compare, an 8-byte header and the payload, rounded up to 8. Clear is O(1).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

inline constexpr std::size_t kStreamAlignment = 8;

// What precedes every payload.
struct StreamRecordHeader {
  std::uint32_t bytes;  // of the payload
  std::uint32_t tag;
};
static_assert(sizeof(StreamRecordHeader) == kStreamAlignment);

// A record as its reader sees it. The tag is the writer's: it says what the bytes are.
struct StreamRecord {
  std::uint32_t tag = 0;
  std::span<const std::byte> bytes;

  // The payload as the T it was written as (asserted: of that size), in place.
  template <class T>
  const T& Get() const noexcept {
    static_assert(std::is_trivially_copyable_v<T>, "a record is a copy of bytes");
    static_assert(alignof(T) <= kStreamAlignment, "copy it out of `bytes`");
    STADIAL_ASSERT_COMPARE(bytes.size(), ==, sizeof(T), "the record was written as another type");
    return *std::launder(reinterpret_cast<const T*>(bytes.data()));
  }
};

// What a record with this payload takes of a stream. `payloadBytes` at most kStreamPayloadBytesMax.
constexpr std::size_t StreamRecordBytes(std::size_t payloadBytes) noexcept {
  return sizeof(StreamRecordHeader) + ((payloadBytes + kStreamAlignment - 1) & ~(kStreamAlignment - 1));
}
// Where the record that begins at `record` ends. Its address is rounded rather than its size: a reader, who
// knows the next one's place only then, has it an instruction earlier.
inline std::uintptr_t StreamRecordEnd(const std::byte* record, std::size_t payloadBytes) noexcept {
  return (reinterpret_cast<std::uintptr_t>(record) + StreamRecordBytes(0) + kStreamAlignment - 1 +
          payloadBytes) &
         ~(kStreamAlignment - 1);
}
template <class Byte>
Byte* NextStreamRecord(Byte* record, std::size_t payloadBytes) noexcept {
  return record + (StreamRecordEnd(record, payloadBytes) - reinterpret_cast<std::uintptr_t>(record));
}
inline constexpr std::size_t kStreamPayloadBytesMax = std::size_t{1} << 30;

// Written as one word, and not as bytes, which could be anything's: so the compiler knows that a stream's own
// cursor is not what is overwritten.
inline void WriteStreamHeader(std::byte* record, std::size_t payloadBytes, std::uint32_t tag) noexcept {
  const StreamRecordHeader header{static_cast<std::uint32_t>(payloadBytes), tag};
  ::new (static_cast<void*>(record)) std::uint64_t(std::bit_cast<std::uint64_t>(header));
}

// Copies one value into a payload. By its type where that can be, which spares the compiler a detour through
// the stack.
template <class T>
void WriteStreamValue(std::byte* payload, const T& value) noexcept {
  if constexpr (alignof(T) <= kStreamAlignment && std::is_trivially_copy_constructible_v<T>) {
    ::new (static_cast<void*>(payload)) T(value);
  } else {
    std::memcpy(payload, &value, sizeof(T));
  }
}

class ByteStream {
 public:
  ByteStream() noexcept = default;  // capacity 0
  ByteStream(Arena& arena, std::size_t capacityBytes) noexcept
      : begin_(static_cast<std::byte*>(arena.Allocate(capacityBytes & ~(kStreamAlignment - 1)))),
        end_(begin_),
        limit_(begin_ + (capacityBytes & ~(kStreamAlignment - 1))) {}

  ByteStream(ByteStream&& other) noexcept
      : begin_(std::exchange(other.begin_, nullptr)),
        end_(std::exchange(other.end_, nullptr)),
        limit_(std::exchange(other.limit_, nullptr)) {}
  ByteStream& operator=(ByteStream&& other) noexcept {
    ByteStream taken(std::move(other));
    std::swap(begin_, taken.begin_);
    std::swap(end_, taken.end_);
    std::swap(limit_, taken.limit_);
    return *this;
  }
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  // A new record's payload, to be filled by the caller.
  [[nodiscard]] std::byte* Reserve(std::uint32_t tag, std::size_t payloadBytes) noexcept {
    std::byte* const payload = TryReserve(tag, payloadBytes);
    if (payload == nullptr) [[unlikely]]
      FailFull(payloadBytes, CapacityBytes() - UsedBytes());
    return payload;
  }
  [[nodiscard, gnu::always_inline]] inline std::byte* TryReserve(std::uint32_t tag,
                                                                 std::size_t payloadBytes) noexcept {
    if (payloadBytes > kStreamPayloadBytesMax) [[unlikely]]
      return nullptr;
    std::byte* const record = end_;
    if (StreamRecordEnd(record, payloadBytes) > reinterpret_cast<std::uintptr_t>(limit_)) [[unlikely]]
      return nullptr;
    end_ = NextStreamRecord(record, payloadBytes);
    WriteStreamHeader(record, payloadBytes, tag);
    return record + sizeof(StreamRecordHeader);
  }

  void Write(std::uint32_t tag, std::span<const std::byte> payload) noexcept {
    std::byte* const place = Reserve(tag, payload.size());
    if (!payload.empty()) std::memcpy(place, payload.data(), payload.size());
  }
  [[nodiscard]] bool TryWrite(std::uint32_t tag, std::span<const std::byte> payload) noexcept {
    std::byte* const place = TryReserve(tag, payload.size());
    if (place == nullptr) return false;
    if (!payload.empty()) std::memcpy(place, payload.data(), payload.size());
    return true;
  }
  // One value as a record.
  template <class T>
  requires(std::is_trivially_copyable_v<T> &&
           !std::is_convertible_v<const T&, std::span<const std::byte>>) void Write(std::uint32_t tag,
                                                                                    const T& value) noexcept {
    WriteStreamValue(Reserve(tag, sizeof(T)), value);
  }
  template <class T>
  requires(std::is_trivially_copyable_v<T> && !std::is_convertible_v<const T&, std::span<const std::byte>>)
      [[nodiscard]] bool TryWrite(std::uint32_t tag, const T& value) noexcept {
    std::byte* const place = TryReserve(tag, sizeof(T));
    if (place == nullptr) [[unlikely]]
      return false;
    WriteStreamValue(place, value);
    return true;
  }

  // Calls visit(const StreamRecord&) for every record, oldest first. The visitor may write: what it writes is
  // visited too.
  template <class Visit>
  void ForEach(Visit&& visit) const {
    for (const std::byte* record = begin_; record != end_;) {
      StreamRecordHeader header;
      std::memcpy(&header, record, sizeof header);
      visit(StreamRecord{header.tag, {record + sizeof header, header.bytes}});
      record = NextStreamRecord(record, header.bytes);
    }
  }
  void Clear() noexcept { end_ = begin_; }

  // Headers and rounding included.
  std::size_t UsedBytes() const noexcept { return static_cast<std::size_t>(end_ - begin_); }
  std::size_t CapacityBytes() const noexcept { return static_cast<std::size_t>(limit_ - begin_); }
  bool IsEmpty() const noexcept { return end_ == begin_; }

 private:
  // Given numbers, not the stream: one whose address never leaves a loop lives in registers.
  [[gnu::cold, gnu::noinline]] static void FailFull(std::size_t payloadBytes,
                                                    std::size_t leftBytes) noexcept {
    STADIAL_ASSERT_COMPARE_ALWAYS(payloadBytes, <=, kStreamPayloadBytesMax, "a record cannot be that large");
    STADIAL_ASSERT_COMPARE_ALWAYS(StreamRecordBytes(payloadBytes), <=, leftBytes,
                                  "ByteStream is full; raise the capacity it was given");
  }

  std::byte* begin_ = nullptr;
  std::byte* end_ = nullptr;
  std::byte* limit_ = nullptr;
};

}  // namespace stadial::arenas
