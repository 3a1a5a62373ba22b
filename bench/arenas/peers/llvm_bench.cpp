// llvm::BumpPtrAllocator, with its default slabs of 4 KiB and with one slab that holds everything. Reset
// keeps the first slab and gives the others back to malloc.
#include <llvm/Support/Allocator.h>

#include <cstddef>

#include "peer_bench.h"

namespace {

using namespace stadial::bench;

template <std::size_t kSlabBytes>
class LlvmPeer {
 public:
  static constexpr bool kFreesBlocks = false;
  explicit LlvmPeer(std::size_t) {}
  void* Take(std::size_t bytes, std::size_t alignment) {
    return allocator_.Allocate(bytes, llvm::Align(alignment));
  }
  void EndBatch() { allocator_.Reset(); }

 private:
  // The second size is the request that gets a slab of its own.
  llvm::BumpPtrAllocatorImpl<llvm::MallocAllocator, kSlabBytes, kSlabBytes> allocator_;
};

using OneSlab = LlvmPeer<kBumpBytesMax>;
using DefaultSlabs = LlvmPeer<4096>;

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterFloor(FrameMemory);
    RegisterPeerFrames<OneSlab>("llvm_one_slab");
    RegisterPeerFrames<DefaultSlabs>("llvm_default");
    RegisterIdeals(BumpMemory);
    RegisterPeerBumps<OneSlab>("llvm_one_slab");
    RegisterPeerBumps<DefaultSlabs>("llvm_default");
  });
}
