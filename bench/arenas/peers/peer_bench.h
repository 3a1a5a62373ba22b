// Registers the whole workload for an arena peer: bump batches with sizes known at compile time and at run
// time, and frames. A peer is
//
//   struct Peer {
//     static constexpr bool kFreesBlocks;          // whether GiveBack exists and is called for every block
//     explicit Peer(std::size_t bytesMax);         // never asked for more at once, rounding to 16 included
//     void* Take(std::size_t bytes, std::size_t alignment);
//     void GiveBack(void* block, std::size_t bytes, std::size_t alignment);
//     void EndBatch();                             // everything is given back
//   };
//
// Programs register frames before batches, so that frames meet a fresh heap.
#pragma once

#include <cstddef>
#include <cstdint>

#include "peer_main.h"

namespace stadial::bench {

template <class Peer>
void EndBump(Peer& peer, std::uint64_t** blocks, std::size_t blockCount, std::size_t bytes,
             std::size_t alignment) {
  if constexpr (Peer::kFreesBlocks) {
    for (std::size_t index = 0; index < blockCount; ++index) peer.GiveBack(blocks[index], bytes, alignment);
  }
  peer.EndBatch();
}

template <class Peer, std::size_t kBytes>
void RunPeerConstant(benchmark::State& state) {
  constexpr std::size_t kAlignment = 16;
  Peer peer(kBumpBytesMax);
  const auto blockCount = static_cast<std::size_t>(state.range(0));
  RunAllocateBatches(
      state, blockCount, [&] { return peer.Take(kBytes, kAlignment); },
      [&](std::uint64_t** blocks) { EndBump(peer, blocks, blockCount, kBytes, kAlignment); });
  state.SetLabel(ModuleOfMalloc());
}

template <class Peer>
void RunPeerRunTime(benchmark::State& state, std::size_t bytes) {
  std::size_t alignment = 16;
  benchmark::DoNotOptimize(bytes);
  benchmark::DoNotOptimize(alignment);
  Peer peer(kBumpBytesMax);
  const auto blockCount = static_cast<std::size_t>(state.range(0));
  RunAllocateBatches(
      state, blockCount, [&] { return peer.Take(bytes, alignment); },
      [&](std::uint64_t** blocks) { EndBump(peer, blocks, blockCount, bytes, alignment); });
  state.SetLabel(ModuleOfMalloc());
}

template <class Peer, std::size_t kBytes>
void RegisterPeerBump(const char* name) {
  RegisterBump("constant", kBytes, name, RunPeerConstant<Peer, kBytes>);
  RegisterBump("run_time", kBytes, name,
               [](benchmark::State& state) { RunPeerRunTime<Peer>(state, kBytes); });
}

template <class Peer>
void RegisterPeerBumps(const char* name) {
  RegisterPeerBump<Peer, 16>(name);
  RegisterPeerBump<Peer, 64>(name);
  RegisterPeerBump<Peer, 256>(name);
}

template <class Peer, Touch kTouch>
void RunPeerFrames(benchmark::State& state) {
  Peer peer(FrameBytesMax());
  RunFrames<kTouch>(state, peer);
}

template <class Peer>
void RegisterPeerFrames(const char* name) {
  RegisterFrame("light", name, RunPeerFrames<Peer, Touch::Light>);
  RegisterFrame("full", name, RunPeerFrames<Peer, Touch::Full>);
}

// For peers that align to less than a frame asks for: takes the difference as well, and aligns inside.
template <std::size_t kPeerAlignment, class Take>
[[gnu::always_inline]] inline void* TakeOverAligned(std::size_t bytes, std::size_t alignment, Take take) {
  if (alignment <= kPeerAlignment) return take(bytes);
  const auto first = reinterpret_cast<std::uintptr_t>(take(bytes + alignment - kPeerAlignment));
  return reinterpret_cast<void*>((first + alignment - 1) & ~(alignment - 1));
}

}  // namespace stadial::bench
