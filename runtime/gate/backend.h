// How this build of the gate sees allocations: it defines the allocator itself, over mimalloc, or it watches
// the one of a sanitizer, which must not be replaced.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STADIAL_GATE_OVER_MIMALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||  \
    __has_feature(memory_sanitizer) || __has_feature(realtime_sanitizer) || \
    __has_feature(hwaddress_sanitizer) || __has_feature(leak_sanitizer)
#define STADIAL_GATE_OVER_MIMALLOC 0
#else
#define STADIAL_GATE_OVER_MIMALLOC 1
#endif
#else
#define STADIAL_GATE_OVER_MIMALLOC 1
#endif
