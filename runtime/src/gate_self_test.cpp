// The self-test: one call of every entry point that hands out or takes back memory, each of which the gate
// must see.
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "gate_object.h"
#include "gate_text.h"
#include "stadial/runtime/gate.h"
#include "thread_registry_table.h"

namespace stadial::runtime {
namespace {

constexpr std::size_t kPlantBytes = 48;
constexpr std::size_t kPlantAlignment = 64;
constexpr std::align_val_t kPlantAlign{kPlantAlignment};

// Compilers may drop a malloc whose block goes nowhere, fold two reads of a counter around it, and turn a
// realloc of null into a malloc.
[[gnu::always_inline]] inline void* Escape(void* block) noexcept {
  asm volatile("" : "+r"(block) : : "memory");
  return block;
}

// One entry point under test. Either `allocate` or `release` is the form; the other one only completes the
// pair.
struct Form {
  const char* name;
  bool isRelease;
  void* (*allocate)();
  void (*release)(void*);
};

void* PlainMalloc() { return std::malloc(kPlantBytes); }
void PlainFree(void* block) { std::free(block); }
void* PlainNew() { return ::operator new(kPlantBytes); }
void PlainDelete(void* block) { ::operator delete(block); }
void* ArrayNew() { return ::operator new[](kPlantBytes); }
void ArrayDelete(void* block) { ::operator delete[](block); }
void* AlignedNew() { return ::operator new(kPlantBytes, kPlantAlign); }
void AlignedDelete(void* block) { ::operator delete(block, kPlantAlign); }
void* AlignedArrayNew() { return ::operator new[](kPlantBytes, kPlantAlign); }
void AlignedArrayDelete(void* block) { ::operator delete[](block, kPlantAlign); }

// Allocated and released inside the C++ library, which is how most code of a program allocates.
void* LibraryString() {
  std::string text(kPlantBytes, 'x');
  text.append(kPlantBytes, 'y');
  Escape(text.data());
  return nullptr;
}
void Nothing(void*) {}

constexpr Form kForms[] = {
    {"malloc", false, PlainMalloc, PlainFree},
    {"calloc", false, [] { return std::calloc(3, kPlantBytes); }, PlainFree},
    {"realloc(null)", false, [] { return std::realloc(Escape(nullptr), kPlantBytes); }, PlainFree},
    {"reallocarray", false, [] { return ::reallocarray(Escape(nullptr), 3, kPlantBytes); }, PlainFree},
    {"memalign", false, [] { return ::memalign(kPlantAlignment, kPlantBytes); }, PlainFree},
    {"posix_memalign", false,
     [] {
       void* block = nullptr;
       return ::posix_memalign(&block, kPlantAlignment, kPlantBytes) == 0 ? block : nullptr;
     },
     PlainFree},
    {"aligned_alloc", false, [] { return std::aligned_alloc(kPlantAlignment, kPlantAlignment); }, PlainFree},
    {"valloc", false, [] { return ::valloc(kPlantBytes); }, PlainFree},
    {"pvalloc", false, [] { return ::pvalloc(kPlantBytes); }, PlainFree},
    {"new", false, PlainNew, PlainDelete},
    {"new[]", false, ArrayNew, ArrayDelete},
    {"new(align)", false, AlignedNew, AlignedDelete},
    {"new[](align)", false, AlignedArrayNew, AlignedArrayDelete},
    {"new(nothrow)", false, [] { return ::operator new(kPlantBytes, std::nothrow); }, PlainDelete},
    {"new[](nothrow)", false, [] { return ::operator new[](kPlantBytes, std::nothrow); }, ArrayDelete},
    {"new(align, nothrow)", false, [] { return ::operator new(kPlantBytes, kPlantAlign, std::nothrow); },
     AlignedDelete},
    {"new[](align, nothrow)", false, [] { return ::operator new[](kPlantBytes, kPlantAlign, std::nothrow); },
     AlignedArrayDelete},
    {"free", true, PlainMalloc, PlainFree},
    {"realloc(block)", true, PlainMalloc,
     [](void* block) { std::free(Escape(std::realloc(block, 100 * kPlantBytes))); }},
    {"delete", true, PlainNew, PlainDelete},
    {"delete[]", true, ArrayNew, ArrayDelete},
    {"delete(size)", true, PlainNew, [](void* block) { ::operator delete(block, kPlantBytes); }},
    {"delete[](size)", true, ArrayNew, [](void* block) { ::operator delete[](block, kPlantBytes); }},
    {"delete(align)", true, AlignedNew, AlignedDelete},
    {"delete[](align)", true, AlignedArrayNew, AlignedArrayDelete},
    {"delete(size, align)", true, AlignedNew,
     [](void* block) { ::operator delete(block, kPlantBytes, kPlantAlign); }},
    {"delete[](size, align)", true, AlignedArrayNew,
     [](void* block) { ::operator delete[](block, kPlantBytes, kPlantAlign); }},
    {"delete(nothrow)", true, PlainNew, [](void* block) { ::operator delete(block, std::nothrow); }},
    {"delete[](nothrow)", true, ArrayNew, [](void* block) { ::operator delete[](block, std::nothrow); }},
    {"delete(align, nothrow)", true, AlignedNew,
     [](void* block) { ::operator delete(block, kPlantAlign, std::nothrow); }},
    {"delete[](align, nothrow)", true, AlignedArrayNew,
     [](void* block) { ::operator delete[](block, kPlantAlign, std::nothrow); }},
    {"inside libc (strdup)", false,
     [] { return static_cast<void*>(::strdup("planted by the gate's self-test")); }, PlainFree},
    {"inside libstdc++ (string)", false, LibraryString, Nothing},
};

constinit std::atomic<GateState> cachedState{GateState::Disarmed};

// The plants are no one's allocations: the thread's counters stand afterwards where they stood before.
class TallyRestorer {
 public:
  TallyRestorer() noexcept : tally_(detail::CurrentTally()) { detail::AddTo(before_, tally_); }
  ~TallyRestorer() {
    tally_.allocations.store(before_.allocations, std::memory_order_relaxed);
    tally_.allocatedBytes.store(before_.allocatedBytes, std::memory_order_relaxed);
    tally_.frees.store(before_.frees, std::memory_order_relaxed);
  }
  TallyRestorer(const TallyRestorer&) = delete;
  TallyRestorer& operator=(const TallyRestorer&) = delete;

