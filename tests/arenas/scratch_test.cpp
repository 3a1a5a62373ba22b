#include "stadial/arenas/scratch.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

// Two scratch arenas over memory of their own.
struct Pair {
  explicit Pair(std::size_t bytes = 64_KiB)
      : memory(bytes), arenas(ScratchArenas::Carve(memory.Memory(), bytes).Value()) {
    memory.arena = Arena();
  }
  ArenaBuffer memory;
  ScratchArenas arenas;
};

TEST(Scratch, TakesTheFirstThatIsNoConflict) {
  Pair pair;
  EXPECT_EQ(&pair.arenas.Choose({}), &pair.arenas.At(0));
  EXPECT_EQ(&pair.arenas.Choose({&pair.arenas.At(0)}), &pair.arenas.At(1));
  EXPECT_EQ(&pair.arenas.Choose({&pair.arenas.At(1)}), &pair.arenas.At(0));
  ArenaBuffer other;
  EXPECT_EQ(&pair.arenas.Choose({nullptr, &other.arena}), &pair.arenas.At(0)) << "those count for nothing";
}

TEST(Scratch, ClosingTakesBackAndTheNextOneStandsOnTheSameBytes) {
  Pair pair;
  ScratchBinding binding(pair.arenas);
  void* first = nullptr;
  {
    Scratch scratch;
    first = scratch->Allocate(100);
    EXPECT_EQ(&*scratch, &pair.arenas.At(0));
  }
  EXPECT_EQ(pair.arenas.At(0).UsedBytes(), 0u);
  Scratch again;
  EXPECT_EQ(again->Allocate(100), first);
}

// Each level puts its result into the caller's scratch and works in the other one.
const char* Repeat(Arena& results, const char* word, int times) {
  Scratch scratch({&results});
  if (times == 0) return results.CopyString("");
  const char* const rest = Repeat(*scratch, word, times - 1);
  return results.Format("%s%s", word, rest);
}

TEST(Scratch, ResultsSurviveAnyDepthOfFunctionsThatNameTheirConflict) {
  Pair pair;
  ScratchBinding binding(pair.arenas);
  ArenaBuffer results;
  const char* const text = Repeat(results.arena, "ab", 40);
  std::string expected;
  for (int i = 0; i < 40; ++i) expected += "ab";
  EXPECT_EQ(text, expected);
  EXPECT_EQ(pair.arenas.At(0).UsedBytes(), 0u);
  EXPECT_EQ(pair.arenas.At(1).UsedBytes(), 0u);
}

// The control: without the conflict named, the result lies in what is taken back.
TEST(Scratch, AnUnnamedConflictIsWhatTheRuleIsFor) {
  Pair pair;
  ScratchBinding binding(pair.arenas);
  Scratch outer;
  const std::size_t before = outer->UsedBytes();
  {
    Scratch inner;  // should have named *outer
    EXPECT_EQ(&*inner, &*outer);
    (void)outer->CopyString("lost");
  }
  EXPECT_EQ(outer->UsedBytes(), before) << "the result was taken back";
}

TEST(Scratch, EachThreadHasItsOwn) {
  Pair mine;
  ScratchBinding binding(mine.arenas);
  const ScratchArenas* seen = &mine.arenas;
  const ScratchArenas* seenBound = nullptr;
  Pair theirs;
  std::thread([&] {
    seen = ScratchBinding::Current();
    ScratchBinding inner(theirs.arenas);
    seenBound = ScratchBinding::Current();
    Scratch scratch;
    (void)scratch->Allocate(1000);
  }).join();
  EXPECT_EQ(seen, nullptr);
  EXPECT_EQ(seenBound, &theirs.arenas);
  EXPECT_EQ(mine.arenas.At(0).PeakBytes(), 0u);
  EXPECT_EQ(theirs.arenas.At(0).PeakBytes(), 1008u);
}

TEST(Scratch, BindingsNest) {
  Pair outer;
  Pair inner;
  EXPECT_EQ(ScratchBinding::Current(), nullptr);
  {
    ScratchBinding first(outer.arenas);
    {
      ScratchBinding second(inner.arenas);
      EXPECT_EQ(ScratchBinding::Current(), &inner.arenas);
    }
    EXPECT_EQ(ScratchBinding::Current(), &outer.arenas);
  }
  EXPECT_EQ(ScratchBinding::Current(), nullptr);
}

