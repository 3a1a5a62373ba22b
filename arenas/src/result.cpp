#include "stadial/arenas/result.h"

#include <cstdio>

namespace stadial::arenas {

const char* ToString(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::InvalidArgument:
      return "InvalidArgument";
    case ErrorCode::AddressSpace:
      return "AddressSpace";
    case ErrorCode::OutOfMemory:
      return "OutOfMemory";
    case ErrorCode::CapacityExceeded:
      return "CapacityExceeded";
    case ErrorCode::WrongPhase:
      return "WrongPhase";
    case ErrorCode::NotFound:
      return "NotFound";
    case ErrorCode::NotSupported:
      return "NotSupported";
    case ErrorCode::CorruptData:
      return "CorruptData";
    case ErrorCode::Io:
      return "Io";
    case ErrorCode::Timeout:
      return "Timeout";
    case ErrorCode::DeviceLost:
      return "DeviceLost";
    case ErrorCode::Driver:
      return "Driver";
    case ErrorCode::Invalid:
      return "Invalid";
  }
  return "Unknown";
}

Error Error::Format(ErrorCode code, const char* format, ...) noexcept {
  Error error;
  error.code_ = code;
  std::va_list arguments;
  va_start(arguments, format);
  STADIAL_EFFECTS_REVIEWED("into a buffer of its own; no wide floating-point values",
                           std::vsnprintf(error.message_, sizeof error.message_, format, arguments));
  va_end(arguments);
  return error;
}

}  // namespace stadial::arenas