 private:
  detail::GateTally& tally_;
  GateThreadCounters before_;
};

bool WasSeen(const Form& form) noexcept {
  const GateThreadCounters start = CurrentThreadCounters();
  void* const block = Escape(form.allocate());
  const GateThreadCounters middle = CurrentThreadCounters();
  form.release(block);
  const GateThreadCounters end = CurrentThreadCounters();
  return form.isRelease ? end.frees > middle.frees : middle.allocations > start.allocations;
}

void Explain(GateSelfTestResult& result, detail::GateText& missing) noexcept {
  const detail::GateObject* const object = StadialGateObject == nullptr ? nullptr : StadialGateObject();
  detail::GateText method(result.method, sizeof result.method);
  detail::GateText why(result.why, sizeof result.why);
  method.Append(object != nullptr      ? object->method
                : result.formsSeen > 0 ? "hooks called by the game's own malloc"
                                       : "none");
  switch (result.state) {
    case GateState::Armed:
      why.Append("all ").AppendDecimal(result.formsTested).Append(" forms were seen");
      if (object != nullptr && !object->canDeny)
        why.Append("; the policy Deny acts as Report, because a hook cannot refuse");
      break;
    case GateState::Partial:
      why.AppendDecimal(result.formsSeen).Append(" of ").AppendDecimal(result.formsTested);
      why.Append(" forms were seen; not seen: ").Append(missing.Data());
      break;
    case GateState::Disarmed:
      if (object == nullptr) {
        why.Append(
            "no allocation was seen: the gate object is not linked; link the target stadial::gate to the "
            "program");
      } else if (!object->hooked) {
        why.Append("no allocation was seen: ").Append(object->why);
      } else {
        why.Append(
            "no allocation was seen although the gate is linked: another module defines malloc before it");
      }
      break;
  }
}

GateSelfTestResult Run() noexcept {
  GateSelfTestResult result;
  char missingBytes[160];
  detail::GateText missing(missingBytes, sizeof missingBytes);
  const Phase phase =
      static_cast<Phase>((detail::gateThread.word & detail::kGatePhaseMask) >> detail::kGatePhaseShift);
  const TallyRestorer restorer;
  const GateScope scope(GatePolicy::Count, GatePolicy::Count, phase, "gate self-test");
  for (const Form& form : kForms) {
    ++result.formsTested;
    if (WasSeen(form)) {
      ++result.formsSeen;
    } else {
      missing.Append(missing.Length() == 0 ? "" : ", ").Append(form.name);
    }
  }
  result.state = result.formsSeen == result.formsTested ? GateState::Armed
                 : result.formsSeen > 0                 ? GateState::Partial
                                                        : GateState::Disarmed;
  Explain(result, missing);
  return result;
}

}  // namespace

const GateSelfTestResult& RunGateSelfTest() noexcept {
  static const GateSelfTestResult result = [] {
    const GateSelfTestResult tested = Run();
    cachedState.store(tested.state, std::memory_order_release);
    return tested;
  }();
  return result;
}

GateState CurrentGateState() noexcept { return cachedState.load(std::memory_order_acquire); }

}  // namespace stadial::runtime
