#include "progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "stadial/runtime/clock.h"

namespace stadial::sandbox {
namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr std::uint64_t kDrawIntervalNs = kNsPerSecond / 10;
constexpr std::uint64_t kBarCells = 30;

void WriteAll(const char* text, std::size_t bytes) noexcept {
  while (bytes > 0) {
    const ssize_t written = ::write(STDERR_FILENO, text, bytes);
    if (written <= 0) return;
    text += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

}  // namespace

ProgressBar::ProgressBar(std::uint64_t frames, bool isTerminal) noexcept
    : frames_(frames), startNs_(runtime::NowNs()), isTerminal_(isTerminal) {}

void ProgressBar::Update(std::uint64_t framesDone) noexcept {
  if (!isTerminal_) return;
  const std::uint64_t nowNs = runtime::NowNs();
  if (nowNs - lastDrawNs_ < kDrawIntervalNs && framesDone != frames_) return;
  lastDrawNs_ = nowNs;
  Draw(framesDone, nowNs);
}

void ProgressBar::Draw(std::uint64_t framesDone, std::uint64_t nowNs) noexcept {
  char bar[kBarCells + 1];
  const std::uint64_t filled = framesDone * kBarCells / frames_;
  for (std::uint64_t i = 0; i < kBarCells; ++i) bar[i] = i < filled ? '#' : '.';
  bar[kBarCells] = '\0';
  const std::uint64_t elapsedMs = std::max<std::uint64_t>((nowNs - startNs_) / (kNsPerSecond / 1000), 1);
  const std::uint64_t tenthsPerSecond = framesDone * 10'000 / elapsedMs;
  const std::uint64_t secondsLeft =
      framesDone == 0 ? 0 : elapsedMs * (frames_ - framesDone) / framesDone / 1000;
  char line[160];
  const int length = std::snprintf(
      line, sizeof line,
      "\r[%s] frame %" PRIu64 "/%" PRIu64 ", %" PRIu64 ".%" PRIu64 " a second, %" PRIu64 " s left \x1b[K",
      bar, framesDone, frames_, tenthsPerSecond / 10, tenthsPerSecond % 10, secondsLeft);
  WriteAll(line, std::min(static_cast<std::size_t>(length), sizeof line - 1));
  isDrawn_ = true;
}

void ProgressBar::Clear() noexcept {
  if (!isDrawn_) return;
  constexpr char kClear[] = "\r\x1b[K";
  WriteAll(kClear, sizeof kClear - 1);
  isDrawn_ = false;
}

}  // namespace stadial::sandbox
