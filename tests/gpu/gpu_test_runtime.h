// A runtime as the gpu tests want it, without GoogleTest: their child processes share it.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "stadial/arenas/size_literals.h"
#include "stadial/runtime/log.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu::testing {

using namespace arenas::literals;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool kIsSanitized = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
inline constexpr bool kIsSanitized = true;
#else
inline constexpr bool kIsSanitized = false;
#endif
#else
inline constexpr bool kIsSanitized = false;
#endif

constexpr std::uint32_t Repetitions(std::uint32_t count) { return kIsSanitized ? count / 10 : count; }

// Prints and counts; allocates nothing.
struct LogCapture {
  std::atomic<std::uint32_t> lines{0};
  std::atomic<std::uint32_t> validationLines{0};
  char last[runtime::kLogTextBytesMax] = {};

  runtime::LogSink Sink() {
    return {.write =
                [](void* self, runtime::LogLevel level, const char* text, std::size_t length) noexcept {
                  auto* const capture = static_cast<LogCapture*>(self);
                  ++capture->lines;
                  if (std::strncmp(text, "vulkan validation:", 18) == 0) ++capture->validationLines;
                  std::memcpy(capture->last, text, length + 1);
                  runtime::WriteLogToStderr(nullptr, level, text, length);
                },
            .userData = this};
  }
};

inline runtime::RuntimeOptions TestRuntimeOptions(LogCapture& log) {
  runtime::RuntimeOptions options;
  options.name = "gpu_test";
  options.region.sizeBytes = 4_GiB;
  options.setupBytes = 4_MiB;
  options.compileBytes = 1_MiB;
  options.driverBytes = 16_MiB;
  options.warmupFrames = 4;
  options.waitDeadlineNs = 60'000'000'000;  // sanitized software drivers on a busy machine
  options.log = log.Sink();
  return options;
}

}  // namespace stadial::gpu::testing
