// What catches which misuse of memory, and at which level. Each cell of the table below is tried in a process
// of its own: what is said to catch the deed must do so, and where nothing is said to, the deed must go
// through. The table in ARCHITECTURE.md is printed from this one; a test compares them, and with
// STADIAL_UPDATE_HOSTILE_TABLE=1 rewrites it.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>

#include "../../documented_table.h"
#include "stadial/arenas/frame_ptr.h"
#include "stadial/arenas/quarantine.h"
#include "stadial/arenas/recycler.h"
#include "stadial/arenas/region.h"
#include "stadial/arenas/size_class_heap.h"
#include "support/arena_buffer.h"
#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;

constexpr std::size_t kLaneBytes = 64_KiB;

// How a deed that was not stopped ends. Sanitizers have exit codes of their own, 1 and 66.
enum ExitCode { kWentThrough = 0, kReadPoison = 100, kRefused = 101, kBroken = 102 };

// One lane in a segment with guards, as a runtime lays frames out.
struct World {
  explicit World(bool isQuarantined)
      : region(Region::Reserve({.name = "hostile", .sizeBytes = 64_MiB}).Value()) {
    const std::size_t windowBytes = kLaneBytes + (kArenaChecks ? kLaneBytes : 0);
    segment =
        region.AddSegment({.name = "frame", .sizeBytes = windowBytes * (isQuarantined ? 4 : 1)}).Value();
    if (!segment->CommitAll()) std::_Exit(kBroken);
    lanes = LaneSet::Carve({.name = "frame", .count = 1, .guardBytes = kLaneBytes}, segment->Base(),
                           windowBytes, table.arena)
                .Value();
    if (isQuarantined) {
      quarantine = Quarantine::Create({.windowCount = 4}, segment->Base(), segment->CommittedBytes()).Value();
    }
  }
  Arena& Lane() { return lanes.Lane(0); }
  void NextFrame() {
    if (!quarantine.IsOn()) {
      lanes.ResetAll();
    } else if (!quarantine.RotateAndReset(lanes)) {
      std::_Exit(kBroken);
    }
  }
  ArenaBuffer table{1_MiB, "table"};
  Region region;
  Segment* segment = nullptr;
  LaneSet lanes;
  Quarantine quarantine;
};

volatile std::size_t alwaysZero = 0;  // keeps the compiler from seeing what is wrong

// --- the deeds ---

int Overrun(World& world) {
  auto* const bytes = static_cast<volatile char*>(world.Lane().Allocate(32));
  (void)world.Lane().Allocate(32);
  bytes[32 + alwaysZero] = 1;
  world.NextFrame();
  return kWentThrough;
}

int OverrunTheSegment(World& world) {
  auto* const end = reinterpret_cast<volatile char*>(world.segment->Base() + world.segment->ReservedBytes());
  end[alwaysZero] = 1;
  return kWentThrough;
}

int Underrun(World& world) {
  (void)world.Lane().Allocate(32);
  auto* const bytes = static_cast<volatile char*>(world.Lane().Allocate(32));
  *(bytes - 1 - alwaysZero) = 1;
  world.NextFrame();
  return kWentThrough;
}

int StaleRead(World& world) {
  volatile unsigned char* const stale = world.Lane().New<unsigned char>(static_cast<unsigned char>(1));
  world.NextFrame();
  return *stale == kPoisonByte ? kReadPoison : kWentThrough;
}

int StaleWrite(World& world) {
  volatile int* const stale = world.Lane().New<int>(1);
  world.NextFrame();
  *stale = 2;
  (void)world.Lane().Allocate(64);
  return kWentThrough;
}

int StaleFramePtr(World& world) {
  const FramePtr<volatile int> stale(world.Lane(), world.Lane().New<int>(1));
  world.NextFrame();
  *stale = 2;
  return kWentThrough;
}

int StaleMark(World& world) {
  const ArenaMark mark = world.Lane().Mark();
  world.NextFrame();
  world.Lane().RewindTo(mark);
  return kWentThrough;
}

int DoubleRewind(World& world) {
  const ArenaMark outer = world.Lane().Mark();
  (void)world.Lane().Allocate(64);
  const ArenaMark inner = world.Lane().Mark();
  world.Lane().RewindTo(outer);
  world.Lane().RewindTo(inner);
  return kWentThrough;
}

int DoubleFree(World& world) {
  Recycler recycler("blocks", static_cast<std::byte*>(world.Lane().Allocate(32_KiB)), 32_KiB);
  void* const block = recycler.Allocate(100);
  recycler.Free(block);
  recycler.Free(block);
  return kWentThrough;
}

SizeClassHeap& Heap() {
  static std::byte memory[2 * SizeClassHeap::kMemoryBytesMin];
  static SizeClassHeap& heap =
      **SizeClassHeap::Create({.name = "blocks", .shards = 1}, memory, sizeof memory);
  return heap;
}

int DoubleFreeToHeap(World&) {
  void* const block = Heap().Allocate(100);
  Heap().Free(block);
  Heap().Free(block);
  return kWentThrough;
}

