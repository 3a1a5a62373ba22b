// foonathan::memory's memory_stack on one block of malloc's, unwound at the end of a batch or frame.
#include <cstddef>
#include <foonathan/memory/memory_stack.hpp>

#include "peer_bench.h"

namespace {

using namespace stadial::bench;

class FoonathanStack {
 public:
  static constexpr bool kFreesBlocks = false;
  // Some room for the stack's own header and, where Debian's build has them, fences around blocks.
  explicit FoonathanStack(std::size_t bytesMax) : stack_(2 * bytesMax), bottom_(stack_.top()) {}
  void* Take(std::size_t bytes, std::size_t alignment) { return stack_.allocate(bytes, alignment); }
  void EndBatch() { stack_.unwind(bottom_); }

 private:
  foonathan::memory::memory_stack<> stack_;
  foonathan::memory::memory_stack<>::marker bottom_;
};

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterFloor(FrameMemory);
    RegisterPeerFrames<FoonathanStack>("foonathan_stack");
    RegisterIdeals(BumpMemory);
    RegisterPeerBumps<FoonathanStack>("foonathan_stack");
  });
}
