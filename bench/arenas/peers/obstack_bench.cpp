// The C library's obstack on one chunk that holds everything; freeing its first object takes all back and
// keeps the chunk.
#include <obstack.h>

#include <cstddef>
#include <cstdlib>

#include "peer_bench.h"

namespace {

using namespace stadial::bench;

class Obstack {
 public:
  static constexpr bool kFreesBlocks = false;
  explicit Obstack(std::size_t bytesMax) {
    // The function behind obstack_begin, whose macro cannot be given an alignment and casts as C does.
    _obstack_begin(&stack_, static_cast<int>(bytesMax + bytesMax / 8), kAlignment, TakeChunk, std::free);
    first_ = obstack_alloc(&stack_, 0);
  }
  ~Obstack() { obstack_free(&stack_, nullptr); }
  Obstack(const Obstack&) = delete;
  Obstack& operator=(const Obstack&) = delete;
  void* Take(std::size_t bytes, std::size_t alignment) {
    return TakeOverAligned<kAlignment>(bytes, alignment, [this](std::size_t padded) {
      return obstack_alloc(&stack_, static_cast<int>(padded));
    });
  }
  void EndBatch() { obstack_free(&stack_, first_); }

 private:
  static constexpr int kAlignment = 16;
  static void* TakeChunk(long bytes) { return std::malloc(static_cast<std::size_t>(bytes)); }

  obstack stack_;
  void* first_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterFloor(FrameMemory);
    RegisterPeerFrames<Obstack>("obstack");
    RegisterIdeals(BumpMemory);
    RegisterPeerBumps<Obstack>("obstack");
  });
}
