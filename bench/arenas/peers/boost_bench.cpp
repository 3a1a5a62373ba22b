// Boost: the pmr of Boost.Container (monotonic on one buffer, pool), and boost::pool. The pools have no
// frames: the one refuses alignments beyond that of std::max_align_t, the other knows one size only.
#include <boost/container/pmr/monotonic_buffer_resource.hpp>
#include <boost/container/pmr/unsynchronized_pool_resource.hpp>
#include <boost/pool/pool.hpp>
#include <cstddef>
#include <cstdint>

#include "peer_bench.h"

namespace {

using namespace stadial::bench;

constexpr std::size_t kAlignmentMax = alignof(std::max_align_t);

class MonotonicBuffer {
 public:
  static constexpr bool kFreesBlocks = false;
  explicit MonotonicBuffer(std::size_t bytesMax) : memory_(bytesMax), resource_(memory_.Base(), bytesMax) {}
  void* Take(std::size_t bytes, std::size_t alignment) {
    return TakeOverAligned<kAlignmentMax>(
        bytes, alignment, [this](std::size_t padded) { return resource_.allocate(padded, kAlignmentMax); });
  }
  void EndBatch() { resource_.release(); }

 private:
  PopulatedMemory memory_;
  boost::container::pmr::monotonic_buffer_resource resource_;
};

class PmrPool {
 public:
  static constexpr bool kFreesBlocks = true;
  explicit PmrPool(std::size_t) {}
  void* Take(std::size_t bytes, std::size_t alignment) { return resource_.allocate(bytes, alignment); }
  void GiveBack(void* block, std::size_t bytes, std::size_t alignment) {
    resource_.deallocate(block, bytes, alignment);
  }
  void EndBatch() {}

 private:
  boost::container::pmr::unsynchronized_pool_resource resource_;
};

void RunPool(benchmark::State& state, std::size_t bytes) {
  boost::pool<> pool(bytes);
  const auto blockCount = static_cast<std::size_t>(state.range(0));
  RunAllocateBatches(
      state, blockCount, [&] { return pool.malloc(); },
      [&](std::uint64_t** blocks) {
        for (std::size_t index = 0; index < blockCount; ++index) pool.free(blocks[index]);
      });
  state.SetLabel(ModuleOfMalloc());
}

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterFloor(FrameMemory);
    RegisterPeerFrames<MonotonicBuffer>("boost_pmr_monotonic");
    RegisterIdeals(BumpMemory);
    RegisterPeerBumps<MonotonicBuffer>("boost_pmr_monotonic");
    RegisterPeerBumps<PmrPool>("boost_pmr_pool");
    for (const std::size_t bytes : kBumpSizes) {
      RegisterBump("constant", bytes, "boost_pool",
                   [bytes](benchmark::State& state) { RunPool(state, bytes); });
    }
  });
}
