// What of the platform seam is the same on every platform.
#include "stadial/arenas/virtual_memory.h"

namespace stadial::arenas {

const char* ToString(MappingNameMethod method) noexcept {
  switch (method) {
    case MappingNameMethod::AnonymousVma:
      return "AnonymousVma";
    case MappingNameMethod::GuardMemfd:
      return "GuardMemfd";
    case MappingNameMethod::None:
      return "None";
  }
  return "Unknown";
}

const char* ToString(HugePages choice) noexcept {
  switch (choice) {
    case HugePages::System:
      return "System";
    case HugePages::Never:
      return "Never";
    case HugePages::Advise:
      return "Advise";
  }
  return "Unknown";
}

}  // namespace stadial::arenas
