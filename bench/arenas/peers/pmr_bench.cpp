// std::pmr: the monotonic resource on one buffer and on the default heap, and the two pools, which get every
// block back as containers give it.
#include <cstddef>
#include <memory_resource>

#include "peer_bench.h"

namespace {

using namespace stadial::bench;

// As a container reaches a resource: through the base class.
class Interface {
 public:
  explicit Interface(std::pmr::memory_resource* resource) : resource_(resource) {
    benchmark::DoNotOptimize(resource_);
  }
  void* Take(std::size_t bytes, std::size_t alignment) { return resource_->allocate(bytes, alignment); }

 private:
  std::pmr::memory_resource* resource_;
};

class MonotonicBuffer {
 public:
  static constexpr bool kFreesBlocks = false;
  explicit MonotonicBuffer(std::size_t bytesMax)
      : memory_(bytesMax), resource_(memory_.Base(), bytesMax, std::pmr::null_memory_resource()) {}
  // Direct: the compiler sees the class and inlines it. No std::pmr container can do that.
  void* Take(std::size_t bytes, std::size_t alignment) { return resource_.allocate(bytes, alignment); }
  void EndBatch() { resource_.release(); }

 protected:
  PopulatedMemory memory_;
  std::pmr::monotonic_buffer_resource resource_;
};

class MonotonicInterface : public MonotonicBuffer {
 public:
  explicit MonotonicInterface(std::size_t bytesMax) : MonotonicBuffer(bytesMax), interface_(&resource_) {}
  void* Take(std::size_t bytes, std::size_t alignment) { return interface_.Take(bytes, alignment); }

 private:
  Interface interface_;
};

class MonotonicHeap {
 public:
  static constexpr bool kFreesBlocks = false;
  explicit MonotonicHeap(std::size_t) : interface_(&resource_) {}
  void* Take(std::size_t bytes, std::size_t alignment) { return interface_.Take(bytes, alignment); }
  void EndBatch() { resource_.release(); }

 private:
  std::pmr::monotonic_buffer_resource resource_;
  Interface interface_;
};

template <class Resource>
class Pool {
 public:
  static constexpr bool kFreesBlocks = true;
  explicit Pool(std::size_t) {}
  void* Take(std::size_t bytes, std::size_t alignment) { return resource_.allocate(bytes, alignment); }
  void GiveBack(void* block, std::size_t bytes, std::size_t alignment) {
    resource_.deallocate(block, bytes, alignment);
  }
  void EndBatch() {}

 private:
  Resource resource_;
};

using UnsynchronizedPool = Pool<std::pmr::unsynchronized_pool_resource>;
using SynchronizedPool = Pool<std::pmr::synchronized_pool_resource>;

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterFloor(FrameMemory);
    RegisterPeerFrames<MonotonicInterface>("pmr_monotonic");
    RegisterPeerFrames<MonotonicBuffer>("pmr_monotonic_direct");
    RegisterPeerFrames<MonotonicHeap>("pmr_monotonic_heap");
    RegisterFrame("light", "pmr_pool", RunPeerFrames<UnsynchronizedPool, Touch::Light>);
    RegisterFrame("light", "pmr_synchronized_pool", RunPeerFrames<SynchronizedPool, Touch::Light>);
    RegisterIdeals(BumpMemory);
    RegisterPeerBumps<MonotonicInterface>("pmr_monotonic");
    RegisterPeerBumps<MonotonicBuffer>("pmr_monotonic_direct");
    RegisterPeerBumps<MonotonicHeap>("pmr_monotonic_heap");
    // A pool cannot tell a constant size from another, and takes its time: the batches once, and no full
    // frames.
    RegisterBump("constant", 64, "pmr_pool", RunPeerConstant<UnsynchronizedPool, 64>);
    RegisterBump("constant", 64, "pmr_synchronized_pool", RunPeerConstant<SynchronizedPool, 64>);
  });
}
