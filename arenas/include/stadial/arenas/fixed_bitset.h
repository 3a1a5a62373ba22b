// FixedBitset: bits whose number is set once, in arena memory.
//
// Growth:       never.
// Exhaustion:   there is none after construction; an index of Size() or more asserts.
// Alignment:    8 bytes; bit i is bit i % 64 of word i / 64.
// Destructors:  none run.
// Threads:      one at a time; two bits may share a word, so writers of different bits collide too.
//               Concurrent readers without a writer are fine.
// Invalidation: nothing moves. Not copyable (CopyFrom copies the bits); a moved-from set has no bits.
//
// Cost: single bits O(1); everything over the whole set takes 64 bits at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

class FixedBitset {
 public:
  // What the searches return when there is no such bit.
  static constexpr std::size_t kNoBit = static_cast<std::size_t>(-1);

  FixedBitset() noexcept = default;  // no bits
  FixedBitset(Arena& arena, std::size_t bits) noexcept
      : words_(arena.NewArray<std::uint64_t>(WordCount(bits)).data()), bits_(bits) {}

  FixedBitset(FixedBitset&& other) noexcept
      : words_(std::exchange(other.words_, nullptr)), bits_(std::exchange(other.bits_, 0)) {}
  FixedBitset& operator=(FixedBitset&& other) noexcept {
    FixedBitset taken(std::move(other));
    std::swap(words_, taken.words_);
    std::swap(bits_, taken.bits_);
    return *this;
  }
  FixedBitset(const FixedBitset&) = delete;
  FixedBitset& operator=(const FixedBitset&) = delete;

  bool Test(std::size_t index) const noexcept {
    STADIAL_ASSERT_COMPARE(index, <, bits_, "no such bit");
    return (words_[index / kWordBits] >> (index % kWordBits) & 1) != 0;
  }
  void Set(std::size_t index) noexcept { Word(index) |= Bit(index); }
  void Reset(std::size_t index) noexcept { Word(index) &= ~Bit(index); }
  void Flip(std::size_t index) noexcept { Word(index) ^= Bit(index); }
  void Assign(std::size_t index, bool value) noexcept { value ? Set(index) : Reset(index); }
  // Sets the bit and tells what it was.
  bool TestAndSet(std::size_t index) noexcept {
    const bool was = Test(index);
    Set(index);
    return was;
  }
  bool TestAndReset(std::size_t index) noexcept {
    const bool was = Test(index);
    Reset(index);
    return was;
  }

  void SetAll() noexcept { SetRange(0, bits_); }
  void ResetAll() noexcept { std::fill_n(words_, WordCount(bits_), std::uint64_t{0}); }
  // The bits [first, first + count).
  void SetRange(std::size_t first, std::size_t count) noexcept {
    ForEachMask(first, count, [this](std::size_t word, std::uint64_t mask) { words_[word] |= mask; });
  }
  void ResetRange(std::size_t first, std::size_t count) noexcept {
    ForEachMask(first, count, [this](std::size_t word, std::uint64_t mask) { words_[word] &= ~mask; });
  }

  std::size_t Count() const noexcept {
    std::size_t count = 0;
    for (const std::uint64_t word : Words()) count += static_cast<std::size_t>(std::popcount(word));
    return count;
  }
  bool Any() const noexcept { return FindSet() != kNoBit; }
  bool None() const noexcept { return FindSet() == kNoBit; }
  bool All() const noexcept { return FindReset() == kNoBit; }

  // The first such bit at `from` or behind it, or kNoBit. `from` may be Size() and more.
  std::size_t FindSet(std::size_t from = 0) const noexcept { return Find<0>(from); }
  std::size_t FindReset(std::size_t from = 0) const noexcept { return Find<~std::uint64_t{0}>(from); }

  // Calls visit(index) for every set bit, ascending. The visitor may change bits: a word is read when its
  // turn comes.
  template <class Visit>
  void ForEachSet(Visit&& visit) const {
    for (std::size_t word = 0; word < WordCount(bits_); ++word) {
      for (std::uint64_t left = words_[word]; left != 0; left &= left - 1) {
        visit(word * kWordBits + static_cast<std::size_t>(std::countr_zero(left)));
      }
    }
  }

