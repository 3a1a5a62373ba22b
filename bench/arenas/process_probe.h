// What a benchmark must know about its own process: which library's malloc is in force, and how many system
// calls a stretch of code makes.
#pragma once

#include <cstdint>

namespace stadial::bench {

// The file name of the module whose malloc this process calls, as the loader resolves it ("libc.so.6",
// "libmimalloc.so.2"). Static storage.
const char* ModuleOfMalloc();

// The system calls that work(context) makes on this thread, counted by a tracer process (ptrace). -1 where
// tracing is not permitted; `work` has then run all the same. The fork leaves this process's private pages to
// be copied or reclaimed at their next write: count faults before, or after touching everything again.
std::int64_t CountSystemCalls(void (*work)(void* context), void* context);

template <class Work>
std::int64_t CountSystemCalls(Work&& work) {
  return CountSystemCalls([](void* context) { (*static_cast<Work*>(context))(); }, &work);
}

}  // namespace stadial::bench
