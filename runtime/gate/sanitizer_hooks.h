// Under a sanitizer the gate defines no allocator: it listens to the sanitizer's own.
#pragma once

namespace stadial::gate {

bool SanitizerHooksInstalled() noexcept;

}  // namespace stadial::gate
