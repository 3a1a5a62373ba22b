#include "code_address.h"

#include <cstdint>
#include <cstdio>

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

namespace stadial::arenas {

CodeAddressText FormatCodeAddress(const void* address) noexcept {
  CodeAddressText out;
  if (address == nullptr) {
    std::snprintf(out.text, sizeof out.text, "an unknown place");
    return out;
  }
  const auto call = reinterpret_cast<std::uintptr_t>(address) - 1;
#if !defined(_WIN32)
  Dl_info found{};
  if (::dladdr(reinterpret_cast<const void*>(call), &found) != 0 && found.dli_fname != nullptr) {
    const auto offset = static_cast<unsigned long>(call - reinterpret_cast<std::uintptr_t>(found.dli_fbase));
    if (found.dli_sname != nullptr) {
      std::snprintf(out.text, sizeof out.text, "%.160s+0x%lx (%.160s+0x%lx)", found.dli_sname,
                    static_cast<unsigned long>(call - reinterpret_cast<std::uintptr_t>(found.dli_saddr)),
                    found.dli_fname, offset);
    } else {
      std::snprintf(out.text, sizeof out.text, "%.320s+0x%lx", found.dli_fname, offset);
    }
    return out;
  }
#endif
  std::snprintf(out.text, sizeof out.text, "0x%llx", static_cast<unsigned long long>(call));
  return out;
}

}  // namespace stadial::arenas
