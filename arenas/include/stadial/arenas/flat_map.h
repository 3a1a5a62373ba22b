// FlatMap: a hash map of fixed capacity in arena memory. Open addressing with linear probing over a table of
// a power of two at least 4/3 of the capacity; deletion shifts back, so there are no tombstones and no
// rehashing.
//
// Growth:       never.
// Exhaustion:   Insert and InsertOrAssign assert (in every build); the Try forms return nullptr. A present
//               key needs no room.
// Alignment:    alignof(K), alignof(V).
// Destructors:  none run; K and V must be storable in an arena and movable.
// Threads:      one at a time; concurrent Find without writers is fine.
// Invalidation: Insert moves nothing. Erase may move any entry: all V* die. Not copyable; a moved-from map is
//               empty and has capacity 0.
//
// Cost: one multiply to hash, then the 1-byte tags of sixteen neighbouring slots compared at once, which
// nearly always decides. Erase hashes the keys that stand behind the hole without a gap. A bad Hash degrades
// to linear search and stays correct. Iteration (ForEach) visits the table in slot order: the same operations
// give the same order, in every run.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

// Folds the 128-bit product of the value with an odd constant: every bit of the value reaches every bit of
// the hash.
constexpr std::uint64_t HashBits(std::uint64_t value) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(value ^ 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// The default hash: integers, enums, pointers and string views. Give a Hash of your own for other keys: 64
// bits, of which the lowest choose the slot and the highest seven are compared first.
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
    // Eight characters at a time; the length is hashed first, so zeros that fill the last word mean nothing.
    std::uint64_t hash = HashBits(text.size());
    while (!text.empty()) {
      std::uint64_t word = 0;
      const std::size_t taken = text.size() < sizeof word ? text.size() : sizeof word;
      std::memcpy(&word, text.data(), taken);
      hash = HashBits(hash ^ word);
      text.remove_prefix(taken);
    }
    return hash;
  }
};

// Seven bits of a key's hash and a bit that is always set; 0 marks an empty slot. An enum, since a store to a
// plain byte could be one to anything and make the compiler forget what it knows.
enum class FlatMapTag : std::uint8_t { Empty = 0 };

// The tags of sixteen neighbouring slots, compared at once.
class FlatMapTagGroup {
 public:
  static constexpr std::size_t kSlots = 16;

#if defined(__SSE2__)
  explicit FlatMapTagGroup(const FlatMapTag* tags) noexcept
      : tags_(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tags))) {}
  // Bit i: tag i is this one.
  unsigned Matches(FlatMapTag tag) const noexcept {
    const __m128i equal = _mm_cmpeq_epi8(tags_, _mm_set1_epi8(static_cast<char>(tag)));
    return static_cast<unsigned>(_mm_movemask_epi8(equal));
  }

 private:
  __m128i tags_;
#else
  explicit FlatMapTagGroup(const FlatMapTag* tags) noexcept : tags_(tags) {}
  unsigned Matches(FlatMapTag tag) const noexcept {
    unsigned matches = 0;
    for (unsigned index = 0; index < kSlots; ++index) matches |= (tags_[index] == tag ? 1u : 0u) << index;
    return matches;
  }

 private:
  const FlatMapTag* tags_;
