#include "stadial/runtime/telemetry_ring.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::Repetitions;

// Every interleaving. The writer never reads, so it is a list of stores; a schedule says how many of them
// have happened before each load of the reader.
constexpr std::size_t kWords = 2;
constexpr std::size_t kSlots = 2;
constexpr std::uint64_t kRecords = 4;
constexpr std::size_t kLoads = 1 + kWords + 1;
using Slot = TelemetrySlotOf<kWords>;

std::uint64_t WordOf(std::uint64_t index, std::size_t word) { return 1000 * (index + 1) + word; }

struct Ring {
  std::array<Slot, kSlots> slots{};
  std::vector<std::pair<std::atomic<std::uint64_t>*, std::uint64_t>> stores;
  std::size_t done = 0;

  void Reset() {
    for (Slot& slot : slots) {
      slot.sequence = 0;
      for (auto& word : slot.words) word = 0;
    }
    done = 0;
  }
  void AdvanceTo(std::size_t count) {
    for (; done < count; ++done) stores[done].first->store(stores[done].second, std::memory_order_relaxed);
  }
};

struct Recorder {
  Ring& ring;
  void Store(std::atomic<std::uint64_t>& word, std::uint64_t value, std::memory_order) const {
    ring.stores.emplace_back(&word, value);
  }
};

struct Scheduled {
  Ring& ring;
  std::array<std::size_t, kLoads> schedule;
  std::size_t load = 0;
  std::uint64_t Load(const std::atomic<std::uint64_t>& word, std::memory_order) {
    ring.AdvanceTo(schedule.at(load++));
    return word.load(std::memory_order_relaxed);
  }
};

struct Outcome {
  std::uint64_t whole = 0;
  std::uint64_t torn = 0;  // said to be whole, and are not
  std::uint64_t notYet = 0;
  std::uint64_t overwritten = 0;
};

template <class Write, class Read>
Outcome TryEverySchedule(Write write, Read read) {
  Ring ring;
  for (std::uint64_t index = 0; index < kRecords; ++index) {
    const std::uint64_t words[kWords] = {WordOf(index, 0), WordOf(index, 1)};
    write(Recorder{ring}, ring.slots[index % kSlots], index, words);
  }
  const std::size_t stores = ring.stores.size();
  Outcome outcome;
  const auto attempt = [&](const std::array<std::size_t, kLoads>& schedule, std::uint64_t index) {
    ring.Reset();
    std::uint64_t words[kWords] = {};
    switch (read(Scheduled{ring, schedule}, ring.slots[index % kSlots], index, words)) {
      case TelemetrySlotRead::Whole:
        ++outcome.whole;
        outcome.torn += words[0] != WordOf(index, 0) || words[1] != WordOf(index, 1) ? 1u : 0u;
        break;
      case TelemetrySlotRead::NotYet:
        ++outcome.notYet;
        break;
      case TelemetrySlotRead::Overwritten:
        ++outcome.overwritten;
        break;
    }
  };
  for (std::uint64_t index = 0; index < kRecords; ++index) {
    for (std::size_t a = 0; a <= stores; ++a) {
      for (std::size_t b = a; b <= stores; ++b) {
        for (std::size_t c = b; c <= stores; ++c) {
          for (std::size_t d = c; d <= stores; ++d) attempt({a, b, c, d}, index);
        }
      }
    }
  }
  return outcome;
}

const auto kWrite = [](auto access, Slot& slot, std::uint64_t index, const std::uint64_t* words) {
  WriteTelemetrySlot(access, slot, index, words);
};
const auto kRead = [](auto access, const Slot& slot, std::uint64_t index, std::uint64_t* words) {
  return ReadTelemetrySlot(access, slot, index, words);
};

