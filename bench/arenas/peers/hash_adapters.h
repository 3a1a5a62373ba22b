// Adapters of container_workload.h for hash tables with the standard's interface: the tables differ, the
// frames do not.
#pragma once

#include <cstddef>
#include <cstdint>

#include "container_workload.h"

namespace stadial::bench {

template <class Table>  // from std::uint64_t to std::uint64_t
class HashMap {
 public:
  explicit HashMap(std::size_t capacity) { map_.reserve(capacity); }
  void Insert(std::uint64_t key, std::uint64_t value) { map_.emplace(key, value); }
  std::uint64_t Find(std::uint64_t key) const {
    const auto found = map_.find(key);
    return found == map_.end() ? 0 : found->second;
  }
  void Erase(std::uint64_t key) { map_.erase(key); }

 private:
  Table map_;
};

template <class Table>  // of std::uint64_t
class HashSet {
 public:
  explicit HashSet(std::size_t capacity) { set_.reserve(capacity); }
  void Insert(std::uint64_t key) { set_.insert(key); }
  bool Contains(std::uint64_t key) const { return set_.find(key) != set_.end(); }
  void Erase(std::uint64_t key) { set_.erase(key); }

 private:
  Table set_;
};

// Handles as a hash table would have them: running numbers.
template <class Table>  // from std::uint64_t to Object
class HashSlots {
 public:
  using Handle = std::uint64_t;
  explicit HashSlots(std::size_t capacity) { map_.reserve(capacity); }
  Handle Insert(std::uint64_t value) {
    map_.emplace(++next_, value);
    return next_;
  }
  std::uint64_t Get(Handle handle) const { return map_.find(handle)->second.value[0]; }
  void Erase(Handle handle) { map_.erase(handle); }

 private:
  Table map_;
  std::uint64_t next_ = 0;
};

}  // namespace stadial::bench
