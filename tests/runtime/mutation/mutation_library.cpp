// A library that allocates with new, as other people's do.
#include <cstddef>
#include <new>

extern "C" void* MutationLibraryNew(std::size_t size) { return ::operator new(size); }
extern "C" void MutationLibraryDelete(void* block) { ::operator delete(block); }
