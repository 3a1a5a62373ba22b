// The canary: in a build with STADIAL_SANDBOX_CANARY (the program sandbox_canary) one frame allocates on
// purpose, inside a node, to show that the gate would have seen it. In the ordinary build these functions do
// nothing.
#pragma once

#include <cstdint>
#include <string>

#include "stadial/arenas/effects.h"
#include "stadial/arenas/result.h"

namespace stadial::sandbox {

// Where --canary puts its text (default alloc@100); null in the ordinary build, which has no such option.
std::string* CanaryText() noexcept;
// InvalidArgument when --canary was given something else.
arenas::Result<void> CheckCanary();
// Called by the simulate node in every frame.
void VisitCanary(std::uint64_t frameIndex) noexcept STADIAL_NONALLOCATING;

}  // namespace stadial::sandbox
