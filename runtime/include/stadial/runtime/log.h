// The log sink: a function pointer and its user data, given at construction to whatever may have to say
// something. There is no global logger. Formatting happens in a fixed buffer on the caller's stack, so
// logging never allocates; text longer than kLogTextBytesMax - 1 is cut. Do not format floating-point values
// through it inside a frame: the C library may allocate for large ones.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/effects.h"

namespace stadial::runtime {

enum class LogLevel : std::uint8_t { Info, Warning, Error };

// The level's name, as printed ("warning").
const char* ToString(LogLevel level) noexcept STADIAL_NONALLOCATING;

inline constexpr std::size_t kLogTextBytesMax = 1024;

// `text` is one line without its newline, zero-terminated, `lengthBytes` long, valid during the call only.
using LogWrite = void (*)(void* userData, LogLevel level, const char* text,
                          std::size_t lengthBytes) noexcept STADIAL_NONALLOCATING;

// "stadial: warning: TEXT\n" in a single write(2) to standard error.
void WriteLogToStderr(void* userData, LogLevel level, const char* text,
                      std::size_t lengthBytes) noexcept STADIAL_NONALLOCATING;

// Swallows everything.
void WriteLogNowhere(void* userData, LogLevel level, const char* text,
                     std::size_t lengthBytes) noexcept STADIAL_NONALLOCATING;

// A plain value; copies share the user data. Threads: as safe as `write` is (the two above are safe
// everywhere).
struct LogSink {
  LogWrite write = &WriteLogToStderr;
  void* userData = nullptr;
  LogLevel levelMin = LogLevel::Info;  // quieter lines are not formatted

  [[gnu::format(printf, 3, 4)]] void Format(LogLevel level, const char* format,
                                            ...) const noexcept STADIAL_NONALLOCATING;
};

}  // namespace stadial::runtime
