#include "stadial/runtime/sizing_profile.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "event_bus_support.h"
#include "stadial/arenas/size_literals.h"
#include "stadial/runtime/budget.h"
#include "stadial/runtime/deferred_queue.h"
#include "stadial/runtime/runtime.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

using namespace arenas::literals;

SizingProfile Profile(std::vector<SizingEntry> entries) {
  SizingProfile profile;
  for (const SizingEntry& entry : entries)
    EXPECT_TRUE(profile.Add(entry.name, entry.unit, entry.used, entry.capacity)) << entry.name;
  return profile;
}

bool Same(const SizingProfile& a, const SizingProfile& b) {
  return a.Runs() == b.Runs() &&
         std::equal(a.Entries().begin(), a.Entries().end(), b.Entries().begin(), b.Entries().end(),
                    [](const SizingEntry& x, const SizingEntry& y) {
                      return x.name == y.name && x.unit == y.unit && x.used == y.used &&
                             x.capacity == y.capacity;
                    });
}

std::string Problem(std::string_view text) {
  auto parsed = ParseSizingProfile(text, "p");
  return parsed ? "none" : parsed.GetError().Message();
}

constexpr const char* kGood = R"({
  "format": "stadial-sizing-profile",
  "version": 1,
  "runs": 2,
  "capacities": {
    "arena.setup": {"unit": "bytes", "used": 5, "capacity": 10},
    "events.bus": {"unit": "count", "used": 7, "capacity": 0}
  }
}
)";

TEST(SizingProfile, Z1_TheFileIsExactlyThis) {
  SizingProfile first = Profile({{"events.bus", SizingUnit::Count, 7, 0}});
  EXPECT_TRUE(first.Merge(Profile({{"arena.setup", SizingUnit::Bytes, 5, 10}})));
  EXPECT_EQ(ToJson(first), kGood);
  auto parsed = ParseSizingProfile(kGood, "test");
  ASSERT_TRUE(parsed) << parsed.GetError().Message();
  EXPECT_TRUE(Same(*parsed, first));
  EXPECT_EQ(ToJson(SizingProfile()),
            "{\n  \"format\": \"stadial-sizing-profile\",\n  \"version\": 1,\n  \"runs\": 1,\n  "
            "\"capacities\": {}\n}\n");
  EXPECT_TRUE(ParseSizingProfile(ToJson(SizingProfile()), "empty"));
}

TEST(SizingProfile, Z1_TheSameNameKeepsTheLargerNumbers) {
  SizingProfile profile = Profile({{"a", SizingUnit::Bytes, 5, 100}});
  EXPECT_TRUE(profile.Add("a", SizingUnit::Bytes, 9, 50));
  EXPECT_EQ(profile.Find("a")->used, 9u);
  EXPECT_EQ(profile.Find("a")->capacity, 100u);
  EXPECT_EQ(profile.Find("b"), nullptr);
  const Result<void> other = profile.Add("a", SizingUnit::Count, 1);
  ASSERT_FALSE(other);
  EXPECT_STREQ(other.GetError().Message(), "capacity 'a' is in bytes and in count");
}