int StaleWriteToHeap(World&) {
  auto* const block = static_cast<volatile unsigned char*>(Heap().Allocate(100));
  Heap().Free(const_cast<unsigned char*>(block));
  *block = 1;
  (void)Heap().Allocate(100);
  return kWentThrough;
}

int ForeignMark(World& world) {
  ArenaBuffer other;
  world.Lane().RewindTo(other.arena.Mark());
  return kWentThrough;
}

int ForeignFramePtr(World& world) {
  ArenaBuffer other;
  return FramePtr<int>(world.Lane(), other.arena.New<int>(1)) ? kWentThrough : kRefused;
}

int OverflowingSize(World& world) {
  const std::size_t size = std::numeric_limits<std::size_t>::max() - 7 + alwaysZero;
  if (world.Lane().TryAllocate(size, 64) != nullptr) return kWentThrough;
  (void)world.Lane().Allocate(size);
  return kWentThrough;
}

int OverflowingCount(World& world) {
  const std::size_t count = std::numeric_limits<std::size_t>::max() / 8 + 2 + alwaysZero;
  if (!world.Lane().TryNewArray<std::uint64_t>(count).empty()) return kWentThrough;
  (void)world.Lane().NewArray<std::uint64_t>(count);
  return kWentThrough;
}

int Misaligned(World& world) {
  return world.Lane().TryAllocate(16, 24 + alwaysZero) != nullptr ? kWentThrough : kRefused;
}

int WriteAfterSeal(World& world) {
  volatile int* const plan = world.Lane().New<int>(1);
  if (!world.segment->Protect(PageAccess::ReadOnly)) return kBroken;
  *plan = 2;
  return kWentThrough;
}

int AddAfterSeal(World& world) {
  world.region.Seal();
  return world.region.AddSegment({.name = "late", .sizeBytes = 4096}) ? kWentThrough : kRefused;
}

int CrossThread(World& world) {
  (void)world.Lane().Allocate(16);
  std::thread([&] { (void)world.Lane().Allocate(16); }).join();
  return kWentThrough;
}

// --- the table ---

enum class Catch { Nothing, Poison, Refusal, Fault, Abort, Sanitizer };

struct Cell {
  Catch by;
  const char* text = "";  // in the message; for nothing and poison unused
};

// What catches it in each kind of build.
struct Builds {
  Cell release;
  Cell checked;
  Cell asan;

  const Cell& OfThisOne() const {
    if (STADIAL_ADDRESS_SANITIZER != 0) return asan;
    return kArenaChecks ? checked : release;
  }
};

struct Row {
  const char* misuse;
  const char* deed;
  int (*commit)(World&);
  Builds builds;
  Builds quarantine;
};

constexpr Cell kNothing{Catch::Nothing};
constexpr Cell kFault{Catch::Fault};
constexpr Cell kRefusal{Catch::Refusal};
constexpr Cell kReport{Catch::Sanitizer, "use-after-poison"};
constexpr Cell Abort(const char* text) { return {Catch::Abort, text}; }

// Quarantine changes nothing.
constexpr Row Either(const char* misuse, const char* deed, int (*commit)(World&), const Builds& builds) {
  return {misuse, deed, commit, builds, builds};
}
// Nor does the build.
constexpr Row Always(const char* misuse, const char* deed, int (*commit)(World&), Cell cell) {
  return Either(misuse, deed, commit, {cell, cell, cell});
}

const Row kRows[] = {
    Either("overrun", "a byte past the end, into the next allocation", Overrun,
           {kNothing, Abort("overrun: offset"), kReport}),
    Always("overrun", "a byte past the end of the segment", OverrunTheSegment, kFault),
    Either("underrun", "a byte before the start", Underrun, {kNothing, Abort("underrun: offset"), kReport}),
    {"stale",
     "reading through a raw pointer of an older frame",
     StaleRead,
     {kNothing, {Catch::Poison}, kReport},
     {kFault, kFault, kReport}},
    {"stale",
     "writing through a raw pointer of an older frame",
     StaleWrite,
     {kNothing, Abort("stale write: offset"), kReport},
     {kFault, kFault, kReport}},
    {"stale",
     "using a FramePtr of an older frame",
     StaleFramePtr,
     {kNothing, Abort("stale FramePtr"), Abort("stale FramePtr")},
     {kFault, Abort("stale FramePtr"), Abort("stale FramePtr")}},
    Either("stale", "writing to the start of a freed block of a size-class heap", StaleWriteToHeap,
           {Abort("written to \\(after it was freed"), Abort("written to \\(after it was freed"), kReport}),
    Always("stale", "rewinding to a mark of an older frame", StaleMark,
           Abort("older than the arena's last Reset")),
    Always("double", "rewinding to a mark that was rewound past", DoubleRewind,
           Abort("it was rewound past already")),
    Always("double", "freeing a block of a recycler twice", DoubleFree, Abort("double free")),
    Always("double", "freeing a block of a size-class heap twice", DoubleFreeToHeap, Abort("double free")),
    Always("foreign", "rewinding to a mark of another arena", ForeignMark,
           Abort("the mark belongs to another arena")),
    Either("foreign", "a FramePtr to an object of another arena", ForeignFramePtr,
           {kNothing, Abort("the object lies in another arena"), Abort("the object lies in another arena")}),
    Always("overflow", "a size near SIZE_MAX", OverflowingSize, Abort("frame arena 'lane 0' exhausted")),
    Always("overflow", "a count times a size beyond SIZE_MAX", OverflowingCount,
           Abort("frame arena 'lane 0' exhausted")),
    Either("misaligned", "an alignment that is no power of two", Misaligned,
           {kNothing, Abort("alignment must be a power of two"), Abort("alignment must be a power of two")}),
    Always("after-seal", "writing to a sealed plan", WriteAfterSeal, kFault),
    Always("after-seal", "adding a segment to a sealed region", AddAfterSeal, kRefusal),
    Either("cross-thread", "allocating from another thread's lane", CrossThread,
           {kNothing, Abort("it belongs to thread [0-9]+ since its reset"),
            Abort("it belongs to thread [0-9]+ since its reset")}),
};

