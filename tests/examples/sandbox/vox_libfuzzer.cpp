// libFuzzer entry point (option STADIAL_BUILD_LIBFUZZER; clang++-22 with Debian's libclang-rt-22-dev):
//   vox_libfuzzer CORPUS_DIRECTORY
// The default scene is a good first corpus file.
#include <cstdio>
#include <cstdlib>

#include "vox_fuzz_case.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto outcome =
      stadial::sandbox::testing::RunFuzzCase({reinterpret_cast<const std::byte*>(data), size});
  if (!outcome.violation.empty()) {
    std::fprintf(stderr, "violation: %s\n", outcome.violation.c_str());
    std::abort();
  }
  return 0;
}