TEST(SizingProfile, Z1_BadNamesAndNumbersAreRefused) {
  SizingProfile profile;
  for (const std::string& name :
       {std::string(), std::string(129, 'x'), std::string("a\"b"), std::string("a\\b"), std::string("a\nb"),
        std::string("\xc3\xa4"), std::string("a\0b", 3)}) {
    EXPECT_EQ(profile.Add(name, SizingUnit::Bytes, 1).GetError().Code(), ErrorCode::InvalidArgument) << name;
  }
  EXPECT_TRUE(profile.Add(std::string(128, 'x'), SizingUnit::Bytes, kSizingValueMax, kSizingValueMax));
  EXPECT_FALSE(profile.Add("b", SizingUnit::Bytes, kSizingValueMax + 1));
  EXPECT_FALSE(profile.Add("b", SizingUnit::Bytes, 1, UINT64_MAX));
  for (std::size_t i = profile.Entries().size(); i < kSizingEntriesMax; ++i)
    ASSERT_TRUE(profile.Add(std::string("n").append(std::to_string(i)), SizingUnit::Bytes, i));
  EXPECT_EQ(profile.Add("one more", SizingUnit::Bytes, 1).GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_TRUE(profile.Add("n7", SizingUnit::Bytes, 1)) << "a present one needs no room";
  auto again = ParseSizingProfile(ToJson(profile), "large");
  ASSERT_TRUE(again) << again.GetError().Message();
  EXPECT_TRUE(Same(*again, profile));
}

TEST(SizingProfile, Z1_MergeTakesTheLargerAndTheUnionOrNothing) {
  SizingProfile profile = Profile({{"a", SizingUnit::Bytes, 5, 10}, {"b", SizingUnit::Count, 1, 1}});
  ASSERT_TRUE(profile.Merge(Profile({{"a", SizingUnit::Bytes, 4, 20}, {"c", SizingUnit::Count, 3, 3}})));
  EXPECT_EQ(profile.Runs(), 2u);
  EXPECT_EQ(profile.Find("a")->used, 5u);
  EXPECT_EQ(profile.Find("a")->capacity, 20u);
  EXPECT_EQ(profile.Entries().size(), 3u);
  const SizingProfile before = profile;
  EXPECT_FALSE(profile.Merge(Profile({{"aa", SizingUnit::Bytes, 1, 1}, {"b", SizingUnit::Bytes, 1, 1}})));
  EXPECT_TRUE(Same(profile, before));
}

TEST(SizingProfile, Z1_MarginIsAddedAndRoundedUp) {
  EXPECT_EQ(CalculateWithMargin(100, SizingUnit::Count, {}), 125u);
  EXPECT_EQ(CalculateWithMargin(101, SizingUnit::Count, {}), 127u) << "126.25";
  EXPECT_EQ(CalculateWithMargin(100, SizingUnit::Count, {.percent = 0}), 100u);
  EXPECT_EQ(CalculateWithMargin(0, SizingUnit::Bytes, {}), 0u);
  EXPECT_EQ(CalculateWithMargin(1, SizingUnit::Bytes, {}), 4096u);
  EXPECT_EQ(CalculateWithMargin(4096, SizingUnit::Bytes, {.percent = 0}), 4096u);
  EXPECT_EQ(CalculateWithMargin(4096, SizingUnit::Bytes, {.percent = 1}), 8192u);
  EXPECT_EQ(CalculateWithMargin(UINT64_MAX, SizingUnit::Count, {.percent = UINT32_MAX}), kSizingValueMax);
  EXPECT_LE(CalculateWithMargin(UINT64_MAX, SizingUnit::Bytes, {}), kSizingValueMax);
  const SizingProfile profile = Profile({{"a", SizingUnit::Count, 100, 0}});
  EXPECT_EQ(profile.CapacityFor("a", SizingUnit::Count, 7), 125u);
  EXPECT_EQ(profile.CapacityFor("a", SizingUnit::Bytes, 7), 7u) << "another unit";
  EXPECT_EQ(profile.CapacityFor("b", SizingUnit::Count, 7), 7u);
}

TEST(SizingProfile, Z1_ExceedingTheBudgetFailsWithTheCulpritNamed) {
  const SizingProfile budget = Profile(
      {{"arena.setup", SizingUnit::Bytes, 4_MiB, 16_MiB}, {"events.bus", SizingUnit::Count, 100, 128}});
  EXPECT_TRUE(RequireWithinSizing(budget, budget));
  EXPECT_TRUE(RequireWithinSizing(Profile({{"events.bus", SizingUnit::Count, 100, 0}}), budget))
      << "what a run does not have, it does not exceed";
  const SizingProfile run =
      Profile({{"arena.setup", SizingUnit::Bytes, 4_MiB, 0}, {"events.bus", SizingUnit::Count, 101, 0}});
  const Result<void> over = RequireWithinSizing(run, budget);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_STREQ(
      over.GetError().Message(),
      "1 of 2 capacities are not within the sizing budget: 'events.bus' used 101, budget 100; find what "
      "grew, or write the profile anew");
  EXPECT_TRUE(RequireWithinSizing(run, budget, {.tolerancePercent = 1}));
  EXPECT_FALSE(RequireWithinSizing(run, SizingProfile()));
  EXPECT_TRUE(RequireWithinSizing(run, SizingProfile(), {.allowUnbudgeted = true}));
}

TEST(SizingProfile, Z1_TheWorstCulpritComesFirst) {
  const SizingProfile budget = Profile({{"a", SizingUnit::Bytes, 1000, 0},
                                        {"b", SizingUnit::Bytes, 10, 0},
                                        {"c", SizingUnit::Bytes, 0, 0},
                                        {"u", SizingUnit::Bytes, 10, 0}});
  const SizingProfile run = Profile({{"a", SizingUnit::Bytes, 1100, 0},
                                     {"b", SizingUnit::Bytes, 30, 0},
                                     {"c", SizingUnit::Bytes, 1, 0},
                                     {"new", SizingUnit::Bytes, 9, 0},
                                     {"newer", SizingUnit::Bytes, 10, 0},
                                     {"u", SizingUnit::Count, 1, 0}});
  std::vector<std::string> names;
  for (const SizingFinding& finding : FindSizingExcess(run, budget)) names.push_back(finding.name);
  EXPECT_EQ(names, (std::vector<std::string>{"c", "b", "a", "newer", "new", "u"}));
  const Result<void> over = RequireWithinSizing(run, budget);
  ASSERT_FALSE(over);
  EXPECT_STREQ(
      over.GetError().Message(),
      "6 of 6 capacities are not within the sizing budget: 'c' used 1 B, budget 0 B; 'b' used 30 B, "
      "budget 10 B; 'a' used 1100 B, budget 1000 B; and 3 more; find what grew, or write the profile "
      "anew");
}

// --- Malformed and hostile files. ---

TEST(SizingProfile, Z1_MalformedFilesAreRefusedWithThePlace) {
  const auto with = [](const char* capacities) {
    return std::string(
               "{\"format\": \"stadial-sizing-profile\", \"version\": 1, \"runs\": 1, \"capacities\": ") +
           capacities + "}";
  };
  EXPECT_EQ(Problem(with("{}")), "none");
  const std::pair<std::string, const char*> cases[] = {
      {"", "no JSON at byte"},
      {"{", "no JSON at byte"},
      {std::string(kGood) + "x", "no JSON at byte"},
      {"{}", "a sizing profile needs format, version, runs and capacities"},
      {"[]", "an array at the top is out of place"},
      {"1", "a number at the top is out of place"},
      {"null", "null at the top is out of place"},
      {"\"text\"", "a text at the top is out of place"},
      {R"({"format": "other"})", "the format is 'other'"},
      {R"({"version": 2})", "version 2; this program reads version 1"},
      {R"({"version": "1"})", "a text at 'version' is out of place"},
      {R"({"runs": 0})", "runs: 0"},
      {R"({"runs": -1})", "a negative number at 'runs'"},
      {R"({"runs": 1.5})", "1.5 at 'runs' is out of place"},
      {R"({"runs": 1e3})", "1e3 at 'runs' is out of place"},
      {R"({"runs": 99999999999999999999})", "99999999999999999999 at 'runs' is out of place"},
      {R"({"runs": 1, "runs": 2})", "'runs' stands there twice"},
      {R"({"runs": {}})", "an object at 'runs' is out of place"},
      {R"({"extra": 1})", "'extra' is no field of a sizing profile"},
      {with("[]"), "an array at 'capacities' is out of place"},
      {with("true"), "a truth value at 'capacities' is out of place"},
      {with(R"({"a": 1})"), "a number at 'a' is out of place"},
      {with(R"({"a": {}})"), "capacity 'a' needs unit, used and capacity"},
      {with(R"({"a": {"unit": "bytes", "used": 1}})"), "capacity 'a' needs unit, used and capacity"},
      {with(R"({"a": {"unit": "miles"}})"), "capacity 'a' is in 'miles'"},
      {with(R"({"a": {"unit": 1}})"), "a number at 'unit' of capacity 'a' is out of place"},
      {with(R"({"a": {"used": -5}})"), "a negative number at 'used' of capacity 'a'"},
      {with(R"({"a": {"used": 1, "used": 1}})"), "'used' stands there twice"},
      {with(R"({"a": {"used": {}}})"), "an object at 'used' of capacity 'a' is out of place"},
      {with(R"({"a": {"used": "5"}})"), "a text at 'used' of capacity 'a' is out of place"},
      {with(R"({"a": {"peak": 1}})"), "'peak' is no field"},
      {with(R"({"a": {"unit": "bytes", "used": 9007199254740992, "capacity": 0}})"), "the most is"},
      {with(R"({"": {"unit": "bytes", "used": 1, "capacity": 0}})"), "needs a name"},
      {with(R"({"a\u0000b": {"unit": "bytes", "used": 1, "capacity": 0}})"), "needs a name"},
      {with(
           R"({"a": {"unit": "bytes", "used": 1, "capacity": 0}, "a": {"unit": "bytes", "used": 2, "capacity": 0}})"),
       "capacity 'a' stands there twice"},
      {with("{\"\xff\": 1}"), "no JSON at byte"},
      {with("{\"\xff"), "no JSON at byte"},
  };
  for (const auto& [text, problem] : cases) {
    const std::string said = Problem(text);
    EXPECT_NE(said.find(problem), std::string::npos) << text << "\n  said: " << said;
    EXPECT_EQ(said.rfind("sizing profile 'p': ", 0), 0u) << said;
  }
}

TEST(SizingProfile, Z1_HostileFilesEndEarly) {
  EXPECT_NE(Problem(std::string(100'000, '[')).find("an array at the top"), std::string::npos);
  std::string nested;
  for (int i = 0; i < 20'000; ++i) nested += "{\"capacities\":";
  EXPECT_NE(Problem(nested).find("'capacities' is no field"), std::string::npos);
  EXPECT_NE(Problem(std::string(kSizingFileBytesMax + 1, ' ')).find("more than"), std::string::npos);
  const std::string longKey = "{\"" + std::string(500'000, 'k') + "\": 1}";
  EXPECT_LT(Problem(longKey).size(), arenas::kErrorMessageBytesMax);
  const std::string control = Problem("{\"\\u001b[31m\": 1}");
  EXPECT_EQ(control.find('\x1b'), std::string::npos) << "no terminal codes out of a file";
  std::string many = R"({"format": "stadial-sizing-profile", "version": 1, "runs": 1, "capacities": {)";
  for (std::size_t i = 0; i <= kSizingEntriesMax; ++i) {
    many += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":{"unit":"count","used":1,"capacity":1})";
  }
  EXPECT_NE(Problem(many + "}}").find("a sizing profile holds 4096 at most"), std::string::npos);
}

// Random bytes put into a good file. It may stay good (a digit for another); it must never be read as
// something that writing and reading again does not give back.
std::uint64_t FuzzFiles(std::uint64_t rounds, std::uint64_t seed, std::uint64_t& accepted) {
  Random random(seed);
  const std::string alphabet = "{}[]\":,0123456789-.eE\\ntrufals \xff\xc3\x01";
  const std::string good = kGood;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::string text = good;
    for (std::uint64_t edits = 1 + random.Below(3); edits > 0 && !text.empty(); --edits) {
      const auto at = static_cast<std::size_t>(random.Below(text.size()));
      switch (random.Below(4)) {
        case 0:
          text[at] = alphabet[static_cast<std::size_t>(random.Below(alphabet.size()))];
          break;
        case 1:
          text.insert(at, 1, alphabet[static_cast<std::size_t>(random.Below(alphabet.size()))]);
          break;
        case 2:
          text.erase(at, 1 + static_cast<std::size_t>(random.Below(8)));
          break;
        default:
          text.insert(at, text.substr(static_cast<std::size_t>(random.Below(text.size())), 20));
          break;
      }
    }
    auto parsed = ParseSizingProfile(text, "fuzz");
    if (!parsed) continue;
    ++accepted;
    auto again = ParseSizingProfile(ToJson(*parsed), "again");
    if (!again || !Same(*again, *parsed)) return round;
  }
  return rounds;
}

TEST(SizingProfile, Z1_DamagedFilesAreRefusedOrReadAsWhatTheySay) {
  const std::uint64_t rounds = Repetitions(100'000);
  std::uint64_t accepted = 0;
  EXPECT_EQ(FuzzFiles(rounds, TestSeed(20260512), accepted), rounds) << "first round that disagrees";
  EXPECT_GT(accepted, 0u);
  EXPECT_LT(accepted, rounds / 2);
}

// --- A model: names to the largest numbers. ---

enum class Fault { None, Overwrite, SumUse };

std::uint64_t FirstDisagreement(std::uint64_t operations, std::uint64_t seed, Fault fault = Fault::None) {
  Random random(seed);
  SizingProfile profile;
  std::map<std::string, SizingEntry> model;
  std::uint64_t runs = 1;
  const auto add = [&](const std::string& name, SizingUnit unit, std::uint64_t used, std::uint64_t capacity) {
    const auto [place, isNew] = model.try_emplace(name, SizingEntry{name, unit, used, capacity});
    if (isNew) return true;
    SizingEntry& entry = place->second;
    if (entry.unit != unit) return false;
    entry.used = fault == Fault::Overwrite ? used
                 : fault == Fault::SumUse  ? entry.used + used
                                           : std::max(entry.used, used);
    entry.capacity = std::max(entry.capacity, capacity);
    return true;
  };
  for (std::uint64_t operation = 0; operation < operations; ++operation) {
    const std::uint64_t roll = random.Below(100);
    const std::string name = "capacity " + std::to_string(random.Below(12));
    const SizingUnit unit = random.Below(20) == 0 ? SizingUnit::Count : SizingUnit::Bytes;
    const std::uint64_t used = random.Below(1000);
    const std::uint64_t capacity = random.Below(1000);
    if (roll < 70) {
      if (profile.Add(name, unit, used, capacity).HasValue() != add(name, unit, used, capacity))
        return operation;
    } else if (roll < 90) {
      SizingProfile other;
      EXPECT_TRUE(other.Add(name, unit, used, capacity));
      const bool isMerged = profile.Merge(other).HasValue();
      if (isMerged != add(name, unit, used, capacity)) return operation;
      runs += isMerged ? 1u : 0u;
    } else if (roll < 97) {
      auto parsed = ParseSizingProfile(ToJson(profile), "model");
      if (!parsed) return operation;
      profile = std::move(parsed).Value();
    } else {
      profile = SizingProfile();
      model.clear();
      runs = 1;
    }
    const bool isSame = std::equal(profile.Entries().begin(), profile.Entries().end(), model.begin(),
                                   model.end(), [](const SizingEntry& a, const auto& b) {
                                     return a.name == b.first && a.unit == b.second.unit &&
                                            a.used == b.second.used && a.capacity == b.second.capacity;
                                   });
    if (!isSame || profile.Runs() != runs) return operation;
  }
  return operations;
}

TEST(SizingProfileModel, Z1_RandomOperationsAgree) {
  const std::uint64_t operations = Repetitions(100'000);
  EXPECT_EQ(FirstDisagreement(operations, TestSeed(20260513)), operations)
      << "first operation that disagrees";
}
TEST(SizingProfileModelCanary, Z1_AModelThatKeepsTheLastDisagrees) {
  EXPECT_LT(FirstDisagreement(10'000, 1, Fault::Overwrite), 10'000u);
}
TEST(SizingProfileModelCanary, Z1_AModelThatSumsUseDisagrees) {
  EXPECT_LT(FirstDisagreement(10'000, 1, Fault::SumUse), 10'000u);
}

// --- Files, and what fills a profile. ---

class SizingFile : public ::testing::Test {
 protected:
  std::string path_ = ::testing::TempDir() + "stadial_sizing_" + std::to_string(::getpid()) + ".json";
  void TearDown() override { std::remove(path_.c_str()); }
};

TEST_F(SizingFile, Z1_WrittenAndReadAgain) {
  const SizingProfile profile = Profile({{"a", SizingUnit::Bytes, 5, 10}});
  ASSERT_TRUE(WriteSizingProfile(profile, path_.c_str()));
  ASSERT_TRUE(WriteSizingProfile(profile, path_.c_str())) << "an old file is replaced";
  auto read = ReadSizingProfile(path_.c_str());
  ASSERT_TRUE(read) << read.GetError().Message();
  EXPECT_TRUE(Same(*read, profile));
  EXPECT_NE(::access((path_ + ".tmp").c_str(), F_OK), 0) << "nothing is left behind";
}

TEST_F(SizingFile, Z1_FilesThatCannotBeReadOrWrittenSayWhy) {
  auto missing = ReadSizingProfile("/nonexistent/profile.json");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.GetError().Code(), ErrorCode::Io);
  EXPECT_STREQ(missing.GetError().Message(),
               "sizing profile '/nonexistent/profile.json': cannot be opened: No such file or directory");
  EXPECT_EQ(ReadSizingProfile("/").GetError().Code(), ErrorCode::Io) << "a folder";
  EXPECT_EQ(ReadSizingProfile("/dev/zero").GetError().Code(), ErrorCode::CorruptData) << "a file without end";
  EXPECT_EQ(WriteSizingProfile(SizingProfile(), "/nonexistent/profile.json").GetError().Code(),
            ErrorCode::Io);
}

TEST(SizingCollect, Z1_ArenasBusesQueuesSitesAndBudgetsByName) {
  TestArena memory(1 << 20);
  LogCapture log;
  alignas(16) std::byte bytes[4096];
  arenas::Arena arena("particles", bytes, sizeof bytes);
  static_cast<void>(arena.Allocate(1000));
  arena.Reset();
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(32, EventBus::AllocationMode::Strict);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(bus.Emit({.type = kPing}));
  bus.ProcessEvents();
  DeferredQueue queue(memory.Get(), {.name = "device 0", .capacity = 16});
  EXPECT_TRUE(queue.Enqueue({.function = [](void*, std::uint64_t) noexcept {}}));
  queue.Flush();
  Budget budget("textures", {.softBytes = 100, .hardBytes = 200});
  EXPECT_TRUE(budget.TryReserve(150));
  Budget unbounded("host");
  Growth growth(1 << 16);
  growth.site->Free(growth.site->TryAllocate(500));

  SizingProfile profile;
  EXPECT_TRUE(AddArena(profile, arena));
  EXPECT_TRUE(AddEventBus(profile, bus));
  EXPECT_TRUE(AddDeferredQueue(profile, queue));
  EXPECT_TRUE(AddBudget(profile, budget));
  EXPECT_TRUE(AddBudget(profile, unbounded));
  EXPECT_TRUE(AddFallbackSite(profile, *growth.site));
  EXPECT_TRUE(Same(profile, Profile({{"arena.particles", SizingUnit::Bytes, 1008, 4096},
                                     {"budget.host", SizingUnit::Bytes, 0, 0},
                                     {"budget.textures", SizingUnit::Bytes, 150, 200},
                                     {"deferred.device 0", SizingUnit::Count, 1, 16},
                                     {"events.bus", SizingUnit::Count, 5, 32},
                                     {"fallback.growth", SizingUnit::Bytes, 500, 65536}})))
      << ToJson(profile);
}

// One frame of a game; `frameBytes` of its lane, `events` at once.
SizingProfile RunGame(const RuntimeOptions& options, std::size_t frameBytes, int events) {
  SizingProfile profile;
  auto created = Runtime::Create(options);
  EXPECT_TRUE(created) << created.GetError().Message();
  if (!created) return profile;
  RuntimePtr runtime = std::move(created).Value();
  EXPECT_TRUE(runtime->Budgets().AddSubsystem("textures").Value()->TryReserve(600));
  EXPECT_TRUE(runtime->Budgets().AddHeap("device").Value()->TryReserve(900));
  EXPECT_TRUE(runtime->SealSetup());
  auto frame = runtime->Frames().Begin();
  EXPECT_TRUE(frame) << frame.GetError().Message();
  EXPECT_NE((*frame)->lane->TryAllocate(frameBytes), nullptr);
  for (int i = 0; i < events; ++i) EXPECT_TRUE(runtime->Events().Emit({.type = kPing}));
  runtime->Events().ProcessEvents();
  for (int i = 0; i < 70; ++i) EXPECT_TRUE(runtime->Tasks().Submit([] {}));
  EXPECT_EQ(runtime->Tasks().ExecuteParallel(**frame).ran, 70u);
  runtime->Frames().End((*frame)->completionValue);
  EXPECT_TRUE(AddRuntime(profile, *runtime));
  EXPECT_TRUE(runtime->Shutdown());
  return profile;
}

TEST(SizingCollect, Z1_TheNextRunReservesWhatThisOneUsedAndAMargin) {
  const RuntimeOptions options{.name = "sizing_test",
                               .region = {.sizeBytes = 512_MiB},
                               .driverBytes = 0,
                               .gate = GatePolicy::Count,
                               .kernelWitness = false};
  const SizingProfile first = RunGame(options, 100'000, 200);
  ASSERT_NE(first.Find("runtime.frame_lane"), nullptr) << ToJson(first);
  EXPECT_EQ(first.Find("runtime.frame_lane")->used, 100'000u);
  EXPECT_EQ(first.Find("runtime.frame_lane")->capacity, 1_MiB);
  EXPECT_EQ(first.Find("runtime.events")->used, 200u);
  EXPECT_EQ(first.Find("runtime.events")->capacity, 1024u);
  EXPECT_GT(first.Find("runtime.setup")->used, 0u);
  EXPECT_NE(first.Find("runtime.compile"), nullptr);
  EXPECT_EQ(first.Find("runtime.deferred")->capacity, 64u);
  EXPECT_EQ(first.Find("runtime.tasks")->used, 70u);
  EXPECT_EQ(first.Find("runtime.tasks")->capacity, 4096u);
  ASSERT_NE(first.Find("budget.host"), nullptr);
  EXPECT_EQ(first.Find("budget.textures")->used, 600u);
  EXPECT_EQ(first.Find("budget.device"), nullptr) << "what others do to a device heap is no capacity of ours";

  RuntimeOptions sized = options;
  ApplySizing(first, sized);
  EXPECT_EQ(sized.frameLaneBytes, 126'976u) << "125,000 in whole pages";
  EXPECT_EQ(sized.eventCapacity, 250u);
  EXPECT_EQ(sized.compileBytes, 4096u);
  EXPECT_LT(sized.setupBytes, options.setupBytes);
  EXPECT_EQ(sized.driverBytes, options.driverBytes);
  EXPECT_EQ(sized.deferredCapacity, 64u);
  EXPECT_EQ(sized.tasks.tasksMax, 88u);
  const SizingProfile second = RunGame(sized, 100'000, 200);
  EXPECT_TRUE(RequireWithinSizing(second, first)) << "the same game in less memory";
  EXPECT_EQ(second.Find("runtime.frame_lane")->capacity, 126'976u);

  const SizingProfile third = RunGame(sized, 120'000, 200);
  const Result<void> grown = RequireWithinSizing(third, first);
  ASSERT_FALSE(grown);
  EXPECT_NE(
      std::string(grown.GetError().Message()).find("'runtime.frame_lane' used 117.2 KiB, budget 97.7 KiB"),
      std::string::npos)
      << grown.GetError().Message();

  RuntimeOptions untouched = options;
  ApplySizing(SizingProfile(), untouched);
  EXPECT_EQ(untouched.setupBytes, options.setupBytes);
  EXPECT_EQ(untouched.eventCapacity, options.eventCapacity);
  ApplySizing(
      Profile({{"runtime.events", SizingUnit::Count, 0, 0}, {"runtime.setup", SizingUnit::Bytes, 0, 0}}),
      untouched);
  EXPECT_EQ(untouched.eventCapacity, 64u) << "never below what a runtime needs";
  EXPECT_EQ(untouched.setupBytes, 256_KiB);
}

}  // namespace
}  // namespace stadial::runtime::testing
