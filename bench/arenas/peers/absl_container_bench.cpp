// Abseil's hash tables under the frames of container_bench.cpp, on glibc's malloc.
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstddef>
#include <cstdint>

#include "container_workload.h"
#include "peer_main.h"

namespace {

using namespace stadial::bench;

class Map {
 public:
  explicit Map(std::size_t capacity) { map_.reserve(capacity); }
  void Insert(std::uint64_t key, std::uint64_t value) { map_.emplace(key, value); }
  std::uint64_t Find(std::uint64_t key) const {
    const auto found = map_.find(key);
    return found == map_.end() ? 0 : found->second;
  }
  void Erase(std::uint64_t key) { map_.erase(key); }

 private:
  absl::flat_hash_map<std::uint64_t, std::uint64_t> map_;
};

class Set {
 public:
  explicit Set(std::size_t capacity) { set_.reserve(capacity); }
  void Insert(std::uint64_t key) { set_.insert(key); }
  bool Contains(std::uint64_t key) const { return set_.contains(key); }
  void Erase(std::uint64_t key) { set_.erase(key); }

 private:
  absl::flat_hash_set<std::uint64_t> set_;
};

class Slots {
 public:
  using Handle = std::uint64_t;
  explicit Slots(std::size_t capacity) { map_.reserve(capacity); }
  Handle Insert(std::uint64_t value) {
    map_.emplace(++next_, value);
    return next_;
  }
  std::uint64_t Get(Handle handle) const { return map_.find(handle)->second.value[0]; }
  void Erase(Handle handle) { map_.erase(handle); }

 private:
  absl::flat_hash_map<std::uint64_t, Object> map_;
  std::uint64_t next_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterContainer("map", "absl", RunMap<Map>);
    RegisterContainer("set", "absl", RunSet<Set>);
    RegisterContainer("slots", "absl", RunSlots<Slots>);
  });
}
