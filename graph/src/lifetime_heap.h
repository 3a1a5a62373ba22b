// Heap: the holes of one sweep. Items come and go; a hole is found by size in constant time.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>

#include "lifetime_tables.h"

namespace stadial::graph::packing {

// Item i's run is runs[i]; holes use those from runs[count]. Runs form a list by address. Behind the last
// item there is no hole but the end of the heap, which moves.
class Heap {
 public:
  Heap(std::span<Run> runs, std::uint32_t count) noexcept : runs_(runs), count_(count) { Clear(); }

  void Clear() noexcept {
    heads_.fill(kNobody);
    used_.fill(0);
    summary_ = 0;
    freeRun_ = kNobody;
    nextRun_ = count_;
    lastRun_ = kNobody;
    end_ = 0;
    peak_ = 0;
  }

  std::uint64_t Peak() const noexcept { return peak_; }
  std::uint64_t Work() const noexcept { return work_; }
  std::uint32_t LastRun() const noexcept { return lastRun_; }
  std::uint32_t Before(std::uint32_t run) const noexcept { return runs_[run].before; }

  // At the lower end of the smallest hole that takes it, or at the end of the heap.
  std::uint64_t Place(std::uint32_t item, std::uint64_t size, std::uint64_t alignment) noexcept {
    const std::uint32_t hole = FindHole(size, alignment);
    if (hole == kNobody) {
      Append(item, RoundUp(end_, alignment), size);
      return runs_[item].begin;
    }
    const Run there = runs_[hole];
    const std::uint64_t begin = RoundUp(there.begin, alignment);
    RemoveHole(hole);
    runs_[item].begin = begin;
    runs_[item].size = size;
    Link(there.before, item, there.after);
    if (begin > there.begin) AddHole(there.begin, begin - there.begin, there.before, item);
    const std::uint64_t end = there.begin + there.size;
    if (begin + size < end) AddHole(begin + size, end - begin - size, item, there.after);
    return begin;
  }

  // Behind all others; a gap before it becomes a hole.
  void Append(std::uint32_t item, std::uint64_t begin, std::uint64_t size) noexcept {
    Run& run = runs_[item];
    run.begin = begin;
    run.size = size;
    const std::uint32_t before = lastRun_;
    const std::uint64_t end = end_;
    Link(before, item, kNobody);
    lastRun_ = item;
    if (begin > end) AddHole(end, begin - end, before, item);
    end_ = begin + size;
    peak_ = std::max(peak_, end_);
  }

  void Remove(std::uint32_t item) noexcept {
    Run gone = runs_[item];
    if (gone.before != kNobody && gone.before >= count_) {
      const std::uint32_t hole = gone.before;
      gone.begin = runs_[hole].begin;
      gone.size += runs_[hole].size;
      gone.before = runs_[hole].before;
      RemoveHole(hole);
    }
    if (gone.after != kNobody && gone.after >= count_) {
      const std::uint32_t hole = gone.after;
      gone.size += runs_[hole].size;
      gone.after = runs_[hole].after;
      RemoveHole(hole);
    }
    if (gone.after == kNobody) {
      lastRun_ = gone.before;
      end_ = gone.begin;
      if (lastRun_ != kNobody) runs_[lastRun_].after = kNobody;
      return;
    }
    AddHole(gone.begin, gone.size, gone.before, gone.after);
  }

 private:
  // Bins of sizes: eight to each power of two.
  static constexpr std::uint32_t kBins = 512;
  static constexpr std::uint32_t kLooksPerBin = 8;
  static std::uint32_t BinOf(std::uint64_t size) noexcept {
    const auto power = static_cast<std::uint32_t>(std::bit_width(size)) - 1;
    return power < 3 ? static_cast<std::uint32_t>(size)
                     : (power - 2) * 8 + static_cast<std::uint32_t>((size >> (power - 3)) & 7);
  }

  std::uint32_t NextBin(std::uint32_t bin) const noexcept {
    std::uint32_t word = bin / 64;
    if (word >= used_.size()) return kNobody;
    std::uint64_t bits = used_[word] & (~std::uint64_t{0} << (bin % 64));
    if (bits == 0) {
      const std::uint32_t words = summary_ & (~0u << (word + 1));
      if (words == 0) return kNobody;
      word = static_cast<std::uint32_t>(std::countr_zero(words));
      bits = used_[word];
    }
    return word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
  }

  std::uint32_t FindHole(std::uint64_t size, std::uint64_t alignment) noexcept {
    std::uint32_t found = kNobody;
    for (std::uint32_t bin = NextBin(BinOf(size)); bin != kNobody; bin = NextBin(bin + 1)) {
      std::uint32_t looks = kLooksPerBin;
      for (std::uint32_t hole = heads_[bin]; hole != kNobody && looks != 0; hole = runs_[hole].binAfter) {
        --looks;
        ++work_;
        const Run& run = runs_[hole];
        if (RoundUp(run.begin, alignment) + size > run.begin + run.size) continue;
        if (found == kNobody || run.size < runs_[found].size ||
            (run.size == runs_[found].size && run.begin < runs_[found].begin))
          found = hole;
      }
      if (found != kNobody) return found;
    }
    return kNobody;
  }

  void Link(std::uint32_t before, std::uint32_t run, std::uint32_t after) noexcept {
    runs_[run].before = before;
    runs_[run].after = after;
    if (before != kNobody) runs_[before].after = run;
    if (after != kNobody) runs_[after].before = run;
  }

  void AddHole(std::uint64_t begin, std::uint64_t size, std::uint32_t before, std::uint32_t after) noexcept {
    std::uint32_t hole = freeRun_;
    if (hole != kNobody) {
      freeRun_ = runs_[hole].binAfter;
    } else {
      hole = nextRun_++;
    }
    Link(before, hole, after);
    Run& run = runs_[hole];
    run.begin = begin;
    run.size = size;
    const std::uint32_t bin = BinOf(size);
    run.binBefore = kNobody;
    run.binAfter = heads_[bin];
    if (run.binAfter != kNobody) runs_[run.binAfter].binBefore = hole;
    heads_[bin] = hole;
    used_[bin / 64] |= std::uint64_t{1} << (bin % 64);
    summary_ |= 1u << (bin / 64);
  }

  // Takes it out of its bin; the neighbours are linked by whoever comes in its place.
  void RemoveHole(std::uint32_t hole) noexcept {
    Run& run = runs_[hole];
    if (run.binAfter != kNobody) runs_[run.binAfter].binBefore = run.binBefore;
    if (run.binBefore != kNobody) {
      runs_[run.binBefore].binAfter = run.binAfter;
    } else {
      const std::uint32_t bin = BinOf(run.size);
      heads_[bin] = run.binAfter;
      if (run.binAfter == kNobody) {
        used_[bin / 64] &= ~(std::uint64_t{1} << (bin % 64));
        if (used_[bin / 64] == 0) summary_ &= ~(1u << (bin / 64));
      }
    }
    run.binAfter = freeRun_;
    freeRun_ = hole;
  }

  std::span<Run> runs_;
  std::uint32_t count_;
  std::array<std::uint32_t, kBins> heads_;
  std::array<std::uint64_t, kBins / 64> used_;
  std::uint32_t summary_ = 0;
  std::uint32_t freeRun_ = kNobody;
  std::uint32_t nextRun_ = 0;
  std::uint32_t lastRun_ = kNobody;
  std::uint64_t end_ = 0;
  std::uint64_t peak_ = 0;
  std::uint64_t work_ = 0;
};

}  // namespace stadial::graph::packing
