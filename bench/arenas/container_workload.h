// What a frame does with containers, the same for ours, the standard's, boost's and abseil's, each reached by
// a small adapter. All of them know their capacity beforehand and are told, where they can be told.
//
//   Vector  Begin(capacity), Push(value), Sum(), End()    10 vectors, 1,000 pushed to each and summed
//   Map     Insert(key, value), Find(key), Erase(key)     10,000 in, 20,000 looked up (half absent), all out
//   Set     Insert(key), Contains(key), Erase(key)        the same
//   Queue   Push(value), Pop()                            1,000 in flight, 10,000 through
//   Pool    New(value), Delete(object)                    10,000 live, each replaced once, 16 at a time, at
//   random Slots   Insert(value), Get(handle), Erase(handle)     10,000 live, a look at each, 10,000 replaced
//   Bits    Set(index), Reset(index), Sum()               100,000 bits, 2,000 set, found and reset
//   Text    Begin(), Append(text), Size()                 100 words
//   List    PushBack(index), MoveToBack(index), Sum()     1,000 elements, each moved once
//
// Find returns 0 for a key that is absent, Sum adds up what is in (of Bits the indexes of those set).
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "process_probe.h"

namespace stadial::bench {

inline constexpr std::size_t kContainerItems = 10'000;
inline constexpr std::size_t kVectorItems = 1'000;
inline constexpr std::size_t kQueueInFlight = 1'000;
inline constexpr std::size_t kBitCount = 100'000;
inline constexpr std::size_t kBitsSet = 2'000;
inline constexpr std::size_t kPoolGroup = 16;
inline constexpr std::size_t kTextWords = 100;
inline constexpr std::size_t kListItems = 1'000;

// Made in place by everyone: the way through a copy would be most of the cost.
struct Object {
  explicit Object(std::uint64_t number) : value{number} {}
  std::uint64_t value[8];
};

inline std::vector<std::uint64_t> RandomNumbers(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint64_t> numbers(count);
  for (std::uint64_t& number : numbers) number = random() | 1;  // never 0
  return numbers;
}
inline std::vector<std::uint32_t> RandomIndexes(std::size_t count, std::size_t below, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint32_t> indexes(count);
  for (std::uint32_t& index : indexes) index = static_cast<std::uint32_t>(random() % below);
  return indexes;
}

// 0 to count - 1, shuffled.
inline std::vector<std::uint32_t> RandomOrder(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  for (std::size_t index = count; index > 1; --index) std::swap(order[index - 1], order[random() % index]);
  return order;
}

// frame() -> a checksum that every frame has to yield again.
template <class Frame>
void RunContainerFrames(benchmark::State& state, std::size_t operations, Frame&& frame) {
  const std::uint64_t expected = frame();
  std::uint64_t wrong = 0;
  for ([[maybe_unused]] auto _ : state) wrong += frame() != expected;
  if (wrong != 0) state.SkipWithError("a frame came to another result than the one before");
  state.counters["checksum"] = static_cast<double>(expected % 1'000'000'007);
  state.counters["ns_per_op"] = benchmark::Counter(
      static_cast<double>(operations) * 1e-9,
      benchmark::Counter::Flags(benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert));
  state.SetLabel(ModuleOfMalloc());
}

template <class Vector>
void RunVector(benchmark::State& state) {
  Vector vector;
  RunContainerFrames(state, kContainerItems, [&] {
    std::uint64_t sum = 0;
    for (std::size_t index = 0; index < kContainerItems / kVectorItems; ++index) {
      vector.Begin(kVectorItems);
      for (std::uint64_t value = 0; value < kVectorItems; ++value) vector.Push(value + index);
      sum = sum * 3 + vector.Sum();
      vector.End();
    }
    return sum;
  });
}

template <class Map>
void RunMap(benchmark::State& state) {
  const std::vector<std::uint64_t> keys = RandomNumbers(kContainerItems, 1);
  const std::vector<std::uint64_t> absent = RandomNumbers(kContainerItems, 2);
  Map map(kContainerItems);
  RunContainerFrames(state, 4 * kContainerItems, [&] {
    std::uint64_t sum = 0;
    for (std::size_t index = 0; index < kContainerItems; ++index) map.Insert(keys[index], index + 1);
    for (std::size_t index = kContainerItems; index-- != 0;)
      sum += map.Find(keys[index]) + map.Find(absent[index]);
    for (const std::uint64_t key : keys) map.Erase(key);
    return sum;
  });
}

template <class Set>
void RunSet(benchmark::State& state) {
  const std::vector<std::uint64_t> keys = RandomNumbers(kContainerItems, 1);
  const std::vector<std::uint64_t> absent = RandomNumbers(kContainerItems, 2);
  Set set(kContainerItems);
  RunContainerFrames(state, 4 * kContainerItems, [&] {
    std::uint64_t sum = 0;
    for (const std::uint64_t key : keys) set.Insert(key);
    for (std::size_t index = kContainerItems; index-- != 0;) {
      sum += 2u * set.Contains(keys[index]) + set.Contains(absent[index]);
    }
    for (const std::uint64_t key : keys) set.Erase(key);
    return sum;
  });
}

template <class Queue>
void RunQueue(benchmark::State& state) {
  Queue queue(kQueueInFlight);
  RunContainerFrames(state, kContainerItems, [&] {
    std::uint64_t sum = 0;
    for (std::uint64_t value = 0; value < kQueueInFlight; ++value) queue.Push(value);
    for (std::uint64_t value = kQueueInFlight; value < kContainerItems; ++value) {
      sum = sum * 3 + queue.Pop();
      queue.Push(value);
    }
    for (std::size_t index = 0; index < kQueueInFlight; ++index) sum = sum * 3 + queue.Pop();
    return sum;
  });
}

template <class Pool>
void RunPool(benchmark::State& state) {
  static_assert(kContainerItems % kPoolGroup == 0);
  const std::vector<std::uint32_t> places = RandomOrder(kContainerItems, 3);
  Pool pool(kContainerItems);
  std::vector<Object*> objects(kContainerItems);
  RunContainerFrames(state, 2 * kContainerItems, [&] {
    std::uint64_t sum = 0;
    for (std::size_t index = 0; index < kContainerItems; ++index) objects[index] = pool.New(index);
    // Some go before some come: an object made right where another has just ended is made by the compiler,
    // which sees that nothing happens to the pool in between.
    for (std::size_t begin = 0; begin < kContainerItems; begin += kPoolGroup) {
      const std::span group(&places[begin], kPoolGroup);
      for (const std::uint32_t place : group) {
        sum += objects[place]->value[0];
        pool.Delete(objects[place]);
      }
      for (const std::uint32_t place : group) objects[place] = pool.New(place);
    }
    for (Object* const object : objects) pool.Delete(object);
    return sum;
  });
}

template <class Slots>
void RunSlots(benchmark::State& state) {
  const std::vector<std::uint32_t> places = RandomIndexes(kContainerItems, kContainerItems, 3);
  Slots slots(kContainerItems);
  std::vector<typename Slots::Handle> handles(kContainerItems);
  RunContainerFrames(state, 3 * kContainerItems, [&] {
    std::uint64_t sum = 0;
    for (std::size_t index = 0; index < kContainerItems; ++index) handles[index] = slots.Insert(index);
    for (const std::uint32_t place : places) sum += slots.Get(handles[place]);
    for (const std::uint32_t place : places) {
      slots.Erase(handles[place]);
      handles[place] = slots.Insert(place);
    }
    for (const auto handle : handles) slots.Erase(handle);
    return sum;
  });
}

template <class Bits>
void RunBits(benchmark::State& state) {
  const std::vector<std::uint32_t> places = RandomIndexes(kBitsSet, kBitCount, 4);
  Bits bits(kBitCount);
  RunContainerFrames(state, 3 * kBitsSet, [&] {
    for (const std::uint32_t place : places) bits.Set(place);
    const std::uint64_t sum = bits.Sum();
    for (const std::uint32_t place : places) bits.Reset(place);
    return sum;
  });
}

template <class Text>
void RunText(benchmark::State& state) {
  static constexpr std::string_view kWords[] = {"frame", "arena", "a", "allocation", " of ", "rewound"};
  Text text(kTextWords * 10);
  RunContainerFrames(state, kTextWords, [&] {
    text.Begin();
    for (std::size_t index = 0; index < kTextWords; ++index) text.Append(kWords[index % std::size(kWords)]);
    return static_cast<std::uint64_t>(text.Size());
  });
}

template <class List>
void RunList(benchmark::State& state) {
  const std::vector<std::uint32_t> order = RandomOrder(kListItems, 5);
  List list(kListItems);
  RunContainerFrames(state, 3 * kListItems, [&] {
    for (std::uint32_t index = 0; index < kListItems; ++index) list.PushBack(index);
    for (const std::uint32_t index : order) list.MoveToBack(index);
    const std::uint64_t sum = list.Sum();
    list.Clear();
    return sum;
  });
}

// "Container_map/fixed".
inline void RegisterContainer(const char* kind, const char* peer, void (*run)(benchmark::State&)) {
  benchmark::RegisterBenchmark((std::string("Container_") + kind + "/" + peer).c_str(), run)
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace stadial::bench
