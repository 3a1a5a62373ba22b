#include "stadial/arenas/thread_slot.h"

#include <pthread.h>

#include <atomic>
#include <bit>
#include <cstddef>

namespace stadial::arenas {
namespace {

constexpr std::uint32_t kWordBits = 64;
constexpr std::size_t kWords = kThreadSlotsMax / kWordBits;
static_assert(kThreadSlotsMax % kWordBits == 0);

// Bit set: taken. Releasing a number and taking it again order what the two threads do.
constinit std::atomic<std::uint64_t> taken[kWords] = {};

void GiveThreadSlotBack(void*) noexcept {
  const std::uint32_t slot = detail::threadSlot;
  detail::threadSlot = kThreadSlotUnasked;
  if (slot >= kThreadSlotsMax) return;
  taken[slot / kWordBits].fetch_and(~(std::uint64_t{1} << (slot % kWordBits)), std::memory_order_release);
}

// A key and not a thread_local with a destructor: registering that one allocates. Without a key, which takes
// more than a thousand of them in the process, numbers are not given back.
struct EndOfThread {
  EndOfThread() noexcept : made(::pthread_key_create(&key, &GiveThreadSlotBack) == 0) {}
  pthread_key_t key{};
  bool made;
};

std::uint32_t LowestFree() noexcept {
  for (std::uint32_t word = 0; word < kWords; ++word) {
    std::uint64_t bits = taken[word].load(std::memory_order_relaxed);
    while (bits != ~std::uint64_t{0}) {
      const auto bit = static_cast<std::uint32_t>(std::countr_one(bits));
      if (taken[word].compare_exchange_weak(bits, bits | std::uint64_t{1} << bit, std::memory_order_acquire,
                                            std::memory_order_relaxed)) {
        return word * kWordBits + bit;
      }
    }
  }
  return kNoThreadSlot;
}

}  // namespace

namespace detail {

constinit thread_local std::uint32_t threadSlot [[gnu::tls_model("initial-exec")]] = kThreadSlotUnasked;

std::uint32_t TakeThreadSlot() noexcept {
  static const EndOfThread endOfThread;
  threadSlot = LowestFree();
  // Any value but null has the destructor called.
  if (endOfThread.made) ::pthread_setspecific(endOfThread.key, &threadSlot);
  return threadSlot;
}

}  // namespace detail
}  // namespace stadial::arenas
