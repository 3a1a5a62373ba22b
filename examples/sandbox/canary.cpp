#include "canary.h"

#ifdef STADIAL_SANDBOX_CANARY

#include <cstdlib>
#include <string>

#include "parse_text.h"

namespace stadial::sandbox {
namespace {

std::string canaryText = "alloc@100";
std::uint64_t canaryFrame = 100;

}  // namespace

std::string* CanaryText() noexcept { return &canaryText; }

arenas::Result<void> CheckCanary() {
  constexpr std::string_view kPrefix = "alloc@";
  if (!canaryText.starts_with(kPrefix)) {
    return arenas::Error::Format(arenas::ErrorCode::InvalidArgument,
                                 "--canary: '%s' is no canary; write alloc@FRAME, as in alloc@100",
                                 canaryText.c_str());
  }
  STADIAL_ASSIGN_OR_RETURN(canaryFrame,
                           ParseUnsigned("--canary", std::string_view(canaryText).substr(kPrefix.size()), 0,
                                         kFramesMax - 1, "as the frame's number"));
  return {};
}

// Not inlined, so that the compiler cannot drop the pair; not static, so that the gate's report can name it.
[[gnu::noinline]] void AllocateOnPurpose() noexcept;
void AllocateOnPurpose() noexcept {
  void* volatile block = std::malloc(48);
  std::free(block);
}

void VisitCanary(std::uint64_t frameIndex) noexcept {
  if (frameIndex == canaryFrame)
    STADIAL_EFFECTS_REVIEWED("planted: the other layers of the gate must catch it", AllocateOnPurpose());
}

}  // namespace stadial::sandbox

#else

namespace stadial::sandbox {

std::string* CanaryText() noexcept { return nullptr; }
arenas::Result<void> CheckCanary() { return {}; }
void VisitCanary(std::uint64_t) noexcept {}

}  // namespace stadial::sandbox

#endif
