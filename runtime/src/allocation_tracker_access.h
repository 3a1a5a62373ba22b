// How the gate tells the active trackers. Private to the runtime.
#pragma once

#include <cstddef>

namespace stadial::runtime::detail {

void NotifyTrackersOfAllocation(void* block, std::size_t sizeBytes, const void* caller) noexcept;
void NotifyTrackersOfFree(void* block) noexcept;

}  // namespace stadial::runtime::detail
