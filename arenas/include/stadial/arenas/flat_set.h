// FlatSet: a hash set of fixed capacity in arena memory: FlatMap's table without the values.
//
// Growth:       never.
// Exhaustion:   Insert asserts (in every build); TryInsert says NoRoom. A key that is present needs no room.
// Alignment:    alignof(K).
// Destructors:  none run; K must be storable in an arena and movable.
// Threads:      one at a time; concurrent Contains without writers is fine.
// Invalidation: Insert moves nothing. Erase may move any key: all const K* die. Not copyable; a
//               moved-from set is empty and has capacity 0.
//
// Cost: FlatMap's. Iteration (ForEach) is in slot order: the same operations give the same order, in every
// run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "stadial/arenas/flat_map.h"

namespace stadial::arenas {

enum class FlatSetInsertion : std::uint8_t { Inserted, Present, NoRoom };

template <class K, class Hash = FlatMapHash>
class FlatSet {
  static_assert(kArenaStorable<K>, "no destructor runs here, so K must be trivially destructible");
  struct Nothing {};
  using Map = FlatMap<K, Nothing, Hash>;

 public:
  FlatSet() noexcept = default;  // capacity 0
  FlatSet(Arena& arena, std::size_t capacity) : map_(arena, capacity) {}

  bool Contains(const K& key) const noexcept { return map_.Contains(key); }

  // True when the key is new.
  bool Insert(const K& key) {
    bool inserted = false;
    map_.Insert(key, {}, &inserted);
    return inserted;
  }
  [[nodiscard]] FlatSetInsertion TryInsert(const K& key) {
    bool inserted = false;
    if (map_.TryInsert(key, {}, &inserted) == nullptr) return FlatSetInsertion::NoRoom;
    return inserted ? FlatSetInsertion::Inserted : FlatSetInsertion::Present;
  }

  // False when absent.
  bool Erase(const K& key) { return map_.Erase(key); }
  // Erases every key for which condition(const K&) holds; it is asked once about each. Returns how many went.
  // O(table).
  template <class Condition>
  std::size_t EraseIf(Condition&& condition) {
    return map_.EraseIf([&](const K& key, Nothing&) { return condition(key); });
  }
  // O(table).
  void Clear() noexcept { map_.Clear(); }

  // Calls visit(const K&) for every key. The visitor must not insert or erase.
  template <class Visit>
  void ForEach(Visit&& visit) const {
    map_.ForEach([&](const K& key, const Nothing&) { visit(key); });
  }

  std::size_t Size() const noexcept { return map_.Size(); }
  std::size_t Capacity() const noexcept { return map_.Capacity(); }
  bool IsEmpty() const noexcept { return map_.IsEmpty(); }
  bool IsFull() const noexcept { return map_.IsFull(); }

  // Bytes an arena spends on a set of this capacity, for plans that size the arena.
  static constexpr std::size_t RequiredBytes(std::size_t capacity) noexcept {
    return Map::RequiredBytes(capacity);
  }

 private:
  Map map_;
};

}  // namespace stadial::arenas
