// protobuf's Arena on one initial block, which Reset keeps. It aligns to 8 and takes more where more is asked
// for.
#include <google/protobuf/arena.h>

#include <cstddef>

#include "peer_bench.h"

namespace {

using namespace stadial::bench;

class ProtobufArena {
 public:
  static constexpr bool kFreesBlocks = false;
  explicit ProtobufArena(std::size_t bytesMax)
      : memory_(bytesMax + bytesMax / 8), arena_(OptionsOver(memory_)) {}
  void* Take(std::size_t bytes, std::size_t alignment) {
    return arena_.AllocateAligned((bytes + 7) & ~std::size_t{7}, alignment);  // it insists on multiples of 8
  }
  void EndBatch() { arena_.Reset(); }

 private:
  static google::protobuf::ArenaOptions OptionsOver(const PopulatedMemory& memory) {
    google::protobuf::ArenaOptions options;
    options.initial_block = static_cast<char*>(static_cast<void*>(memory.Base()));
    options.initial_block_size = memory.Bytes();
    return options;
  }

  PopulatedMemory memory_;
  google::protobuf::Arena arena_;
};

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterFloor(FrameMemory);
    RegisterPeerFrames<ProtobufArena>("protobuf_arena");
    RegisterIdeals(BumpMemory);
    RegisterPeerBumps<ProtobufArena>("protobuf_arena");
  });
}
