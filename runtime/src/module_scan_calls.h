// The entry points that the module scan looks for, and a harmless call through each. Private to the runtime.
#pragma once

#include <cstddef>

namespace stadial::runtime::detail {

struct WatchedCall {
  const char* name;                 // in the dynamic symbol table
  const char* release;              // what takes back the block that `invoke` made; null: it makes none
  void* (*invoke)(void* function);  // calls `function` as what `name` is; the block it made, or null
};

inline constexpr std::size_t kWatchedCallCount = 31;
extern const WatchedCall kWatchedCalls[kWatchedCallCount];

// Gives `block` back through `function`, which is the entry point called `release`.
void Release(const char* release, void* function, void* block) noexcept;

// The index of `name`; kWatchedCallCount when it is none of them.
std::size_t FindWatchedCall(const char* name) noexcept;

}  // namespace stadial::runtime::detail
