// FlatMap: a hash map of fixed capacity in arena memory. Open addressing with linear probing over a table of
// a power of two at least 4/3 of the capacity; deletion shifts back, so there are no tombstones and no
// rehashing ever.
//
// Growth:       never.
// Exhaustion:   Insert asserts (in every build); TryInsert returns nullptr. Inserting a present key needs no
// room. Alignment:    alignof(K), alignof(V). Destructors:  none run; K and V must be storable in an arena
// and movable. Threads:      one at a time; concurrent Find without writers is fine. Invalidation: Insert
// moves nothing. Erase may move any entry: all V* die. Not copyable; a moved-from map is empty.
//
// Cost: one multiply to hash, then on average under two neighbouring 4-byte hashes read. A bad Hash degrades
// to linear search and stays correct. Iteration (ForEach) visits the table in slot order: the same operations
// give the same order, in every run.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

// Folds the 128-bit product of the value with an odd constant: every bit of the value reaches every bit of
// the hash.
constexpr std::uint64_t HashBits(std::uint64_t value) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(value ^ 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// The default hash: integers, enums, pointers and string views. Give a Hash of your own for other keys.
struct FlatMapHash {
  template <class T>
  requires(std::is_integral_v<T> || std::is_enum_v<T>) std::uint64_t operator()(T value) const noexcept {
    return HashBits(static_cast<std::uint64_t>(value));
  }
  template <class T>
  std::uint64_t operator()(T* pointer) const noexcept {
    static_assert(!std::is_same_v<std::remove_cv_t<T>, char>,
                  "hash the text, as a std::string_view, not its address");
    return HashBits(reinterpret_cast<std::uintptr_t>(pointer));
  }
  std::uint64_t operator()(std::string_view text) const noexcept {
    std::uint64_t hash = HashBits(text.size());
    for (const char character : text) hash = HashBits(hash ^ static_cast<unsigned char>(character));
    return hash;
  }
};

template <class K, class V, class Hash = FlatMapHash>
class FlatMap {
  static_assert(kArenaStorable<K> && kArenaStorable<V>,
                "no destructor runs here: K and V must be trivially destructible");

 public:
  FlatMap() noexcept = default;  // capacity 0
  FlatMap(Arena& arena, std::size_t capacity) : capacity_(capacity) {
    STADIAL_ASSERT_COMPARE_ALWAYS(capacity, <, std::size_t{1} << 31,
                                  "a FlatMap holds fewer than 2^31 entries");
    const std::size_t slots = TableSlots(capacity);
    hashes_ = arena.NewArray<std::uint32_t>(slots).data();
    entries_ = arena.NewArrayUninitialized<Entry>(slots).data();
    mask_ = slots - 1;
  }

  FlatMap(FlatMap&& other) noexcept { Swap(other); }
  FlatMap& operator=(FlatMap&& other) noexcept {
    FlatMap taken(std::move(other));
    Swap(taken);
    return *this;
  }
  FlatMap(const FlatMap&) = delete;
  FlatMap& operator=(const FlatMap&) = delete;

  // nullptr when absent.
  V* Find(const K& key) noexcept {
    const std::size_t slot = FindSlot(key);
    return slot == kNoSlot ? nullptr : &entries_[slot].value;
  }
  const V* Find(const K& key) const noexcept {
    const std::size_t slot = FindSlot(key);
    return slot == kNoSlot ? nullptr : &entries_[slot].value;
  }
  bool Contains(const K& key) const noexcept { return FindSlot(key) != kNoSlot; }

  // The value of `key`: a new one from `value`, or the present one, unchanged. `*inserted` (if given) tells
  // which.
  V* Insert(const K& key, const V& value, bool* inserted = nullptr) {
    V* const result = TryInsert(key, value, inserted);
    if (result == nullptr) [[unlikely]] {
      STADIAL_ASSERT_COMPARE_ALWAYS(size_, <, capacity_, "FlatMap is full; raise the capacity it was given");
    }
    return result;
  }
  [[nodiscard]] V* TryInsert(const K& key, const V& value, bool* inserted = nullptr) {
    if (inserted != nullptr) *inserted = false;
    if (capacity_ == 0) return nullptr;
    const std::uint32_t hash = HashOf(key);
    std::size_t slot = hash & mask_;
    for (; hashes_[slot] != 0; slot = (slot + 1) & mask_) {
      if (hashes_[slot] == hash && entries_[slot].key == key) return &entries_[slot].value;
    }
    if (size_ == capacity_) return nullptr;
    ::new (static_cast<void*>(&entries_[slot])) Entry{key, value};
    hashes_[slot] = hash;
    ++size_;
    if (inserted != nullptr) *inserted = true;
    return &entries_[slot].value;
  }

  // False when absent.
  bool Erase(const K& key) {
    std::size_t hole = FindSlot(key);
    if (hole == kNoSlot) return false;
    // Close the hole: an entry further on may move into it unless its home lies between the hole and itself.
    for (std::size_t slot = (hole + 1) & mask_; hashes_[slot] != 0; slot = (slot + 1) & mask_) {
      const std::size_t home = hashes_[slot] & mask_;
      if (((slot - home) & mask_) >= ((slot - hole) & mask_)) {
        entries_[hole] = std::move(entries_[slot]);
        hashes_[hole] = hashes_[slot];
        hole = slot;
      }
    }
    hashes_[hole] = 0;
    --size_;
    return true;
  }

  // O(table).
  void Clear() noexcept {
    for (std::size_t slot = 0; size_ != 0 && slot <= mask_; ++slot) hashes_[slot] = 0;
    size_ = 0;
  }

  // Calls visit(const K&, V&) for every entry. The visitor must not insert or erase.
  template <class Visit>
  void ForEach(Visit&& visit) {
    for (std::size_t slot = 0, left = size_; left != 0; ++slot) {
      if (hashes_[slot] == 0) continue;
      visit(static_cast<const K&>(entries_[slot].key), entries_[slot].value);
      --left;
    }
  }
  template <class Visit>
  void ForEach(Visit&& visit) const {
    for (std::size_t slot = 0, left = size_; left != 0; ++slot) {
      if (hashes_[slot] == 0) continue;
      visit(static_cast<const K&>(entries_[slot].key), static_cast<const V&>(entries_[slot].value));
      --left;
    }
  }

  std::size_t Size() const noexcept { return size_; }
  std::size_t Capacity() const noexcept { return capacity_; }
  bool IsEmpty() const noexcept { return size_ == 0; }
  bool IsFull() const noexcept { return size_ == capacity_; }

  // Bytes an arena spends on a map of this capacity, for plans that size the arena.
  static constexpr std::size_t RequiredBytes(std::size_t capacity) noexcept {
    const auto round = [](std::size_t bytes) {
      return (bytes + kArenaGranularityBytes - 1) & ~(kArenaGranularityBytes - 1);
    };
    const std::size_t slots = TableSlots(capacity);
    return round(slots * sizeof(std::uint32_t)) + round(slots * sizeof(Entry)) +
           (alignof(Entry) > kArenaGranularityBytes ? alignof(Entry) : 0);
  }

 private:
  struct Entry {
    K key;
    V value;
  };
  static constexpr std::size_t kNoSlot = static_cast<std::size_t>(-1);

  // At least one slot always stays empty, which ends every probe.
  static constexpr std::size_t TableSlots(std::size_t capacity) noexcept {
    return std::bit_ceil(capacity + capacity / 3 + 1);
  }
  // 0 marks an empty slot.
  static std::uint32_t HashOf(const K& key) noexcept {
    const auto hash = static_cast<std::uint32_t>(static_cast<std::uint64_t>(Hash{}(key)));
    return hash == 0 ? 1 : hash;
  }
  std::size_t FindSlot(const K& key) const noexcept {
    if (size_ == 0) return kNoSlot;
    const std::uint32_t hash = HashOf(key);
    for (std::size_t slot = hash & mask_; hashes_[slot] != 0; slot = (slot + 1) & mask_) {
      if (hashes_[slot] == hash && entries_[slot].key == key) return slot;
    }
    return kNoSlot;
  }
  void Swap(FlatMap& other) noexcept {
    std::swap(hashes_, other.hashes_);
    std::swap(entries_, other.entries_);
    std::swap(mask_, other.mask_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  std::uint32_t* hashes_ = nullptr;
  Entry* entries_ = nullptr;
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace stadial::arenas
