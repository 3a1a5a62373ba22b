#include "trace_file.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>
#include <random>
#include <unordered_map>
#include <utility>

namespace stadial::bench {
namespace {

constexpr std::uint64_t kLongLivedOverhead = 64;

std::uint64_t Rounded(std::uint64_t bytes) { return (bytes + 15) & ~std::uint64_t{15}; }

// One pass that follows every block from its birth, however often it moves, to its end.
class TraceBuilder {
 public:
  void Add(const TraceEvent& event) {
    switch (event.op) {
      case TraceOp::Allocate:
        Begin(event);
        break;
      case TraceOp::Free:
        if (const auto found = live_.find(event.oldAddress); found != live_.end()) End(found);
        break;
      case TraceOp::Reallocate:
        Change(event);
        break;
      case TraceOp::Frame:
        trace_.steps.push_back({.op = TraceOp::Frame});
        blocksOfSteps_.push_back(kNoBlock);
        ++trace_.frames;
        break;
    }
  }

  ReplayTrace Finish() && {
    while (!live_.empty()) End(live_.begin());
    // A last mark, so that the last frame is reset too.
    Add({.address = 0,
         .oldAddress = 0,
         .sizeBytes = 0,
         .thread = 0,
         .op = TraceOp::Frame,
         .alignmentLog2 = 0,
         .reserved = 0});
    trace_.slots = slots_;
    for (std::size_t index = 0; index < trace_.steps.size(); ++index) {
      if (blocksOfSteps_[index] != kNoBlock)
        trace_.steps[index].isOfFrame = isOfFrame_[blocksOfSteps_[index]];
    }
    Measure();
    return std::move(trace_);
  }

 private:
  static constexpr std::uint32_t kNoBlock = std::numeric_limits<std::uint32_t>::max();
  struct Live {
    std::uint32_t slot;
    std::uint32_t block;  // counted over the whole trace
    std::uint32_t bytes;
    std::uint8_t alignmentLog2;
    std::uint64_t bornInFrame;
  };
  using LiveMap = std::unordered_map<std::uint64_t, Live>;

  static std::uint32_t SizeOf(const TraceEvent& event) {
    if (event.sizeBytes > std::numeric_limits<std::uint32_t>::max()) {
      std::fprintf(stderr, "a trace asks for %llu B at once: more than a replay can hold\n",
                   static_cast<unsigned long long>(event.sizeBytes));
      std::abort();
    }
    return static_cast<std::uint32_t>(event.sizeBytes);
  }

  void Push(const Live& live, ReplayStep step) {
    step.slot = live.slot;
    step.alignmentLog2 = live.alignmentLog2;
    trace_.steps.push_back(step);
    blocksOfSteps_.push_back(live.block);
  }

  void Begin(const TraceEvent& event) {
    // An address that is given out again was given back in a way that nobody saw.
    if (const auto found = live_.find(event.address); found != live_.end()) End(found);
    Live live{.slot = slots_,
              .block = static_cast<std::uint32_t>(isOfFrame_.size()),
              .bytes = SizeOf(event),
              .alignmentLog2 = event.alignmentLog2,
              .bornInFrame = trace_.frames};
    if (freeSlots_.empty()) {
      ++slots_;
    } else {
      live.slot = freeSlots_.back();
      freeSlots_.pop_back();
    }
    isOfFrame_.push_back(false);
    live_.emplace(event.address, live);
    Push(live, {.bytes = live.bytes, .op = TraceOp::Allocate});
  }

  void Change(const TraceEvent& event) {
    const auto found = live_.find(event.oldAddress);
    if (found == live_.end()) {
      Begin(event);
      return;
    }
    Live live = found->second;
    live_.erase(found);
    if (const auto taken = live_.find(event.address); taken != live_.end()) End(taken);
    const std::uint32_t oldBytes = std::exchange(live.bytes, SizeOf(event));
    live_.emplace(event.address, live);
    Push(live, {.bytes = live.bytes, .oldBytes = oldBytes, .op = TraceOp::Reallocate});
  }

  void End(LiveMap::iterator found) {
    const Live live = found->second;
    live_.erase(found);
    isOfFrame_[live.block] = live.bornInFrame == trace_.frames;
    freeSlots_.push_back(live.slot);
    Push(live, {.oldBytes = live.bytes, .op = TraceOp::Free});
  }

  void Measure() {
    std::uint64_t liveBytes = 0;
    std::uint64_t longLived = 0;
    std::uint64_t ofFrame = 0;
    for (const ReplayStep& step : trace_.steps) {
      if (step.op == TraceOp::Frame) {
        ofFrame = 0;
        continue;
      }
      ++trace_.operations;
      trace_.operationsOfFrames += step.isOfFrame;
      const bool begins = step.op != TraceOp::Free;
      const std::uint64_t rounded = Rounded(step.bytes) + (std::uint64_t{1} << step.alignmentLog2);
      liveBytes += begins ? step.bytes : 0;
      if (step.isOfFrame) {
        ofFrame += begins ? rounded : 0;
      } else {
        longLived += begins ? rounded + kLongLivedOverhead : 0;
      }
      // A block that moves is there twice for a moment.
      trace_.liveBytesMax = std::max(trace_.liveBytesMax, liveBytes);
      trace_.frameArenaBytesMax = std::max(trace_.frameArenaBytesMax, ofFrame);
      trace_.longLivedRoundedMax = std::max(trace_.longLivedRoundedMax, longLived);
      if (step.op == TraceOp::Allocate) continue;
      liveBytes -= step.oldBytes;
      if (!step.isOfFrame) {
        longLived -= Rounded(step.oldBytes) + (std::uint64_t{1} << step.alignmentLog2) + kLongLivedOverhead;
      }
    }
  }