// --- trying a cell ---

bool Aborted(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT; }
bool Reported(int status) {
  return !WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) < kReadPoison);
}
// A sanitizer turns the signal into a report.
bool Faulted(int status) {
  return STADIAL_TEST_SANITIZED ? Reported(status) : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

void Commit(const Row& row, bool isQuarantined) {
  World world(isQuarantined);
  std::_Exit(row.commit(world));
}

void Try(const Row& row, const Cell& cell, bool isQuarantined) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  using ::testing::ExitedWithCode;
  switch (cell.by) {
    case Catch::Nothing:
      EXPECT_EXIT(Commit(row, isQuarantined), ExitedWithCode(kWentThrough), "");
      break;
    case Catch::Poison:
      EXPECT_EXIT(Commit(row, isQuarantined), ExitedWithCode(kReadPoison), "");
      break;
    case Catch::Refusal:
      EXPECT_EXIT(Commit(row, isQuarantined), ExitedWithCode(kRefused), "");
      break;
    case Catch::Fault:
      EXPECT_EXIT(Commit(row, isQuarantined), Faulted, "");
      break;
    case Catch::Abort:
      EXPECT_EXIT(Commit(row, isQuarantined), Aborted, cell.text);
      break;
    case Catch::Sanitizer:
      EXPECT_EXIT(Commit(row, isQuarantined), Reported, cell.text);
      break;
  }
}

std::string TestNameOf(const ::testing::TestParamInfo<std::size_t>& parameter) {
  std::string name = "Row" + std::to_string(parameter.param) + "_" + kRows[parameter.param].misuse;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
}

class HostileMatrixDeathTest : public ::testing::TestWithParam<std::size_t> {};

TEST_P(HostileMatrixDeathTest, ThisBuild) {
  const Row& row = kRows[GetParam()];
  SCOPED_TRACE(row.deed);
  Try(row, row.builds.OfThisOne(), false);
}

TEST_P(HostileMatrixDeathTest, Quarantine) {
  const Row& row = kRows[GetParam()];
  SCOPED_TRACE(row.deed);
  Try(row, row.quarantine.OfThisOne(), true);
}

INSTANTIATE_TEST_SUITE_P(All, HostileMatrixDeathTest, ::testing::Range(std::size_t{0}, std::size(kRows)),
                         TestNameOf);

// --- the table as a document ---

std::string Describe(const Cell& cell) {
  switch (cell.by) {
    case Catch::Nothing:
      return "–";
    case Catch::Poison:
      return "reads 0xDD";
    case Catch::Refusal:
      return "error";
    case Catch::Fault:
      return "fault";
    case Catch::Abort:
      return "abort";
    case Catch::Sanitizer:
      return "report at the access";
  }
  return "?";
}

constexpr char kBegin[] =
    "<!-- hostile memory: printed by tests/arenas/hostile/hostile_matrix_test.cpp -->\n";
constexpr char kEnd[] = "<!-- end of hostile memory -->\n";

std::string RenderTable() {
  std::string table =
      "| Misuse | For example | Release | Checked | AddressSanitizer | Release, quarantine "
      "| Checked, quarantine | AddressSanitizer, quarantine |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
  for (const Row& row : kRows) {
    table += std::string("| ") + row.misuse + " | " + row.deed;
    for (const Builds* const builds : {&row.builds, &row.quarantine}) {
      for (const Cell* const cell : {&builds->release, &builds->checked, &builds->asan}) {
        table += " | " + Describe(*cell);
      }
    }
    table += " |\n";
  }
  return table;
}

TEST(HostileMatrix, TheDocumentedTableIsThisOne) {
  tests::ExpectDocumentedTable(STADIAL_SOURCE_DIR "/ARCHITECTURE.md", kBegin, kEnd, RenderTable(),
                               "STADIAL_UPDATE_HOSTILE_TABLE");
}

}  // namespace
}  // namespace stadial::arenas
