// Op-programs: random sequences of operations run on a thing and on a simple model of it at once. A program
// returns what differed first, or nothing. The seed is fixed unless STADIAL_TEST_SEED gives another one; it
// is printed, and named in every failure. Each program is also run with a model that is broken on purpose
// (the canary) and must then report a difference.
#pragma once

#include <gtest/gtest.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace stadial::arenas::testing {

inline std::uint64_t ProgramSeed() {
  if (const char* const given = std::getenv("STADIAL_TEST_SEED"); given != nullptr) {
    return std::strtoull(given, nullptr, 0);
  }
  return 0x57ad1a1;
}

// Small, fast, and the same everywhere (splitmix64: add an odd constant, then mix by xor-shift and multiply).
class OpRandom {
 public:
  explicit OpRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
  }
  std::size_t Below(std::size_t limit) { return static_cast<std::size_t>(Next() % limit); }
  bool OneIn(std::size_t chance) { return Below(chance) == 0; }

 private:
  std::uint64_t state_;
};

// The description of a difference, for a program to return.
[[gnu::format(printf, 1, 2)]] inline std::string Differs(const char* format, ...) {
  char text[256];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return text;
}

// Runs program(OpRandom&) -> std::string with several seeds derived from the printed one; all must agree.
template <class Program>
void ExpectAgreement(const char* what, Program&& program, int rounds = 8) {
  const std::uint64_t seed = ProgramSeed();
  std::printf("%s: STADIAL_TEST_SEED=%llu\n", what, static_cast<unsigned long long>(seed));
  for (int round = 0; round < rounds; ++round) {
    OpRandom random(seed + static_cast<std::uint64_t>(round) * 0x10001);
    const std::string difference = program(random);
    ASSERT_EQ(difference, "") << what << ", round " << round << ": rerun with STADIAL_TEST_SEED=" << seed;
  }
}

// The same program with its broken model: some round must notice (one with a capacity of 1, say, may not be
// able to).
template <class Program>
void ExpectCanary(const char* what, Program&& program, int rounds = 8) {
  const std::uint64_t seed = ProgramSeed();
  std::string difference;
  for (int round = 0; round < rounds && difference.empty(); ++round) {
    OpRandom random(seed + static_cast<std::uint64_t>(round) * 0x10001);
    difference = program(random);
  }
  EXPECT_NE(difference, "") << what << ": a broken model went unnoticed, so the test proves nothing; seed "
                            << seed;
}

}  // namespace stadial::arenas::testing
