// Every way to take memory from the process's allocator and to give it back, as pairs that the gate's tests
// go through.
#pragma once

#include <malloc.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <ostream>
#include <string>

#include "stadial/runtime/gate.h"

namespace stadial::runtime::testing {

inline constexpr std::size_t kFormBytes = 200;
inline constexpr std::size_t kFormAlignment = 128;
inline constexpr std::align_val_t kFormAlign{kFormAlignment};

// Keeps the compiler from dropping a pair whose block goes nowhere.
inline void* Escape(void* block) {
  asm volatile("" : "+r"(block) : : "memory");
  return block;
}

struct AllocateForm {
  const char* name;
  const char* call;  // as reports name it
  std::size_t bytes;
  std::size_t alignment;
  bool throws;  // a throwing operator new: Deny aborts
  void* (*allocate)();
  void (*release)(void*);
};

struct ReleaseForm {
  const char* name;
  const char* call;
  void* (*allocate)();
  void (*release)(void*);
};

inline void FreeIt(void* block) { std::free(block); }
inline void DeleteIt(void* block) { ::operator delete(block); }
inline void DeleteArray(void* block) { ::operator delete[](block); }
inline void DeleteAligned(void* block) { ::operator delete(block, kFormAlign); }
inline void DeleteArrayAligned(void* block) { ::operator delete[](block, kFormAlign); }
inline void* MallocIt() { return std::malloc(kFormBytes); }
inline void* NewIt() { return ::operator new(kFormBytes); }
inline void* NewArray() { return ::operator new[](kFormBytes); }
inline void* NewAligned() { return ::operator new(kFormBytes, kFormAlign); }
inline void* NewArrayAligned() { return ::operator new[](kFormBytes, kFormAlign); }

inline void PrintTo(const AllocateForm& form, std::ostream* out) { *out << form.name; }
inline void PrintTo(const ReleaseForm& form, std::ostream* out) { *out << form.name; }

inline const AllocateForm kAllocateForms[] = {
    {"Malloc", "malloc", kFormBytes, 16, false, MallocIt, FreeIt},
    {"Calloc", "calloc", kFormBytes, 16, false, [] { return std::calloc(10, kFormBytes / 10); }, FreeIt},
    {"Realloc", "realloc", kFormBytes, 16, false, [] { return std::realloc(Escape(nullptr), kFormBytes); },
     FreeIt},
    {"ReallocArray", "reallocarray", kFormBytes, 16, false,
     [] { return ::reallocarray(Escape(nullptr), 10, kFormBytes / 10); }, FreeIt},
    {"Memalign", "memalign", kFormBytes, kFormAlignment, false,
     [] { return ::memalign(kFormAlignment, kFormBytes); }, FreeIt},
    {"PosixMemalign", "posix_memalign", kFormBytes, kFormAlignment, false,
     [] {
       void* block = nullptr;
       const int error = ::posix_memalign(&block, kFormAlignment, kFormBytes);
       if (error != 0) errno = error;
       return block;
     },
     FreeIt},
    {"AlignedAlloc", "aligned_alloc", 2 * kFormAlignment, kFormAlignment, false,
     [] { return std::aligned_alloc(kFormAlignment, 2 * kFormAlignment); }, FreeIt},
    {"Valloc", "valloc", kFormBytes, 4096, false, [] { return ::valloc(kFormBytes); }, FreeIt},
    {"Pvalloc", "pvalloc", 4096, 4096, false, [] { return ::pvalloc(kFormBytes); }, FreeIt},
    {"Strdup", "malloc", 21, 16, false, [] { return static_cast<void*>(::strdup("inside the C library")); },
     FreeIt},
    {"New", "operator new", kFormBytes, 16, true, NewIt, DeleteIt},
    {"NewArray", "operator new\\[\\]", kFormBytes, 16, true, NewArray, DeleteArray},
    {"NewAligned", "operator new", kFormBytes, kFormAlignment, true, NewAligned, DeleteAligned},
    {"NewArrayAligned", "operator new\\[\\]", kFormBytes, kFormAlignment, true, NewArrayAligned,
     DeleteArrayAligned},
    {"NewNothrow", "operator new", kFormBytes, 16, false,
     [] { return ::operator new(kFormBytes, std::nothrow); }, DeleteIt},
    {"NewArrayNothrow", "operator new\\[\\]", kFormBytes, 16, false,
     [] { return ::operator new[](kFormBytes, std::nothrow); }, DeleteArray},
    {"NewAlignedNothrow", "operator new", kFormBytes, kFormAlignment, false,
     [] { return ::operator new(kFormBytes, kFormAlign, std::nothrow); }, DeleteAligned},
    {"NewArrayAlignedNothrow", "operator new\\[\\]", kFormBytes, kFormAlignment, false,
     [] { return ::operator new[](kFormBytes, kFormAlign, std::nothrow); }, DeleteArrayAligned},
};

inline const ReleaseForm kReleaseForms[] = {
    {"Free", "free", MallocIt, FreeIt},
    {"ReallocToNothing", "realloc", MallocIt, [](void* block) { Escape(std::realloc(block, 0)); }},
    {"Delete", "operator delete", NewIt, DeleteIt},
    {"DeleteArray", "operator delete\\[\\]", NewArray, DeleteArray},
    {"DeleteSized", "operator delete", NewIt, [](void* block) { ::operator delete(block, kFormBytes); }},
    {"DeleteArraySized", "operator delete\\[\\]", NewArray,
     [](void* block) { ::operator delete[](block, kFormBytes); }},
    {"DeleteAligned", "operator delete", NewAligned, DeleteAligned},
    {"DeleteArrayAligned", "operator delete\\[\\]", NewArrayAligned, DeleteArrayAligned},
    {"DeleteSizedAligned", "operator delete", NewAligned,
     [](void* block) { ::operator delete(block, kFormBytes, kFormAlign); }},
    {"DeleteArraySizedAligned", "operator delete\\[\\]", NewArrayAligned,
     [](void* block) { ::operator delete[](block, kFormBytes, kFormAlign); }},
    {"DeleteNothrow", "operator delete", NewIt, [](void* block) { ::operator delete(block, std::nothrow); }},
    {"DeleteArrayNothrow", "operator delete\\[\\]", NewArray,
     [](void* block) { ::operator delete[](block, std::nothrow); }},
    {"DeleteAlignedNothrow", "operator delete", NewAligned,
     [](void* block) { ::operator delete(block, kFormAlign, std::nothrow); }},
    {"DeleteArrayAlignedNothrow", "operator delete\\[\\]", NewArrayAligned,
     [](void* block) { ::operator delete[](block, kFormAlign, std::nothrow); }},
};

// The build's gate can refuse (mimalloc) or only watch (a sanitizer's hooks).
inline bool GateCanDeny() { return std::strstr(RunGateSelfTest().method, "sanitizer") == nullptr; }

// How reports of this build name the call: hooks do not know which entry point it was.
inline std::string ReportedCall(const char* call) {
  return GateCanDeny() ? call : "malloc or new \\(seen by the sanitizer\\)";
}

}  // namespace stadial::runtime::testing