#endif
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
    tags_ = arena.NewArray<FlatMapTag>(slots + kMirrored).data();
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
    Entry* const entry = FindEntry(key);
    return entry == nullptr ? nullptr : &entry->value;
  }
  const V* Find(const K& key) const noexcept {
    const Entry* const entry = FindEntry(key);
    return entry == nullptr ? nullptr : &entry->value;
  }
  bool Contains(const K& key) const noexcept { return FindEntry(key) != nullptr; }

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
    const std::uint64_t hash = HashOf(key);
    const Place place = FindPlace(key, hash);
    if (place.isPresent) return &entries_[place.slot].value;
    if (size_ == capacity_) return nullptr;
    ::new (static_cast<void*>(&entries_[place.slot])) Entry{key, value};
    SetTag(place.slot, TagOf(hash));
    ++size_;
    if (inserted != nullptr) *inserted = true;
    return &entries_[place.slot].value;
  }

  // The value of `key`, which is `value` now, whether the key was present or not.
  V* InsertOrAssign(const K& key, const V& value) {
    bool inserted = false;
    V* const result = Insert(key, value, &inserted);
    if (!inserted) *result = value;
    return result;
  }
  [[nodiscard]] V* TryInsertOrAssign(const K& key, const V& value) {
    bool inserted = false;
    V* const result = TryInsert(key, value, &inserted);
    if (result != nullptr && !inserted) *result = value;
    return result;
  }

  // False when absent.
  bool Erase(const K& key) {
    const Entry* const entry = FindEntry(key);
    if (entry == nullptr) return false;
    EraseSlot(static_cast<std::size_t>(entry - entries_));
    return true;
  }
  // Erases every entry for which condition(const K&, V&) holds; it is asked once about each. Returns how many
  // went. O(table).
  template <class Condition>
  std::size_t EraseIf(Condition&& condition) {
    if (size_ == 0) return 0;
    // From behind an empty slot on: no run of neighbours then wraps around the end of the walk, so what moves
    // into a hole was not asked about yet.
    std::size_t origin = 0;
    while (tags_[origin] != FlatMapTag::Empty) ++origin;
    const std::size_t before = size_;
    for (std::size_t step = 1; step <= mask_; ++step) {
      const std::size_t slot = (origin + step) & mask_;
      while (tags_[slot] != FlatMapTag::Empty &&
             condition(static_cast<const K&>(entries_[slot].key), entries_[slot].value)) {
        EraseSlot(slot);
      }
    }
    return before - size_;
  }

  // O(table).
  void Clear() noexcept {
    if (tags_ != nullptr) std::memset(tags_, 0, mask_ + 1 + kMirrored);
    size_ = 0;
  }

  // Calls visit(const K&, V&) for every entry. The visitor must not insert or erase.
  template <class Visit>
  void ForEach(Visit&& visit) {
    for (std::size_t slot = 0, left = size_; left != 0; ++slot) {
      if (tags_[slot] == FlatMapTag::Empty) continue;
      visit(static_cast<const K&>(entries_[slot].key), entries_[slot].value);
      --left;
    }
  }
  template <class Visit>
  void ForEach(Visit&& visit) const {
    for (std::size_t slot = 0, left = size_; left != 0; ++slot) {
      if (tags_[slot] == FlatMapTag::Empty) continue;
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
    return round(slots + kMirrored) + round(slots * sizeof(Entry)) +
           (alignof(Entry) > kArenaGranularityBytes ? alignof(Entry) : 0);
  }

 private:
  struct Entry {
    K key;
    [[no_unique_address]] V value;  // a set's value takes no room
  };
  static constexpr std::size_t kMirrored = FlatMapTagGroup::kSlots - 1;

  // At least one slot always stays empty, which ends every probe.
  static constexpr std::size_t TableSlots(std::size_t capacity) noexcept {
    const std::size_t slots = std::bit_ceil(capacity + capacity / 3 + 1);
    return slots < FlatMapTagGroup::kSlots ? FlatMapTagGroup::kSlots : slots;
  }
  static std::uint64_t HashOf(const K& key) noexcept { return static_cast<std::uint64_t>(Hash{}(key)); }
  // The slot comes from the low bits, the tag from the high ones.
  static FlatMapTag TagOf(std::uint64_t hash) noexcept { return static_cast<FlatMapTag>(hash >> 57 | 0x80); }
  // Where the key is, or the empty slot where it would go. Needs a table.
  struct Place {
    std::size_t slot;
    bool isPresent;
  };
  Place FindPlace(const K& key, std::uint64_t hash) const noexcept {
    const FlatMapTag tag = TagOf(hash);
    for (std::size_t first = hash & mask_;; first = (first + FlatMapTagGroup::kSlots) & mask_) {
      const FlatMapTagGroup group(tags_ + first);
      // A match behind an empty slot belongs to another run of neighbours; its key differs like any other.
      for (unsigned matches = group.Matches(tag); matches != 0; matches &= matches - 1) {
        const std::size_t slot = (first + static_cast<unsigned>(std::countr_zero(matches))) & mask_;
        if (entries_[slot].key == key) [[likely]]
          return {slot, true};
      }
      const unsigned empty = group.Matches(FlatMapTag::Empty);
      if (empty != 0) [[likely]]
        return {(first + static_cast<unsigned>(std::countr_zero(empty))) & mask_, false};
    }
  }
  Entry* FindEntry(const K& key) const noexcept {
    if (size_ == 0) return nullptr;
    const Place place = FindPlace(key, HashOf(key));
    return place.isPresent ? entries_ + place.slot : nullptr;
  }
  // The first slots' tags stand behind the last slot's once more, so that a group read there is whole. For
  // the other slots both stores go to the same place.
  void SetTag(std::size_t slot, FlatMapTag tag) noexcept {
    tags_[slot] = tag;
    tags_[((slot - kMirrored) & mask_) + kMirrored] = tag;
  }
  // Closes the hole: an entry further on may move into it unless its home lies between the hole and itself.
  void EraseSlot(std::size_t hole) {
    for (std::size_t slot = (hole + 1) & mask_; tags_[slot] != FlatMapTag::Empty; slot = (slot + 1) & mask_) {
      const std::size_t home = HashOf(entries_[slot].key) & mask_;
      if (((slot - home) & mask_) >= ((slot - hole) & mask_)) {
        entries_[hole] = std::move(entries_[slot]);
        SetTag(hole, tags_[slot]);
        hole = slot;
      }
    }
    SetTag(hole, FlatMapTag::Empty);
    --size_;
  }
  void Swap(FlatMap& other) noexcept {
    std::swap(tags_, other.tags_);
    std::swap(entries_, other.entries_);
    std::swap(mask_, other.mask_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  FlatMapTag* tags_ = nullptr;
  Entry* entries_ = nullptr;
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace stadial::arenas
