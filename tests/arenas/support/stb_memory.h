// stb's image code with our heap behind its macros; the implementation is compiled in stb_memory.cpp.
#pragma once

#include "stadial/arenas/c_adapters.h"
#include "stadial/arenas/size_class_heap.h"

namespace stadial::arenas::testing {

struct ImageMemory {
  static inline SizeClassHeap* heap = nullptr;
  static SizeClassHeap& Memory() noexcept { return *heap; }
};

}  // namespace stadial::arenas::testing

#define STBI_MALLOC(size) ::stadial::arenas::CFunctions<::stadial::arenas::testing::ImageMemory>::Malloc(size)
#define STBI_REALLOC(memory, size) \
  ::stadial::arenas::CFunctions<::stadial::arenas::testing::ImageMemory>::Realloc(memory, size)
#define STBI_FREE(memory) ::stadial::arenas::CFunctions<::stadial::arenas::testing::ImageMemory>::Free(memory)
#define STBIW_MALLOC(size) STBI_MALLOC(size)
#define STBIW_REALLOC(memory, size) STBI_REALLOC(memory, size)
#define STBIW_FREE(memory) STBI_FREE(memory)
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
