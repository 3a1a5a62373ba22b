// Mutation fuzzer over the .vox reader, writer, scene graph and world builder: an op-program per case, from a
// seed. STADIAL_FUZZ_SEED and STADIAL_FUZZ_CASES choose another run; a failing case prints its number, seed
// and mutations.
#include <gtest/gtest.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "vox_fuzz_case.h"

namespace stadial::sandbox {
namespace {

using namespace testing;

constexpr std::uint32_t kSeedDefault = 20241;
constexpr std::uint32_t kCasesDefault = 60000;
constexpr std::uint32_t kCorpusScenes = 64;
constexpr std::uint32_t kMutationsPerCaseMax = 4;

std::uint32_t FromEnvironment(const char* name, std::uint32_t otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread is started
  return text == nullptr ? otherwise : static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10));
}

// A message without its numbers and quoted text: what kind of fault it tells of.
std::string Shape(const std::string& message) {
  std::string shape;
  bool quoted = false;
  for (const char c : message) {
    if (c == '\'') quoted = !quoted;
    if (!quoted && std::isdigit(static_cast<unsigned char>(c)) == 0) shape += c;
  }
  return shape;
}

std::vector<std::vector<std::byte>> MakeCorpus() {
  std::vector<std::vector<std::byte>> corpus;
  for (std::uint32_t i = 0; i < kCorpusScenes; ++i) {
    auto bytes = WriteVox(MakeRandomScene(1000 + i));
    EXPECT_TRUE(bytes);
    corpus.push_back(std::move(bytes.Value()));
  }
  return corpus;
}

struct Tally {
  std::uint32_t accepted = 0, built = 0;
  std::set<std::string> shapes;
};

Tally RunCases(std::uint32_t seed, std::uint32_t cases) {
  const std::vector<std::vector<std::byte>> corpus = MakeCorpus();
  Tally tally;
  for (std::uint32_t i = 0; i < cases; ++i) {
    Random random(seed * 7919U + i);
    std::vector<std::byte> file = corpus[random.Below(kCorpusScenes)];
    const std::vector<std::byte>& donor = corpus[random.Below(kCorpusScenes)];
    std::string program;
    const std::uint32_t mutations = 1 + random.Below(kMutationsPerCaseMax);
    for (std::uint32_t m = 0; m < mutations; ++m) {
      const auto mutation = static_cast<Mutation>(random.Below(static_cast<std::uint32_t>(Mutation::Count)));
      Mutate(file, mutation, donor, random);
      program += std::string(" ") + ToString(mutation);
    }
    const FuzzOutcome outcome = RunFuzzCase(file);
    EXPECT_EQ(outcome.violation, "") << "case " << i << " of seed " << seed << ":" << program;
    tally.accepted += outcome.accepted;
    tally.built += outcome.built;
    if (!outcome.message.empty()) tally.shapes.insert(Shape(outcome.message));
    if (::testing::Test::HasFailure()) break;
  }
  return tally;
}

TEST(VoxFuzz, EveryMutatedFileIsReadOrRefusedCleanly) {
  const std::uint32_t seed = FromEnvironment("STADIAL_FUZZ_SEED", kSeedDefault);
  const std::uint32_t cases = FromEnvironment("STADIAL_FUZZ_CASES", kCasesDefault);
  std::printf("seed %u, %u cases\n", seed, cases);
  const Tally tally = RunCases(seed, cases);
  std::printf("%u accepted, %u worlds built, %zu kinds of error\n", tally.accepted, tally.built,
              tally.shapes.size());
  // A fuzzer that only bounces off the first check, or never breaks anything, would prove nothing.
  EXPECT_GT(tally.accepted, cases / 10);
  EXPECT_LT(tally.accepted, cases * 9 / 10);
  EXPECT_GT(tally.built, cases / 20);
  EXPECT_GT(tally.shapes.size(), 40u);
}

// The corpus itself must pass untouched.
TEST(VoxFuzz, TheCorpusIsValid) {
  for (const std::vector<std::byte>& file : MakeCorpus()) {
    const FuzzOutcome outcome = RunFuzzCase(file);
    EXPECT_TRUE(outcome.accepted) << outcome.message;
    EXPECT_EQ(outcome.violation, "");
  }
}

// The checks must be able to fail: scenes that no correct reader returns.
TEST(VoxFuzz, CanaryViolationsAreFound) {
  VoxScene scene;
  scene.models.push_back({{2, 2, 2}, {{0, 0, 0, 1}}});
  VoxNode node;
  node.kind = VoxNodeKind::Transform;
  node.children = {1};
  node.frames = {{}};
  scene.nodes.push_back(node);
  constexpr std::size_t kFileBytes = 1000;
  ASSERT_EQ(FindViolation(scene, kFileBytes), "");
  const auto spoiled = [&](auto&& spoil) {
    VoxScene copy;
    copy.models = scene.models;
    copy.nodes = scene.nodes;
    spoil(copy);
    return FindViolation(copy, kFileBytes);
  };
  EXPECT_NE(spoiled([](VoxScene& s) { s.models[0].voxels[0].z = 2; }), "");
  EXPECT_NE(spoiled([](VoxScene& s) { s.models[0].voxels[0].colourIndex = 0; }), "");
  EXPECT_NE(spoiled([](VoxScene& s) { s.nodes[0].id = -1; }), "");
  EXPECT_NE(spoiled([](VoxScene& s) { s.nodes[0].frames.clear(); }), "");
  EXPECT_NE(spoiled([](VoxScene& s) { s.nodes[0].frames[0].rotation = 0; }), "");
  EXPECT_NE(spoiled([](VoxScene& s) { s.models[0].voxels.reserve(100000); }), "");
}

}  // namespace
}  // namespace stadial::sandbox
