#include "stadial/arenas/scratch.h"

#include "abort_line.h"
#include "stadial/arenas/byte_text.h"

namespace stadial::arenas {

constinit thread_local ScratchArenas* ScratchBinding::current_ = nullptr;

Result<ScratchArenas> ScratchArenas::Carve(std::byte* base, std::size_t bytes, const ScratchOptions& options,
                                           std::source_location site) {
  static constexpr const char* kNames[kCount] = {"scratch 0", "scratch 1"};
  const std::size_t bytesEach = bytes / kCount & ~(kArenaGranularityBytes - 1);
  if (base == nullptr || bytesEach < kArenaGranularityBytes) {
    return Error::Format(
        ErrorCode::InvalidArgument, "%s arenas: %s for %zu arenas is less than %zu B each; give more bytes",
        options.kind, FormatBytes(base == nullptr ? 0 : bytes).Get(), kCount, kArenaGranularityBytes);
  }
  ScratchArenas made;
  for (std::size_t index = 0; index < kCount; ++index) {
    made.arenas_[index] = Arena({.name = kNames[index], .kind = options.kind, .remedy = options.remedy},
                                base + bytesEach * index, bytesEach, site);
  }
  return made;
}

void ScratchArenas::NoneLeft() const noexcept {
  AbortWithLine(
      "stadial: both scratch arenas of this thread are named as conflicts ('%s' with %s used, '%s' with %s "
      "used); "
      "let the function return its results into one arena only [created at %s:%u]",
      arenas_[0].Name(), FormatBytes(arenas_[0].UsedBytes()).Get(), arenas_[1].Name(),
      FormatBytes(arenas_[1].UsedBytes()).Get(), arenas_[0].Site().file_name(),
      static_cast<unsigned>(arenas_[0].Site().line()));
}

void Scratch::NoneBound(const std::source_location& site) noexcept {
  AbortWithLine(
      "stadial: a scratch was opened at %s:%u on a thread without scratch arenas; keep a ScratchBinding "
      "alive in it, "
      "or pass the ScratchArenas",
      site.file_name(), static_cast<unsigned>(site.line()));
}

}  // namespace stadial::arenas
