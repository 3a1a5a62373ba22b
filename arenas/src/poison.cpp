#include "stadial/arenas/poison.h"

#if STADIAL_VALGRIND

#include <valgrind/memcheck.h>

// valgrind's macros are C.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"

namespace stadial::arenas {

void ValgrindMakeNoAccess(const void* begin, std::size_t bytes) noexcept {
  static_cast<void>(VALGRIND_MAKE_MEM_NOACCESS(begin, bytes));
}
void ValgrindMakeUndefined(const void* begin, std::size_t bytes) noexcept {
  static_cast<void>(VALGRIND_MAKE_MEM_UNDEFINED(begin, bytes));
}
void ValgrindMakeDefined(const void* begin, std::size_t bytes) noexcept {
  static_cast<void>(VALGRIND_MAKE_MEM_DEFINED(begin, bytes));
}

}  // namespace stadial::arenas

#pragma GCC diagnostic pop

#endif
