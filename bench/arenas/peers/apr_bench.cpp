// APR's pools: apr_palloc aligns to 8; clearing a pool keeps its blocks for the next batch.
#include <apr_general.h>
#include <apr_pools.h>

#include <cstddef>
#include <cstdlib>

#include "peer_bench.h"

namespace {

using namespace stadial::bench;

class AprPool {
 public:
  static constexpr bool kFreesBlocks = false;
  explicit AprPool(std::size_t) {
    if (apr_pool_create(&pool_, nullptr) != APR_SUCCESS) std::abort();
  }
  ~AprPool() { apr_pool_destroy(pool_); }
  AprPool(const AprPool&) = delete;
  AprPool& operator=(const AprPool&) = delete;
  void* Take(std::size_t bytes, std::size_t alignment) {
    return TakeOverAligned<8>(bytes, alignment,
                              [this](std::size_t padded) { return apr_palloc(pool_, padded); });
  }
  void EndBatch() { apr_pool_clear(pool_); }

 private:
  apr_pool_t* pool_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  if (apr_initialize() != APR_SUCCESS) return 1;
  return PeerMain(argc, argv, [] {
    RegisterFloor(FrameMemory);
    RegisterPeerFrames<AprPool>("apr_pool");
    RegisterIdeals(BumpMemory);
    RegisterPeerBumps<AprPool>("apr_pool");
  });
}
