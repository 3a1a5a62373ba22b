// How many threads can run at once. Private to the runtime.
#pragma once

#include <cstdint>

namespace stadial::runtime {

// Of the cores that this process may use; at least 1.
std::uint32_t CoreCount() noexcept;

}  // namespace stadial::runtime
