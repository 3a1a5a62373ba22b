/* A library that allocates. Loaded with RTLD_DEEPBIND, its calls lead past the gate; loaded plainly, they do not. */
#include <stdlib.h>
#include <string.h>

void* BypassingAllocate(size_t size) { return malloc(size); }
void* BypassingAllocateZeroed(size_t size) { return calloc(1, size); }
void* BypassingResize(void* block, size_t size) { return realloc(block, size); }
char* BypassingCopy(const char* text) { return strdup(text); }
void BypassingFree(void* block) { free(block); }
