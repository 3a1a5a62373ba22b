// Boost's containers under the frames of container_bench.cpp, on glibc's malloc. Those that can be given all
// their memory at once are.
#include <boost/circular_buffer.hpp>
#include <boost/container/static_vector.hpp>
#include <boost/dynamic_bitset.hpp>
#include <boost/intrusive/list.hpp>
#include <boost/pool/pool.hpp>
#include <boost/unordered_map.hpp>
#include <boost/unordered_set.hpp>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "container_workload.h"
#include "hash_adapters.h"
#include "peer_main.h"

namespace {

using namespace stadial::bench;

class Vector {
 public:
  void Begin(std::size_t) {}
  void Push(std::uint64_t value) { vector_.push_back(value); }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t value : vector_) sum += value;
    return sum;
  }
  void End() { vector_.clear(); }

 private:
  boost::container::static_vector<std::uint64_t, kVectorItems> vector_;
};

using Map = HashMap<boost::unordered_map<std::uint64_t, std::uint64_t>>;
using Set = HashSet<boost::unordered_set<std::uint64_t>>;

class Queue {
 public:
  explicit Queue(std::size_t capacity) : ring_(capacity) {}
  void Push(std::uint64_t value) { ring_.push_back(value); }
  std::uint64_t Pop() {
    const std::uint64_t value = ring_.front();
    ring_.pop_front();
    return value;
  }

 private:
  boost::circular_buffer<std::uint64_t> ring_;
};

class Pool {
 public:
  explicit Pool(std::size_t capacity) : pool_(sizeof(Object), capacity) {}
  Object* New(std::uint64_t value) { return ::new (pool_.malloc()) Object(value); }
  void Delete(Object* object) { pool_.free(object); }

 private:
  boost::pool<> pool_;
};

class Bits {
 public:
  explicit Bits(std::size_t bits) : bits_(bits) {}
  void Set(std::size_t index) { bits_.set(index); }
  void Reset(std::size_t index) { bits_.reset(index); }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (std::size_t index = bits_.find_first(); index != bits_.npos; index = bits_.find_next(index))
      sum += index;
    return sum;
  }

 private:
  boost::dynamic_bitset<std::uint64_t> bits_;
};

class List {
 public:
  explicit List(std::size_t capacity) : items_(capacity) {}
  ~List() { list_.clear(); }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  void PushBack(std::uint32_t index) {
    items_[index].value = index;
    list_.push_back(items_[index]);
  }
  void MoveToBack(std::uint32_t index) {
    list_.erase(list_.iterator_to(items_[index]));
    list_.push_back(items_[index]);
  }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (const Item& item : list_) sum = sum * 3 + item.value;
    return sum;
  }
  void Clear() { list_.clear(); }

 private:
  struct Item : boost::intrusive::list_base_hook<> {
    std::uint64_t value = 0;
  };
  std::vector<Item> items_;
  boost::intrusive::list<Item> list_;
};

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterContainer("vector", "boost_static", RunVector<Vector>);
    RegisterContainer("map", "boost", RunMap<Map>);
    RegisterContainer("set", "boost", RunSet<Set>);
    RegisterContainer("queue", "boost_circular", RunQueue<Queue>);
    RegisterContainer("pool", "boost", RunPool<Pool>);
    RegisterContainer("bits", "boost", RunBits<Bits>);
    RegisterContainer("list", "boost_intrusive", RunList<List>);
  });
}
