// Looks on at a running Stadial program from outside: a line about every so many frames, until it ends.
//
//   sandbox --telemetry --frames 100000 &
//   watch sandbox
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "stadial/runtime/telemetry_reader.h"

using namespace stadial::runtime;

namespace {

constexpr double kUsPerNs = 1e-3;
constexpr unsigned long kFramesPerLine = 60;
constexpr std::chrono::milliseconds kPause{5};

void List() {
  for (const TelemetrySegment& segment : ListTelemetry())
    std::printf("%s, process %llu: %s\n", segment.program.c_str(),
                static_cast<unsigned long long>(segment.pid),
                segment.isAlive ? "running" : "dead, what it left can be removed with --clean");
}

void PrintLine(const TelemetryInfo& info, const TelemetryRecord& record, std::uint64_t worstNs) {
  std::printf(
      "frame %llu: %.1f us, the worst %.1f us; runtime %.2f us; %llu events, %llu hitches;",
      static_cast<unsigned long long>(record.frameIndex), static_cast<double>(record.frameNs) * kUsPerNs,
      static_cast<double>(worstNs) * kUsPerNs, static_cast<double>(record.runtimeNs) * kUsPerNs,
      static_cast<unsigned long long>(record.eventsEmitted), static_cast<unsigned long long>(record.hitches));
  for (std::size_t i = 0; i < info.arenas.size(); ++i) {
    if (record.arenas[i].peakBytes == 0) continue;
    std::printf(" %s %llu KiB", info.arenas[i].name.c_str(),
                static_cast<unsigned long long>(record.arenas[i].peakBytes >> 10));
  }
  std::printf("\n");
  std::fflush(stdout);
}

int Follow(TelemetryReader& reader) {
  std::printf("%s, process %llu\n", reader.Info().program.c_str(),
              static_cast<unsigned long long>(reader.Info().pid));
  TelemetryRecord record;
  std::uint64_t worstNs = 0;
  for (;;) {
    Result<TelemetryNext> next = reader.Next(record);
    if (!next) return std::fprintf(stderr, "watch: %s\n", next.GetError().Message()), 1;
    if (*next == TelemetryNext::Ended) break;
    if (*next == TelemetryNext::None) {
      std::this_thread::sleep_for(kPause);
      continue;
    }
    worstNs = std::max(worstNs, record.frameNs);
    if (record.frameIndex % kFramesPerLine == 0) PrintLine(reader.Info(), record, worstNs);
  }
  std::printf("ended after %llu frames: %llu seen, %llu missed\n",
              static_cast<unsigned long long>(reader.SeenCount() + reader.Missed()),
              static_cast<unsigned long long>(reader.SeenCount()),
              static_cast<unsigned long long>(reader.Missed()));
  return 0;
}

}  // namespace

int main(int argumentCount, char** arguments) {
  const char* const what = argumentCount > 1 ? arguments[1] : "";
  if (std::strcmp(what, "--help") == 0)
    return std::puts("usage: watch [PROGRAM | PROCESS | --list | --clean]"), 0;
  if (std::strcmp(what, "--list") == 0) return List(), 0;
  if (std::strcmp(what, "--clean") == 0) return std::printf("%zu removed\n", RemoveStaleTelemetry()), 0;
  char* end = nullptr;
  const unsigned long long pid = std::strtoull(what, &end, 10);
  const bool isPid = end != what && *end == '\0';
  Result<TelemetryReader> reader =
      TelemetryReader::Open(isPid ? TelemetrySelector{.pid = pid} : TelemetrySelector{.program = what});
  if (!reader) return std::fprintf(stderr, "watch: %s\n", reader.GetError().Message()), 1;
  return Follow(*reader);
}
