// The mutation suite (T5): one planted violation of each kind, and what each layer of the gate makes of it. A
// cell either catches, and the test demands that it does, or cannot see the deed, and the test demands that
// it stays silent, so that the table is true. The table in ARCHITECTURE.md is printed from this one; a test
// compares them, and with STADIAL_UPDATE_MUTATION_TABLE=1 rewrites it.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "../../documented_table.h"
#include "../test_support.h"
#include "mutation_world.h"
#include "stadial/runtime/kernel_proof.h"
#include "stadial/runtime/module_scan.h"
#include "static_layers.h"
#include "violations.h"

namespace stadial::mutation {
namespace {

// --- the table ---

struct Cell {
  bool isCaught = true;
  // By what, where that is not the layer's ordinary way; or why the layer cannot see it.
  const char* text = "";
};
constexpr Cell kCaught{};
constexpr Cell Blind(const char* why) { return {false, why}; }
constexpr Cell kOutside{true, "lies outside of the objects"};  // and no list knows it
constexpr Cell kHeld = Blind("served from memory that the process holds");
constexpr Cell kNoCall = Blind("no call");
constexpr Cell kNotTaken = Blind("the path does not run");
constexpr Cell kNoHeap = Blind("no malloc, no new");

struct Row {
  const char* name;  // of the violation's function
  const char* deed;
  void (*commit)(World&);
  Cell types;
  Cell link;
  Cell runTime;
  Cell kernel;
};

template <void (*kViolation)() noexcept>
void Plain(World&) {
  kViolation();
}

const Row kRows[] = {
    {"SmallMalloc", "`malloc` of 64 B", Plain<SmallMalloc>, kCaught, kCaught, kCaught, kHeld},
    {"LargeMalloc", "`malloc` of many MiB", Plain<LargeMalloc>, kCaught, kCaught, kCaught, kCaught},
    {"Calloc", "`calloc`", Plain<Calloc>, kCaught, kCaught, kCaught, kHeld},
    {"ReallocInPlace", "`realloc` that fits where it is", Plain<ReallocInPlace>, kCaught, kCaught, kCaught,
     kHeld},
    {"PosixMemalign", "`posix_memalign`", Plain<PosixMemalign>, kCaught, kCaught, kCaught, kHeld},
    {"Strdup", "`strdup`", Plain<Strdup>, kCaught, kCaught, kCaught, kHeld},
    {"FreeOnly", "`free` of an older block", Plain<FreeOnly>, kCaught, kCaught, kCaught, kHeld},
    {"DeleteOnly", "`delete` of an older block", Plain<DeleteOnly>, kCaught, kCaught, kCaught, kHeld},
    {"NewInALibrary", "`new` inside of a shared library", Plain<NewInALibrary>, kCaught, kOutside, kCaught,
     kHeld},
    {"AlignedNew", "aligned `new`", Plain<AlignedNew>, kCaught, kCaught, kCaught, kHeld},
    {"NothrowNew", "`new (std::nothrow)`", Plain<NothrowNew>, kCaught, kCaught, kCaught, kHeld},
    {"VectorGrowth", "a `std::vector` that grows", Plain<VectorGrowth>, kCaught, kCaught, kCaught, kHeld},
    {"FunctionWithCaptures", "a `std::function` with more than 16 B of captures", Plain<FunctionWithCaptures>,
     kCaught, kCaught, kCaught, kHeld},
    {"Throw", "`throw`, caught at once", Plain<Throw>, kCaught, kCaught, kCaught, kHeld},
    {"StableSort", "`std::stable_sort`", Plain<StableSort>, kCaught, kCaught, kCaught, kHeld},
    {"Qsort", "`qsort` of 4 KiB", Plain<Qsort>, kCaught, kCaught, kCaught, kHeld},
    {"Localtime", "`localtime`", Plain<Localtime>, kCaught, kCaught, kCaught, kHeld},
    {"FilesystemExists", "`std::filesystem::exists`", Plain<FilesystemExists>, kCaught, kOutside, kCaught,
     kHeld},
    {"FirstThreadLocal", "the first use of a `thread_local` with a destructor", Plain<FirstThreadLocal>,
     kCaught, kCaught, kCaught, kHeld},
    {"ThreadStart", "a thread's start", Plain<ThreadStart>, kCaught, kCaught, kCaught, kCaught},
    {"OpenLibrary", "`dlopen`", Plain<OpenLibrary>, kCaught, kCaught, kCaught, kHeld},
    {"DeepboundLibrary",
     "`malloc` in a library loaded with `RTLD_DEEPBIND`",
     Plain<DeepboundLibrary>,
     kCaught,
     {true, "calls through a pointer"},
     {true, "by the module scan"},
     kHeld},
    {"InADestructor", "`free` in a destructor", Plain<InADestructor>, kCaught, kCaught, kCaught, kHeld},
    {"InADriverCallback", "`malloc` in a callback that a driver calls", CallBackFromADriver, kCaught, kCaught,
     kCaught, kHeld},
    {"InAHandler", "`malloc` in an event handler", DeliverAnEvent, kCaught, kCaught, kCaught, kHeld},
    {"InATask", "`malloc` in a task", RunATask, kCaught, kCaught, kCaught, kHeld},
    {"InADeferredDestruction", "`free` in a deferred destruction", RetireARecord, kCaught, kCaught, kCaught,
     kHeld},
    {"FreshPage", "the first touch of a mapped page", Plain<FreshPage>, kNoCall, kNoCall, kNoHeap, kCaught},
    {"FreshStack",
     "more stack than ever before",
     Plain<FreshStack>,
     kNoCall,
     kNoCall,
     kNoHeap,
     {true, "as a fault: the stack cannot grow"}},
    {"PageGivenBack", "`madvise(MADV_DONTNEED)`, and a touch", Plain<PageGivenBack>, kCaught, kCaught,
     kNoHeap, kCaught},
    {"RawMmap", "`mmap`", Plain<RawMmap>, kCaught, kCaught, kNoHeap, kCaught},
    {"MmapBySyscallInstruction", "`mmap` by a `syscall` instruction", Plain<MmapBySyscallInstruction>,
     kNoCall, kNoCall, kNoHeap, kCaught},
    {"ProgramBreak", "`sbrk`", Plain<ProgramBreak>, kCaught, kCaught, kNoHeap, kCaught},
    {"OnAPathNotTaken", "`malloc` on a path that the frame does not take", Plain<OnAPathNotTaken>, kCaught,
     kCaught, kNotTaken, kNotTaken},
    {"ExcusedByAReview", "the same, excused by a review that is wrong", Plain<ExcusedByAReview>,
     Blind("takes the reviewer's word"), kCaught, kNotTaken, kNotTaken},
};

// What a frame is meant to do: no layer says a word.
const Row kControl = {"UseTheLane",      "an allocation from the frame's lane, and its use",
                      Plain<UseTheLane>, Blind("allowed"),
                      Blind("allowed"),  Blind("allowed"),
                      Blind("allowed")};

bool IsCaughtByTheScan(const Cell& cell) {
  return cell.isCaught && std::string(cell.text).find("scan") != std::string::npos;
}

// --- run time ---

enum ExitCode { kWentThrough = 0, kCaughtByCount = 101, kFoundByScan = 102, kUnavailable = 103 };

void RunUnderTheGate(const Row& row) {
  World world(runtime::GatePolicy::Trap);
  world.Prepare();
  if (row.commit == Plain<DeepboundLibrary>) world.LoadDeepbound();
  if (!runtime::ScanModules().empty()) std::_Exit(kFoundByScan);
  world.RunFrames(3, [](World&) {});
  world.RunFrames(1, row.commit);
  std::_Exit(kWentThrough);
}

bool Trapped(int status) {
  return WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT
                             : WEXITSTATUS(status) != 0 && WEXITSTATUS(status) < 100;
}

void TryRunTime(const Row& row) {
  STADIAL_ASSERT_ARMED();
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  if (runtime::testing::kSeesRaces && row.commit == Plain<ThreadStart>)
    GTEST_SKIP() << "ThreadSanitizer starts threads from memory of its own";
  if (IsCaughtByTheScan(row.runTime)) {
    if (runtime::testing::kIsSanitized) GTEST_SKIP() << "sanitizers refuse RTLD_DEEPBIND";
    EXPECT_EXIT(RunUnderTheGate(row), ::testing::ExitedWithCode(kFoundByScan), "");
  } else if (row.runTime.isCaught) {
    EXPECT_EXIT(RunUnderTheGate(row), Trapped, "gate trap: .*policy Trap");
  } else {
    EXPECT_EXIT(RunUnderTheGate(row), ::testing::ExitedWithCode(kWentThrough), "");
  }
}

// --- kernel ---

// The gate lets everything pass, so that only the kernel layer can speak.
void RunUnderTheKernelProof(const Row& row) {
  World world(runtime::GatePolicy::Allow);
  world.Prepare();
  if (row.commit == Plain<DeepboundLibrary>) world.LoadDeepbound();
  // What a steady frame does, not what the first one does: except for what can be done only once.
  if (row.commit != Plain<FirstThreadLocal> && row.commit != Plain<FreshPage> &&
      row.commit != Plain<FreshStack>) {
    for (int round = 0; round < 2; ++round) {
      world.RunFrames(1, row.commit);
      world.Prepare();
    }
  }
  world.RunFrames(3, [](World&) {});
  if (!world.runtime->BeginKernelProof()) std::_Exit(kUnavailable);
  const runtime::AuditFrameThreads before = world.runtime->Audit().Steady();
  world.RunFrames(1, row.commit);
  world.runtime->EndKernelProof();
  const runtime::AuditFrameThreads& after = world.runtime->Audit().Steady();
  const bool isSeen = after.vmSyscalls != before.vmSyscalls || after.minorFaults != before.minorFaults;
  std::_Exit(isSeen ? kCaughtByCount : kWentThrough);
}

// A stack that cannot grow is a SIGSEGV.
bool StoppedByTheKernel(int status) {
  return WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV : WEXITSTATUS(status) == kCaughtByCount;
}

void TryKernel(const Row& row) {
  {
    auto possible = runtime::RunUnderKernelProof([] {});
    if (!possible) GTEST_SKIP() << possible.GetError().Message();
  }
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  if (row.kernel.isCaught) {
    EXPECT_EXIT(RunUnderTheKernelProof(row), StoppedByTheKernel, "");
  } else {
    EXPECT_EXIT(RunUnderTheKernelProof(row), ::testing::ExitedWithCode(kWentThrough), "");
  }
}

// --- all layers ---

std::string NameOf(const ::testing::TestParamInfo<std::size_t>& parameter) {
  return kRows[parameter.param].name;
}

class MutationDeathTest : public ::testing::TestWithParam<std::size_t> {};

TEST_P(MutationDeathTest, T5_RunTime) { TryRunTime(kRows[GetParam()]); }
TEST_P(MutationDeathTest, T5_Kernel) { TryKernel(kRows[GetParam()]); }

INSTANTIATE_TEST_SUITE_P(All, MutationDeathTest, ::testing::Range(std::size_t{0}, std::size(kRows)), NameOf);

TEST(MutationControlDeathTest, T5_RunTimeIsSilent) { TryRunTime(kControl); }
TEST(MutationControlDeathTest, T5_KernelIsSilent) { TryKernel(kControl); }

std::vector<Row> RowsAndControl() {
  std::vector<Row> rows(std::begin(kRows), std::end(kRows));
  rows.push_back(kControl);
  return rows;
}

TEST(MutationStatic, T5_Types) {
  const std::optional<std::set<std::string>> flagged = ViolationsByTypes();
  if (!flagged) GTEST_SKIP() << "no compiler that checks the effects of functions (clang 20 or newer)";
  for (const Row& row : RowsAndControl()) EXPECT_EQ(flagged->count(row.name), row.types.isCaught) << row.name;
}

TEST(MutationStatic, T5_Link) {
  if (!CanWalkTheObject())
    GTEST_SKIP() << "a sanitizer's object, or none of GCC's, is not what the walk judges";
  std::vector<std::string> names;
  for (const Row& row : kRows) names.emplace_back(row.name);
  const std::map<std::string, std::string> findings = FindingsByLink(names);
  ASSERT_EQ(findings.size(), std::size(kRows)) << "the walk did not answer for each";
  for (const Row& row : kRows) {
    const char* const finding = row.link.text[0] == '\0' ? " is reachable from a frame" : row.link.text;
    const std::string& found = findings.at(row.name);
    EXPECT_EQ(found.find(finding) != std::string::npos, row.link.isCaught) << row.name << '\n' << found;
    EXPECT_EQ(found.empty(), !row.link.isCaught) << row.name << '\n' << found;
  }
}

TEST(MutationStatic, T5_LinkIsSilent) {
  if (!CanWalkTheObject())
    GTEST_SKIP() << "a sanitizer's object, or none of GCC's, is not what the walk judges";
  const std::string output = FindingsOfTheControl();
  EXPECT_NE(output.find("reachability: 0 findings; "), std::string::npos) << output;
  EXPECT_EQ(output.find(" 0 functions reached"), std::string::npos) << output;
}

TEST(MutationTable, T5_EveryMutationIsCaughtBySomeLayer) {
  for (const Row& row : kRows) {
    EXPECT_TRUE(row.types.isCaught || row.link.isCaught || row.runTime.isCaught || row.kernel.isCaught)
        << row.name;
  }
}

// --- the table as a document ---

constexpr char kBegin[] = "<!-- mutations: printed by tests/runtime/mutation/mutation_test.cpp -->\n";
constexpr char kEnd[] = "<!-- end of mutations -->\n";

std::string Describe(const Cell& cell) {
  const std::string text = cell.text;
  if (!cell.isCaught) return "– (" + text + ")";
  return text.empty() ? "caught" : "caught: " + text;
}

std::string RenderTable() {
  std::string table =
      "| Planted in a frame | Types | Link | Run time | Kernel |\n| --- | --- | --- | --- | --- |\n";
  for (const Row& row : RowsAndControl()) {
    table += std::string("| ") + row.deed;
    for (const Cell* const cell : {&row.types, &row.link, &row.runTime, &row.kernel})
      table += " | " + Describe(*cell);
    table += " |\n";
  }
  return table;
}

TEST(MutationTable, T5_TheDocumentedTableIsThisOne) {
  tests::ExpectDocumentedTable(STADIAL_SOURCE_DIR "/ARCHITECTURE.md", kBegin, kEnd, RenderTable(),
                               "STADIAL_UPDATE_MUTATION_TABLE");
}

}  // namespace
}  // namespace stadial::mutation