TEST(Scratch, TooLittleMemoryIsAnError) {
  alignas(16) std::byte memory[32];
  ASSERT_TRUE(ScratchArenas::Carve(memory, 32));
  const auto refused = ScratchArenas::Carve(memory, 31, {.kind = "setup scratch"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_STREQ(refused.GetError().Message(),
               "setup scratch arenas: 31 B for 2 arenas is less than 16 B each; give more bytes");
  EXPECT_FALSE(ScratchArenas::Carve(nullptr, 1024));
}

// A call tree: every call may have a conflict, allocates, and returns a block into its caller's arena. The
// model is what each block was filled with. Broken on request: a call does not name its conflict.
struct ScratchProgram {
  OpRandom& random;
  ScratchArenas& arenas;
  bool broken;
  std::string difference = {};

  struct Block {
    unsigned char* memory;
    std::size_t size;
    unsigned char fill;
  };
  Block Fill(Arena& arena) {
    const std::size_t size = 1 + random.Below(100);
    const auto fill = static_cast<unsigned char>(random.Next());
    auto* const memory = static_cast<unsigned char*>(arena.Allocate(size));
    std::memset(memory, fill, size);
    return {memory, size, fill};
  }
  void Check(const Block& block, int depth) {
    for (std::size_t index = 0; index < block.size && difference.empty(); ++index) {
      if (IsPoisoned(block.memory + index) || block.memory[index] != block.fill)
        difference = Differs("depth %d: byte %zu of a live block of %zu", depth, index, block.size);
    }
  }
  Block Call(Arena& results, int depth) {
    const Scratch scratch(arenas, broken && random.OneIn(4) ? std::initializer_list<const Arena*>{}
                                                            : std::initializer_list<const Arena*>{&results});
    std::vector<Block> blocks;
    for (std::size_t step = random.Below(5); step != 0; --step) {
      blocks.push_back(depth < 6 && random.OneIn(2) ? Call(*scratch, depth + 1) : Fill(*scratch));
      for (const Block& block : blocks) Check(block, depth);
    }
    return Fill(results);
  }
};

std::string RunScratchProgram(OpRandom& random, bool broken) {
  Pair pair(1_MiB);
  ArenaBuffer results(1_MiB);
  ScratchProgram program{random, pair.arenas, broken};
  for (int round = 0; round < 40 && program.difference.empty(); ++round) {
    program.Check(program.Call(results.arena, 0), -1);
    results.arena.Reset();
    if (pair.arenas.At(0).UsedBytes() != 0 || pair.arenas.At(1).UsedBytes() != 0)
      return Differs("round %d: scratch left over", round);
  }
  return program.difference;
}

TEST(Scratch, ProgramAgreesWithModel) {
  testing::ExpectAgreement("scratch", [](OpRandom& random) { return RunScratchProgram(random, false); });
}
TEST(Scratch, ProgramCanary) {
  testing::ExpectCanary("scratch", [](OpRandom& random) { return RunScratchProgram(random, true); });
}

class ScratchDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ScratchDeathTest, NamingBothAsConflictsIsRefused) {
  Pair pair;
  EXPECT_DEATH((void)pair.arenas.Choose({&pair.arenas.At(1), &pair.arenas.At(0)}),
               "both scratch arenas of this thread are named as conflicts");
}
TEST_F(ScratchDeathTest, AThreadWithoutScratchArenasIsTold) {
  EXPECT_DEATH({ Scratch scratch; },
               "a scratch was opened at .*scratch_test\\.cpp:.* keep a ScratchBinding alive");
}
TEST_F(ScratchDeathTest, ExhaustionNamesTheScratch) {
  Pair pair(4096);
  EXPECT_DEATH(
      (void)pair.arenas.Choose({}).Allocate(4096),
      "scratch arena 'scratch 0' exhausted: asked 4096 B, 2048 B left .*raise the scratch bytes per thread");
}

}  // namespace
}  // namespace stadial::arenas
