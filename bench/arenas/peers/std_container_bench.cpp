// The standard library's containers under the frames of container_bench.cpp, on glibc's malloc.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "container_workload.h"
#include "hash_adapters.h"
#include "peer_main.h"

namespace {

using namespace stadial::bench;

class Vector {
 public:
  void Begin(std::size_t capacity) { vector_.reserve(capacity); }
  void Push(std::uint64_t value) { vector_.push_back(value); }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t value : vector_) sum += value;
    return sum;
  }
  // The storage goes too, as that of the frame's other vectors does.
  void End() { std::vector<std::uint64_t>().swap(vector_); }

 private:
  std::vector<std::uint64_t> vector_;
};

// A vector that outlives the frame and keeps its storage.
class KeptVector {
 public:
  void Begin(std::size_t capacity) { vector_.reserve(capacity); }
  void Push(std::uint64_t value) { vector_.push_back(value); }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t value : vector_) sum += value;
    return sum;
  }
  void End() { vector_.clear(); }

 private:
  std::vector<std::uint64_t> vector_;
};

using Map = HashMap<std::unordered_map<std::uint64_t, std::uint64_t>>;
using Set = HashSet<std::unordered_set<std::uint64_t>>;

class Queue {
 public:
  explicit Queue(std::size_t) {}
  void Push(std::uint64_t value) { deque_.push_back(value); }
  std::uint64_t Pop() {
    const std::uint64_t value = deque_.front();
    deque_.pop_front();
    return value;
  }

 private:
  std::deque<std::uint64_t> deque_;
};

class Pool {
 public:
  explicit Pool(std::size_t) {}
  Object* New(std::uint64_t value) { return new Object(value); }
  void Delete(Object* object) { delete object; }
};

using Slots = HashSlots<std::unordered_map<std::uint64_t, Object>>;

class Bits {
 public:
  explicit Bits(std::size_t bits) : bits_(bits) {}
  void Set(std::size_t index) { bits_[index] = true; }
  void Reset(std::size_t index) { bits_[index] = false; }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (std::size_t index = 0; index < bits_.size(); ++index) sum += bits_[index] ? index : 0;
    return sum;
  }

 private:
  std::vector<bool> bits_;
};

class Text {
 public:
  explicit Text(std::size_t capacity) { text_.reserve(capacity); }
  void Begin() { text_.clear(); }
  void Append(std::string_view word) { text_.append(word); }
  std::size_t Size() const { return text_.size(); }

 private:
  std::string text_;
};

class List {
 public:
  explicit List(std::size_t capacity) : places_(capacity) {}
  void PushBack(std::uint32_t index) {
    list_.push_back(index);
    places_[index] = std::prev(list_.end());
  }
  void MoveToBack(std::uint32_t index) { list_.splice(list_.end(), list_, places_[index]); }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t value : list_) sum = sum * 3 + value;
    return sum;
  }
  void Clear() { list_.clear(); }

 private:
  std::list<std::uint64_t> list_;
  std::vector<std::list<std::uint64_t>::iterator> places_;
};

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterContainer("vector", "std", RunVector<Vector>);
    RegisterContainer("vector", "std_kept", RunVector<KeptVector>);
    RegisterContainer("map", "std", RunMap<Map>);
    RegisterContainer("set", "std", RunSet<Set>);
    RegisterContainer("queue", "std", RunQueue<Queue>);
    RegisterContainer("pool", "std", RunPool<Pool>);
    RegisterContainer("slots", "std", RunSlots<Slots>);
    RegisterContainer("bits", "std", RunBits<Bits>);
    RegisterContainer("text", "std", RunText<Text>);
    RegisterContainer("list", "std", RunList<List>);
  });
}