TEST(TelemetryRing, NoInterleavingTearsARecord) {
  const Outcome outcome = TryEverySchedule(kWrite, kRead);
  EXPECT_EQ(outcome.torn, 0u);
  EXPECT_GT(outcome.whole, 100u);
  EXPECT_GT(outcome.notYet, 1'000u);
  EXPECT_GT(outcome.overwritten, 1'000u);
}

TEST(TelemetryRingCanary, AWriterThatDoesNotMarkItsBeginningIsFoundOut) {
  const auto write = [](auto access, Slot& slot, std::uint64_t index, const std::uint64_t* words) {
    for (std::size_t i = 0; i < kWords; ++i) access.Store(slot.words[i], words[i], std::memory_order_release);
    access.Store(slot.sequence, 2 * index + 2, std::memory_order_release);
  };
  EXPECT_GT(TryEverySchedule(write, kRead).torn, 0u);
}

TEST(TelemetryRingCanary, AWriterThatMarksItsEndTooEarlyIsFoundOut) {
  const auto write = [](auto access, Slot& slot, std::uint64_t index, const std::uint64_t* words) {
    access.Store(slot.sequence, 2 * index + 2, std::memory_order_release);
    for (std::size_t i = 0; i < kWords; ++i) access.Store(slot.words[i], words[i], std::memory_order_release);
  };
  EXPECT_GT(TryEverySchedule(write, kRead).torn, 0u);
}

TEST(TelemetryRingCanary, AReaderThatLooksOnlyOnceIsFoundOut) {
  const auto read = [](auto access, const Slot& slot, std::uint64_t index, std::uint64_t* words) {
    if (access.Load(slot.sequence, std::memory_order_acquire) != 2 * index + 2)
      return TelemetrySlotRead::NotYet;
    for (std::size_t i = 0; i < kWords; ++i) words[i] = access.Load(slot.words[i], std::memory_order_acquire);
    return TelemetrySlotRead::Whole;
  };
  EXPECT_GT(TryEverySchedule(kWrite, read).torn, 0u);
}

// The real memory: a writer that never waits, two readers that run after it.
constexpr std::size_t kLongWords = 24;
using LongSlot = TelemetrySlotOf<kLongWords>;

// As a careless reader would: the words as plain memory.
TelemetrySlotRead ReadPlainly(const LongSlot& slot, std::uint64_t index, std::uint64_t* words) {
  if (slot.sequence.load(std::memory_order_relaxed) != 2 * index + 2) return TelemetrySlotRead::Overwritten;
  // Not by memcpy: g++ may copy without a call, and then ThreadSanitizer does not see the reads.
  const auto* const plain = reinterpret_cast<const std::uint64_t*>(slot.words);
  for (std::size_t i = 0; i < kLongWords; ++i) words[i] = plain[i];
  return TelemetrySlotRead::Whole;
}

template <class Read>
std::pair<std::uint64_t, std::uint64_t> WholeAndTorn(std::uint64_t records, Read read) {
  std::vector<LongSlot> slots(4);
  std::atomic<std::uint64_t> published{0};
  std::atomic<std::uint64_t> whole{0};
  std::atomic<std::uint64_t> torn{0};
  std::atomic<int> following{0};
  const auto follow = [&] {
    following.fetch_add(1, std::memory_order_relaxed);
    for (std::uint64_t next = 0; next < records;) {
      const std::uint64_t count = published.load(std::memory_order_acquire);
      if (count <= next) {
        std::this_thread::yield();
        continue;
      }
      next = count;
      std::uint64_t words[kLongWords];
      if (read(slots[(count - 1) % slots.size()], count - 1, words) != TelemetrySlotRead::Whole) continue;
      whole.fetch_add(1, std::memory_order_relaxed);
      for (std::size_t i = 0; i < kLongWords; ++i) {
        if (words[i] != WordOf(count - 1, i)) {
          torn.fetch_add(1, std::memory_order_relaxed);
          break;
        }
      }
    }
  };
  std::thread first(follow);
  std::thread second(follow);
  while (following.load(std::memory_order_relaxed) != 2) std::this_thread::yield();
  for (std::uint64_t index = 0; index < records; ++index) {
    std::uint64_t words[kLongWords];
    for (std::size_t i = 0; i < kLongWords; ++i) words[i] = WordOf(index, i);
    WriteTelemetrySlot(TelemetryMemory{}, slots[index % slots.size()], index, words);
    published.store(index + 1, std::memory_order_release);
    if (index % 64 == 0) std::this_thread::yield();  // on few cores the readers get a turn
  }
  first.join();
  second.join();
  return {whole.load(), torn.load()};
}

TEST(TelemetryRing, ReadersThatRunAfterTheWriterSeeWholeRecords) {
  const auto [whole, torn] =
      WholeAndTorn(Repetitions(500'000), [](const LongSlot& slot, std::uint64_t index, std::uint64_t* words) {
        return ReadTelemetrySlot(TelemetryMemory{}, slot, index, words);
      });
  EXPECT_EQ(torn, 0u);
  EXPECT_GT(whole, 0u);
}

TEST(PlantedRaceDeathTest, IsFoundInAReaderOfPlainWords) {
  if (!testing::kSeesRaces) GTEST_SKIP() << "only ThreadSanitizer sees races";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  constexpr int kRaceExitCode = 66;  // ThreadSanitizer's, of a program with a report
  EXPECT_EXIT(
      {
        (void)WholeAndTorn(100'000, ReadPlainly);
        std::exit(0);
      },
      ::testing::ExitedWithCode(kRaceExitCode), "ThreadSanitizer: data race");
}

}  // namespace
}  // namespace stadial::runtime
