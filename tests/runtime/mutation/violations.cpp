#include "violations.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <functional>
#include <new>
#include <string>
#include <vector>

extern "C" void* MutationLibraryNew(std::size_t size);
extern "C" void MutationLibraryDelete(void* block);

namespace stadial::mutation {

Prepared prepared;

namespace {

constexpr std::size_t kPageBytes = 4096;

// No compiler may drop what follows from the pointer.
[[gnu::always_inline]] inline void* Escape(void* pointer) noexcept STADIAL_NONALLOCATING {
  asm volatile("" : "+r"(pointer) : : "memory");
  return pointer;
}

volatile int sink = 0;

// Together 4 KiB: more than qsort sorts on the stack.
struct Record {
  int key;
  int payload[15];
};
Record records[64];

struct OwnsABlock {
  ~OwnsABlock() { std::free(block); }
  void* block = Escape(prepared.block);
};

struct CountsItsEnd {
  ~CountsItsEnd() { sink = sink + 1; }
  int value = 1;
};
thread_local CountsItsEnd perThread;

void* DoNothing(void* argument) { return argument; }

}  // namespace

VIOLATION(UseTheLane) {
  auto* const bytes = static_cast<volatile char*>(prepared.lane->Allocate(kLaneBytes, 16));
  for (std::size_t at = 0; at < kLaneBytes; ++at) bytes[at] = 1;
}

VIOLATION(SmallMalloc) { std::free(Escape(std::malloc(64))); }

VIOLATION(LargeMalloc) {
  // Never the same size, so that none is kept ready.
  static std::size_t size = std::size_t{64} << 20;
  std::free(Escape(std::malloc(size += std::size_t{32} << 20)));
}

VIOLATION(Calloc) { std::free(Escape(std::calloc(8, 8))); }

VIOLATION(ReallocInPlace) { prepared.block = Escape(std::realloc(prepared.block, 210)); }

VIOLATION(PosixMemalign) {
  void* block = nullptr;
  sink = ::posix_memalign(&block, 64, 64);
  std::free(Escape(block));
}

VIOLATION(Strdup) { std::free(Escape(::strdup("a name that a node wants to keep"))); }

VIOLATION(FreeOnly) { std::free(Escape(prepared.block)); }

VIOLATION(DeleteOnly) { ::operator delete(Escape(prepared.block)); }

VIOLATION(NewInALibrary) { MutationLibraryDelete(MutationLibraryNew(48)); }

VIOLATION(AlignedNew) {
  ::operator delete (Escape(::operator new (64, std::align_val_t{64})), std::align_val_t{64});
}

VIOLATION(NothrowNew) { ::operator delete(Escape(::operator new(64, std::nothrow))); }

VIOLATION(VectorGrowth) {
  std::vector<int> numbers;
  numbers.push_back(1);
  Escape(numbers.data());
}

VIOLATION(FunctionWithCaptures) {
  const long a = sink, b = sink, c = sink;
  const std::function<long()> sum = [a, b, c] { return a + b + c; };
  sink = static_cast<int>(sum());
}

VIOLATION(Throw) {
  try {
    throw 1;
  } catch (int value) {
    sink = value;
  }
}

VIOLATION(StableSort) {
  std::stable_sort(std::begin(records), std::end(records),
                   [](const Record& a, const Record& b) { return a.key < b.key; });
}

VIOLATION(Qsort) {
  std::qsort(records, std::size(records), sizeof(Record), [](const void* a, const void* b) {
    return static_cast<const Record*>(a)->key - static_cast<const Record*>(b)->key;
  });
}

VIOLATION(Localtime) {
  const std::time_t now = 0;
  sink = std::localtime(&now)->tm_hour;
}

VIOLATION(FilesystemExists) {
  sink = std::filesystem::exists("/a/path/longer/than/what/a/string/holds/itself");
}

VIOLATION(FirstThreadLocal) { sink = perThread.value; }

VIOLATION(ThreadStart) {
  pthread_t thread;
  if (::pthread_create(&thread, nullptr, &DoNothing, nullptr) == 0) ::pthread_join(thread, nullptr);
}

VIOLATION(OpenLibrary) { Escape(::dlopen("libm.so.6", RTLD_NOW)); }

VIOLATION(DeepboundLibrary) { prepared.deepFree(Escape(prepared.deepAllocate(64))); }

VIOLATION(InADestructor) { const OwnsABlock owner; }

VIOLATION(FreshPage) { *prepared.freshPage = 1; }

VIOLATION(PageGivenBack) {
  ::madvise(const_cast<char*>(prepared.usedPages), kPageBytes, MADV_DONTNEED);
  *prepared.usedPages = 1;
}

VIOLATION(FreshStack) {
  // Further down than anything before it.
  volatile char deep[2 * 1024 * 1024];
  for (std::size_t at = 0; at < sizeof deep; at += kPageBytes) deep[at] = 1;
}

VIOLATION(RawMmap) {
  Escape(::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

VIOLATION(MmapBySyscallInstruction) {
#if defined(__x86_64__)
  long result = SYS_mmap;
  register long flags asm("r10") = MAP_PRIVATE | MAP_ANONYMOUS;
  register long file asm("r8") = -1;
  register long offset asm("r9") = 0;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(0L), "S"(kPageBytes), "d"(static_cast<long>(PROT_READ)), "r"(flags), "r"(file),
                 "r"(offset)
               : "rcx", "r11", "memory");
  sink = static_cast<int>(result);
#endif
}

VIOLATION(OnAPathNotTaken) {
  if (prepared.isRare) std::free(Escape(std::malloc(64)));
}

VIOLATION(ExcusedByAReview) {
  if (prepared.isRare) {
    STADIAL_EFFECTS_REVIEWED("a wrong reason", std::free(Escape(std::malloc(64))));
  }
}

VIOLATION(ProgramBreak) { Escape(::sbrk(16)); }

void* InADriverCallback(void*, std::size_t size) noexcept STADIAL_NONALLOCATING { return std::malloc(size); }

void InAHandler(void*, const runtime::Event&) noexcept STADIAL_NONALLOCATING {
  std::free(Escape(std::malloc(64)));
}

void InATask() noexcept STADIAL_NONALLOCATING { std::free(Escape(std::malloc(64))); }

void InADeferredDestruction(void*, std::uint64_t handle) noexcept STADIAL_NONALLOCATING {
  std::free(reinterpret_cast<void*>(handle));
}

}  // namespace stadial::mutation
