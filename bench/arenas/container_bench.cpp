// The containers of fixed capacity. The standard's, boost's and abseil's run the same in programs of their
// own, on glibc's malloc (peers/).
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "container_workload.h"
#include "region_memory.h"
#include "stadial/arenas/fixed_bitset.h"
#include "stadial/arenas/fixed_pool.h"
#include "stadial/arenas/fixed_ring.h"
#include "stadial/arenas/fixed_string.h"
#include "stadial/arenas/fixed_vector.h"
#include "stadial/arenas/flat_map.h"
#include "stadial/arenas/flat_set.h"
#include "stadial/arenas/intrusive_list.h"
#include "stadial/arenas/slot_map.h"

namespace {

using namespace stadial::bench;
namespace arenas = stadial::arenas;

// An arena of its own for each container, apart from it: calls that are handed the region must not keep the
// compiler from holding the container beside it in registers.
class Memory {
  struct Held {
    RegionMemory region{std::size_t{4} << 20};
    arenas::Arena arena = region.MakeArena();
  };
  std::unique_ptr<Held> held_ = std::make_unique<Held>();

 public:
  arenas::Arena& arena = held_->arena;
};

class Vector {
 public:
  void Begin(std::size_t capacity) { vector_ = arenas::FixedVector<std::uint64_t>(memory_.arena, capacity); }
  void Push(std::uint64_t value) { vector_.PushBack(value); }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t value : vector_) sum += value;
    return sum;
  }
  // A frame's vectors lie one behind the other; here the arena is rewound for each, as a scope of its own.
  void End() {
    vector_ = {};
    memory_.arena.Reset();
  }

 private:
  Memory memory_;
  arenas::FixedVector<std::uint64_t> vector_;
};

class Map {
 public:
  explicit Map(std::size_t capacity) : map_(memory_.arena, capacity) {}
  void Insert(std::uint64_t key, std::uint64_t value) { map_.Insert(key, value); }
  std::uint64_t Find(std::uint64_t key) const {
    const std::uint64_t* const found = map_.Find(key);
    return found == nullptr ? 0 : *found;
  }
  void Erase(std::uint64_t key) { map_.Erase(key); }

 private:
  Memory memory_;
  arenas::FlatMap<std::uint64_t, std::uint64_t> map_;
};

class Set {
 public:
  explicit Set(std::size_t capacity) : set_(memory_.arena, capacity) {}
  void Insert(std::uint64_t key) { set_.Insert(key); }
  bool Contains(std::uint64_t key) const { return set_.Contains(key); }
  void Erase(std::uint64_t key) { set_.Erase(key); }

 private:
  Memory memory_;
  arenas::FlatSet<std::uint64_t> set_;
};

class Queue {
 public:
  explicit Queue(std::size_t capacity) : ring_(memory_.arena, capacity) {}
  void Push(std::uint64_t value) { ring_.PushBack(value); }
  std::uint64_t Pop() { return ring_.PopFront(); }

 private:
  Memory memory_;
  arenas::FixedRing<std::uint64_t> ring_;
};

class Pool {
 public:
  explicit Pool(std::size_t capacity) : pool_(memory_.arena, capacity) {}
  Object* New(std::uint64_t value) { return pool_.New(value); }
  void Delete(Object* object) { pool_.Delete(object); }

 private:
  Memory memory_;
  arenas::FixedPool<Object> pool_;
};

class Slots {
 public:
  using Handle = arenas::SlotMap<Object>::Handle;
  explicit Slots(std::size_t capacity) : map_(memory_.arena, capacity) {}
  Handle Insert(std::uint64_t value) { return map_.Emplace(value); }
  std::uint64_t Get(Handle handle) const { return map_.Get(handle)->value[0]; }
  void Erase(Handle handle) { map_.Erase(handle); }

 private:
  Memory memory_;
  arenas::SlotMap<Object> map_;
};

class Bits {
 public:
  explicit Bits(std::size_t bits) : bits_(memory_.arena, bits) {}
  void Set(std::size_t index) { bits_.Set(index); }
  void Reset(std::size_t index) { bits_.Reset(index); }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    bits_.ForEachSet([&](std::size_t index) { sum += index; });
    return sum;
  }

 private:
  Memory memory_;
  arenas::FixedBitset bits_;
};

class Text {
 public:
  explicit Text(std::size_t capacity) : text_(memory_.arena, capacity) {}
  void Begin() { text_.Clear(); }
  void Append(std::string_view word) { text_.Append(word); }
  std::size_t Size() const { return text_.Size(); }

 private:
  Memory memory_;
  arenas::FixedString text_;
};

class List {
 public:
  explicit List(std::size_t capacity) : items_(memory_.arena.NewArray<Item>(capacity)) {}
  void PushBack(std::uint32_t index) {
    items_[index].value = index;
    list_.PushBack(items_[index]);
  }
  void MoveToBack(std::uint32_t index) {
    list_.Remove(items_[index]);
    list_.PushBack(items_[index]);
  }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (const Item& item : list_) sum = sum * 3 + item.value;
    return sum;
  }
  void Clear() { list_.Clear(); }

 private:
  struct Item : arenas::IntrusiveLink<> {
    std::uint64_t value = 0;
  };
  Memory memory_;
  std::span<Item> items_;
  arenas::IntrusiveList<Item> list_;
};

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterContainer("vector", "fixed", RunVector<Vector>);
  RegisterContainer("map", "fixed", RunMap<Map>);
  RegisterContainer("set", "fixed", RunSet<Set>);
  RegisterContainer("queue", "fixed", RunQueue<Queue>);
  RegisterContainer("pool", "fixed", RunPool<Pool>);
  RegisterContainer("slots", "fixed", RunSlots<Slots>);
  RegisterContainer("bits", "fixed", RunBits<Bits>);
  RegisterContainer("text", "fixed", RunText<Text>);
  RegisterContainer("list", "fixed", RunList<List>);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
