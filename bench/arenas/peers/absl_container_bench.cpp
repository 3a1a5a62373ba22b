// Abseil's hash tables under the frames of container_bench.cpp, on glibc's malloc.
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstddef>
#include <cstdint>

#include "container_workload.h"
#include "hash_adapters.h"
#include "peer_main.h"

namespace {

using namespace stadial::bench;

using Map = HashMap<absl::flat_hash_map<std::uint64_t, std::uint64_t>>;
using Set = HashSet<absl::flat_hash_set<std::uint64_t>>;
using Slots = HashSlots<absl::flat_hash_map<std::uint64_t, Object>>;

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterContainer("map", "absl", RunMap<Map>);
    RegisterContainer("set", "absl", RunSet<Set>);
    RegisterContainer("slots", "absl", RunSlots<Slots>);
  });
}
