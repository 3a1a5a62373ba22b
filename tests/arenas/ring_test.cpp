// What SpscRing and MpscRing have in common.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstddef>

#include "stadial/arenas/mpsc_ring.h"
#include "stadial/arenas/spsc_ring.h"
#include "support/arena_buffer.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;

template <std::size_t kLeast, template <class> class Ring>
struct Case {
  static constexpr std::size_t kCapacityLeast = kLeast;
  using OfInts = Ring<int>;
};
template <class Case>
class AnyRing : public ::testing::Test {};
using Rings = ::testing::Types<Case<1, SpscRing>, Case<2, MpscRing>>;
TYPED_TEST_SUITE(AnyRing, Rings);

TYPED_TEST(AnyRing, RoundsItsCapacityToAPowerOfTwo) {
  ArenaBuffer buffer;
  for (const std::size_t asked : {0u, 1u, 2u, 3u, 64u, 65u}) {
    typename TypeParam::OfInts ring(buffer.arena, asked);
    EXPECT_EQ(ring.Capacity(), std::bit_ceil(std::max(asked, TypeParam::kCapacityLeast)));
    for (std::size_t index = 0; index < ring.Capacity(); ++index) EXPECT_TRUE(ring.TryPush(1));
    EXPECT_FALSE(ring.TryPush(1));
    EXPECT_EQ(ring.Size(), ring.Capacity());
  }
}

TYPED_TEST(AnyRing, LivesInAnArena) {
  ArenaBuffer buffer;
  auto* const ring = buffer.arena.New<typename TypeParam::OfInts>(buffer.arena, 4u);
  ring->Push(3);
  ASSERT_NE(ring->Front(), nullptr);
  EXPECT_EQ(*ring->Front(), 3);
  ring->Drop();
  EXPECT_EQ(ring->Front(), nullptr);
}

}  // namespace
}  // namespace stadial::arenas
