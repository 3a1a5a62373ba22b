// Small, strict readers for the texts of command-line options. They use the heap nowhere and take nothing
// that they do not understand whole. Errors (InvalidArgument) name the option, the text and what it takes.
#pragma once

#include <cstdint>
#include <string_view>

#include "options.h"

namespace stadial::sandbox {

// Decimal digits only. `unit` stands in messages ("frames").
arenas::Result<std::uint64_t> ParseUnsigned(const char* option, std::string_view text, std::uint64_t min,
                                            std::uint64_t max, const char* unit);
// A finite decimal number from -max to max.
arenas::Result<float> ParseDegrees(const char* option, std::string_view text, float max);
// "640x360".
arenas::Result<ImageSize> ParseImageSize(const char* option, std::string_view text);
// "100:320x180".
arenas::Result<ResizeStep> ParseResize(const char* option, std::string_view text);
// "allow", "count", "report" or "trap".
arenas::Result<runtime::GatePolicy> ParseGatePolicy(const char* option, std::string_view text);

}  // namespace stadial::sandbox