  ReplayTrace trace_;
  std::vector<std::uint32_t> blocksOfSteps_;
  std::vector<bool> isOfFrame_;
  std::vector<std::uint32_t> freeSlots_;
  LiveMap live_;
  std::uint32_t slots_ = 0;
};

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

ReplayTrace MakeReplayTrace(std::span<const TraceEvent> events) {
  TraceBuilder builder;
  for (const TraceEvent& event : events) builder.Add(event);
  return std::move(builder).Finish();
}

std::optional<std::vector<TraceEvent>> ReadTrace(const std::string& path, std::string& why) {
  const std::unique_ptr<std::FILE, FileCloser> file(std::fopen(path.c_str(), "rb"));
  TraceHeader header{};
  if (file == nullptr || std::fread(&header, sizeof header, 1, file.get()) != 1) {
    why = path + ": cannot be read, or is shorter than a trace's header";
    return std::nullopt;
  }
  if (header.magic != kTraceMagic || header.version != kTraceVersion ||
      header.eventBytes != sizeof(TraceEvent)) {
    why = path + ": is no trace of this version (" + std::to_string(kTraceVersion) + "); record it again";
    return std::nullopt;
  }
  std::error_code error;
  const std::uintmax_t fileBytes = std::filesystem::file_size(path, error);
  if (error || header.eventCount > (fileBytes - sizeof header) / sizeof(TraceEvent)) {
    why = path + ": is shorter than the " + std::to_string(header.eventCount) + " events it announces";
    return std::nullopt;
  }
  std::vector<TraceEvent> events(header.eventCount);
  if (std::fread(events.data(), sizeof(TraceEvent), events.size(), file.get()) != events.size()) {
    why = path + ": cannot be read to its end";
    return std::nullopt;
  }
  for (const TraceEvent& event : events) {
    if (event.op < TraceOp::Allocate || event.op > TraceOp::Frame || event.alignmentLog2 > 30) {
      why = path + ": holds an event of no known kind";
      return std::nullopt;
    }
  }
  return events;
}

std::vector<TraceEvent> MakeSyntheticEvents() {
  constexpr std::size_t kFrames = 64;
  constexpr std::size_t kBlocksPerFrame = 1'000;
  std::mt19937_64 random(7);
  std::vector<TraceEvent> events;
  std::uint64_t nextAddress = 1 << 20;
  std::vector<std::uint64_t> kept;
  const auto add = [&](TraceOp op, std::uint64_t address, std::uint64_t oldAddress, std::uint64_t bytes) {
    events.push_back({.address = address,
                      .oldAddress = oldAddress,
                      .sizeBytes = bytes,
                      .thread = 0,
                      .op = op,
                      .alignmentLog2 = 4,
                      .reserved = 0});
  };
  const auto freshAddress = [&] { return nextAddress += 64; };
  for (std::size_t frame = 0; frame < kFrames; ++frame) {
    std::vector<std::uint64_t> ofFrame;
    for (std::size_t index = 0; index < kBlocksPerFrame; ++index) {
      const std::uint64_t bytes = 16 + random() % 240;
      std::uint64_t block = freshAddress();
      add(TraceOp::Allocate, block, 0, bytes);
      if (random() % 8 == 0) {
        const std::uint64_t moved = freshAddress();
        add(TraceOp::Reallocate, moved, block, 2 * bytes);
        block = moved;
      }
      (random() % 10 == 0 ? kept : ofFrame).push_back(block);
    }
    for (const std::uint64_t block : ofFrame) add(TraceOp::Free, 0, block, 0);
    // What lives longer goes in no order.
    for (std::size_t count = kept.size() / 4; count != 0; --count) {
      std::swap(kept[random() % kept.size()], kept.back());
      add(TraceOp::Free, 0, kept.back(), 0);
      kept.pop_back();
    }
    add(TraceOp::Frame, 0, 0, 0);
  }
  return events;
}

std::vector<NamedTrace> LoadTraces() {
  std::vector<NamedTrace> traces;
  traces.push_back({"synthetic", MakeReplayTrace(MakeSyntheticEvents())});
  const char* const folder = std::getenv("STADIAL_BENCH_TRACES");
  if (folder == nullptr || *folder == '\0') return traces;
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".trace") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const std::filesystem::path& path : paths) {
    std::string why;
    const std::optional<std::vector<TraceEvent>> events = ReadTrace(path.string(), why);
    if (!events) {
      std::fprintf(stderr, "%s\n", why.c_str());
      std::abort();
    }
    traces.push_back({path.stem().string(), MakeReplayTrace(*events)});
  }
  return traces;
}

}  // namespace stadial::bench
