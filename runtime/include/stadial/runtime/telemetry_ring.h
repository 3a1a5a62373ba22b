// How one writer hands records to any number of readers without waiting for them: each slot of the ring has a
// sequence word. For record n it is 2n + 1 while the record is being written and 2n + 2 when it is complete.
// A reader looks at it before and after it copies; if it is 2n + 2 both times, the copy is whole.
//
// Why it cannot tear. The writer stores 2n + 1, then the words with release, then 2n + 2 with release. A
// reader whose copy has a word of record n (acquire) therefore sees at least 2n + 1 in its second look, and
// one that saw 2n + 2 in the first (acquire) has all of record n. No fences, so ThreadSanitizer follows it;
// on x86 every one of these accesses is a plain move.
//
// `Access` stands for memory, so that a test can try every interleaving; the ring itself uses
// TelemetryMemory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace stadial::runtime {

template <std::size_t kWords>
struct alignas(64) TelemetrySlotOf {
  std::atomic<std::uint64_t> sequence;
  std::atomic<std::uint64_t> words[kWords];
};

struct TelemetryMemory {
  static std::uint64_t Load(const std::atomic<std::uint64_t>& word, std::memory_order order) noexcept {
    return word.load(order);
  }
  static void Store(std::atomic<std::uint64_t>& word, std::uint64_t value, std::memory_order order) noexcept {
    word.store(value, order);
  }
};

// Wait-free; one thread at a time.
template <class Access, std::size_t kWords>
[[gnu::always_inline]] inline void WriteTelemetrySlot(Access&& access, TelemetrySlotOf<kWords>& slot,
                                                      std::uint64_t index,
                                                      const std::uint64_t* words) noexcept {
  access.Store(slot.sequence, 2 * index + 1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < kWords; ++i) access.Store(slot.words[i], words[i], std::memory_order_release);
  access.Store(slot.sequence, 2 * index + 2, std::memory_order_release);
}

enum class TelemetrySlotRead : std::uint8_t {
  Whole,
  NotYet,       // the slot holds an older record
  Overwritten,  // a newer one, or is just being given one
};

// What `words` holds after anything but Whole must not be used.
template <class Access, std::size_t kWords>
TelemetrySlotRead ReadTelemetrySlot(Access&& access, const TelemetrySlotOf<kWords>& slot, std::uint64_t index,
                                    std::uint64_t* words) noexcept {
  const std::uint64_t whole = 2 * index + 2;
  const std::uint64_t before = access.Load(slot.sequence, std::memory_order_acquire);
  if (before != whole) return before < whole ? TelemetrySlotRead::NotYet : TelemetrySlotRead::Overwritten;
  for (std::size_t i = 0; i < kWords; ++i) words[i] = access.Load(slot.words[i], std::memory_order_acquire);
  return access.Load(slot.sequence, std::memory_order_relaxed) == whole ? TelemetrySlotRead::Whole
                                                                        : TelemetrySlotRead::Overwritten;
}

}  // namespace stadial::runtime
