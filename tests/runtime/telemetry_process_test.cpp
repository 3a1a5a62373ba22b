// Two processes: telemetry_publisher runs frames, this one looks on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

#include "stadial/runtime/telemetry_reader.h"
#include "test_support.h"

extern char** environ;

namespace stadial::runtime {
namespace {

using ::testing::HasSubstr;

class Publisher {
 public:
  Publisher(const std::string& name, std::uint64_t frames, const char* ending) : name_(name) {
    std::string program = STADIAL_TELEMETRY_PUBLISHER;
    std::string count = std::to_string(frames);
    std::string end = ending;
    char* const arguments[] = {program.data(), name_.data(), count.data(), end.data(), nullptr};
    if (::posix_spawn(&pid_, program.c_str(), nullptr, nullptr, arguments, environ) != 0) isRunning_ = false;
    EXPECT_TRUE(isRunning_) << program << " could not be started";
  }
  ~Publisher() { Kill(); }
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  std::uint64_t Pid() const { return static_cast<std::uint64_t>(pid_); }
  std::string Segment() const { return "stadial." + std::to_string(pid_) + "." + name_; }
  // Until it is there: the process has to start and to seal its Setup.
  TelemetryReader Reader() const {
    for (;;) {
      Result<TelemetryReader> reader = TelemetryReader::OpenSegment(Segment().c_str());
      if (reader) return std::move(reader).Value();
      EXPECT_TRUE(reader.GetError().Code() == ErrorCode::NotFound ||
                  reader.GetError().Code() == ErrorCode::WrongPhase)
          << reader.GetError().Message();
      std::this_thread::yield();
    }
  }
  int Wait() {
    int status = 0;
    if (isRunning_) ::waitpid(pid_, &status, 0);
    isRunning_ = false;
    return status;
  }
  void Kill() {
    if (!isRunning_) return;
    ::kill(pid_, SIGKILL);
    Wait();
  }

 private:
  std::string name_;
  pid_t pid_ = -1;
  bool isRunning_ = true;
};

// By appending: g++ 12 warns of a sum that begins with a literal.
std::string ShmPath(const std::string& segment) { return std::string("/").append(segment); }

bool IsListed(const std::string& segment, bool isAlive) {
  const std::vector<TelemetrySegment> all = ListTelemetry();
  return std::ranges::any_of(
      all, [&](const TelemetrySegment& one) { return one.name == segment && one.isAlive == isAlive; });
}

// Follows to the end; every record must be whole and the next one.
std::uint64_t Follow(TelemetryReader& reader) {
  TelemetryRecord record;
  std::uint64_t expected = ~std::uint64_t{0};
  for (;;) {
    Result<TelemetryNext> next = reader.Next(record);
    if (!next) {
      ADD_FAILURE() << next.GetError().Message();
      return reader.SeenCount();
    }
    if (*next == TelemetryNext::Ended) return reader.SeenCount();
    if (*next == TelemetryNext::None) {
      std::this_thread::yield();
      continue;
    }
    if (expected != ~std::uint64_t{0} && reader.Missed() == 0) {
      EXPECT_EQ(record.frameIndex, expected);
    }
    expected = record.frameIndex + 1;
    EXPECT_GE(record.frameNs, record.runtimeNs);
    const std::uint64_t slotArena = 3 + record.slot;  // after setup and two halves
    EXPECT_GE(record.arenas[slotArena].usedBytes, 16 * (1 + record.frameIndex % 8));
    EXPECT_EQ(record.framesSteady, record.frameIndex + 1);
  }
}

TEST(TelemetryProcess, AnotherProcessFollowsToTheEnd) {
  constexpr std::uint64_t kFrames = 2'000;
  Publisher publisher("follow", kFrames, "end");
  TelemetryReader reader = publisher.Reader();
  EXPECT_EQ(reader.Info().program, "follow");
  EXPECT_EQ(reader.Info().pid, publisher.Pid());
  EXPECT_EQ(Follow(reader) + reader.Missed(), kFrames);
  EXPECT_EQ(reader.Missed(), 0u) << "the ring holds more frames than the program runs";
  EXPECT_EQ(publisher.Wait(), 0);
  EXPECT_FALSE(IsListed(publisher.Segment(), false))
      << "a program that ends in order takes its segment along";
}

TEST(TelemetryProcess, TheReaderSurvivesTheWritersDeathAndTheRestIsFoundAndRemoved) {
  constexpr std::uint64_t kFrames = 500;
  Publisher publisher("death", kFrames, "die");
  TelemetryReader reader = publisher.Reader();
  EXPECT_EQ(Follow(reader), kFrames) << "every record that was complete, then the end";
  const std::string segment = publisher.Segment();
  EXPECT_EQ(WTERMSIG(publisher.Wait()), SIGKILL);
  EXPECT_FALSE(reader.IsWriterAlive());
  EXPECT_TRUE(IsListed(segment, false));

  Result<TelemetryReader> later = TelemetryReader::OpenSegment(segment.c_str());
  ASSERT_TRUE(later) << "what it left can still be read";
  EXPECT_EQ(Follow(*later), kFrames);
  Publisher living("living", 1, "stay");
  const TelemetryReader wait = living.Reader();
  EXPECT_GE(RemoveStaleTelemetry(), 1u);
  EXPECT_FALSE(IsListed(segment, false));
  EXPECT_TRUE(IsListed(living.Segment(), true)) << "a living program's segment stays";
  EXPECT_EQ(TelemetryReader::OpenSegment(segment.c_str()).GetError().Code(), ErrorCode::NotFound);
  living.Kill();
  ::shm_unlink(ShmPath(living.Segment()).c_str());
}

TEST(TelemetryProcess, ProgramsAreFoundByNameAndProcess) {
  Publisher one("twin", 1, "stay");
  Publisher two("twin", 1, "stay");
  static_cast<void>(one.Reader());
  static_cast<void>(two.Reader());
  const Result<TelemetryReader> ambiguous = TelemetryReader::Open({.program = "twin"});
  ASSERT_FALSE(ambiguous);
  EXPECT_EQ(ambiguous.GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_THAT(ambiguous.GetError().Message(), HasSubstr("twin (" + std::to_string(two.Pid()) + ")"));
  Result<TelemetryReader> chosen = TelemetryReader::Open({.program = "twin", .pid = two.Pid()});
  ASSERT_TRUE(chosen) << chosen.GetError().Message();
  EXPECT_EQ(chosen->Info().pid, two.Pid());
  one.Kill();
  ::shm_unlink(ShmPath(one.Segment()).c_str());
  EXPECT_TRUE(TelemetryReader::Open({.program = "twin"})) << "only one of them lives";
  const Result<TelemetryReader> none = TelemetryReader::Open({.program = "no such program"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.GetError().Code(), ErrorCode::NotFound);
  EXPECT_THAT(none.GetError().Message(), HasSubstr("no such program"));
  two.Kill();
  ::shm_unlink(ShmPath(two.Segment()).c_str());
}

}  // namespace
}  // namespace stadial::runtime