  // Set operations with a set of the same size (asserted).
  void CopyFrom(const FixedBitset& other) noexcept {
    Combine(other, [](std::uint64_t, std::uint64_t theirs) { return theirs; });
  }
  void And(const FixedBitset& other) noexcept {
    Combine(other, [](std::uint64_t mine, std::uint64_t theirs) { return mine & theirs; });
  }
  void AndNot(const FixedBitset& other) noexcept {
    Combine(other, [](std::uint64_t mine, std::uint64_t theirs) { return mine & ~theirs; });
  }
  void Or(const FixedBitset& other) noexcept {
    Combine(other, [](std::uint64_t mine, std::uint64_t theirs) { return mine | theirs; });
  }
  void Xor(const FixedBitset& other) noexcept {
    Combine(other, [](std::uint64_t mine, std::uint64_t theirs) { return mine ^ theirs; });
  }
  bool Intersects(const FixedBitset& other) const noexcept {
    STADIAL_ASSERT_COMPARE(bits_, ==, other.bits_, "the sets differ in size");
    for (std::size_t word = 0; word < WordCount(bits_); ++word) {
      if ((words_[word] & other.words_[word]) != 0) return true;
    }
    return false;
  }
  friend bool operator==(const FixedBitset& left, const FixedBitset& right) noexcept {
    return left.bits_ == right.bits_ && std::ranges::equal(left.Words(), right.Words());
  }

  std::size_t Size() const noexcept { return bits_; }
  // The bits behind Size() in the last word are always 0.
  std::span<const std::uint64_t> Words() const noexcept { return {words_, WordCount(bits_)}; }

 private:
  static constexpr std::size_t kWordBits = 64;
  static constexpr std::size_t WordCount(std::size_t bits) noexcept {
    return bits / kWordBits + (bits % kWordBits != 0 ? 1 : 0);
  }
  static constexpr std::uint64_t Bit(std::size_t index) noexcept {
    return std::uint64_t{1} << (index % kWordBits);
  }
  std::uint64_t& Word(std::size_t index) noexcept {
    STADIAL_ASSERT_COMPARE(index, <, bits_, "no such bit");
    return words_[index / kWordBits];
  }

  // Calls apply(word, mask of the range's bits in it) for every word that the range touches.
  template <class Apply>
  void ForEachMask(std::size_t first, std::size_t count, Apply&& apply) noexcept {
    STADIAL_ASSERT_COMPARE(first, <=, bits_, "no such bit");
    STADIAL_ASSERT_COMPARE(count, <=, bits_ - first, "the range ends behind the last bit");
    const std::size_t end = first + count;
    while (first < end) {
      const std::size_t shift = first % kWordBits;
      const std::size_t taken = std::min(kWordBits - shift, end - first);
      apply(first / kWordBits, (~std::uint64_t{0} >> (kWordBits - taken)) << shift);
      first += taken;
    }
  }
  // The first bit that is set after the words were flipped by `flip`.
  template <std::uint64_t flip>
  std::size_t Find(std::size_t from) const noexcept {
    if (from >= bits_) return kNoBit;
    std::size_t word = from / kWordBits;
    std::uint64_t found = (words_[word] ^ flip) & (~std::uint64_t{0} << (from % kWordBits));
    while (found == 0) {
      if (++word == WordCount(bits_)) return kNoBit;
      found = words_[word] ^ flip;
    }
    // Flipped, the unused bits of the last word look set.
    const std::size_t index = word * kWordBits + static_cast<std::size_t>(std::countr_zero(found));
    return index < bits_ ? index : kNoBit;
  }
  template <class Operation>
  void Combine(const FixedBitset& other, Operation&& operation) noexcept {
    STADIAL_ASSERT_COMPARE(bits_, ==, other.bits_, "the sets differ in size");
    for (std::size_t word = 0; word < WordCount(bits_); ++word) {
      words_[word] = operation(words_[word], other.words_[word]);
    }
  }

  std::uint64_t* words_ = nullptr;
  std::size_t bits_ = 0;
};

}  // namespace stadial::arenas
