#include "stadial/arenas/size_literals.h"

using namespace stadial::arenas::literals;

#ifdef FAIL_TOO_LARGE
constexpr std::size_t kSize = 17179869184_GiB;
#else
constexpr std::size_t kSize = 17179869183_GiB;
#endif
static_assert(kSize != 0);
