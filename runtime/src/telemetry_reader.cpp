#include "stadial/runtime/telemetry_reader.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <span>

#include "stadial/runtime/telemetry.h"
#include "stadial/runtime/telemetry_ring.h"
#include "telemetry_segment.h"

namespace stadial::runtime {
namespace {

using Slot = TelemetrySlotOf<kTelemetryRecordWords>;

// Times that a record may be overwritten under the reader's hands in one call, before it lets the caller
// breathe.
constexpr int kOvertakenMax = 64;

// Whatever bytes stand there: zero-terminated, and nothing that a terminal would obey.
std::string TextOf(const char* text, std::size_t bytesMax) {
  std::string copy(text, ::strnlen(text, bytesMax));
  for (char& character : copy) {
    if (character < ' ' || character > '~') character = '?';
  }
  return copy;
}

// "stadial.4711.sandbox"; false for other names.
bool ParseSegmentName(std::string_view name, TelemetrySegment& segment) {
  if (!name.starts_with(detail::kTelemetryPrefix)) return false;
  const std::string_view rest = name.substr(detail::kTelemetryPrefix.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), segment.pid);
  if (error != std::errc() || end == rest.data() + rest.size() || *end != '.') return false;
  segment.name = name;
  segment.program = std::string(end + 1, rest.data() + rest.size());
  return true;
}

// Is it a file that this user may trust to be a segment of his own?
bool IsOwnFile(const struct stat& status) noexcept {
  return S_ISREG(status.st_mode) && (status.st_uid == ::geteuid() || ::geteuid() == 0);
}

std::string Describe(const std::vector<TelemetrySegment>& segments) {
  std::string text;
  for (const TelemetrySegment& segment : segments) {
    if (!segment.isAlive) continue;
    text += (text.empty() ? "" : ", ") + segment.program + " (" + std::to_string(segment.pid) + ")";
  }
  return text.empty() ? "none" : text;
}

}  // namespace

const char* ToString(TelemetryUnit unit) noexcept {
  switch (unit) {
    case TelemetryUnit::Count:
      return "count";
    case TelemetryUnit::Bytes:
      return "bytes";
    case TelemetryUnit::Nanoseconds:
      return "ns";
  }
  return "unknown";
}

std::vector<TelemetrySegment> ListTelemetry() {
  std::vector<TelemetrySegment> found;
  DIR* const folder = ::opendir(detail::kTelemetryFolder);
  if (folder == nullptr) return found;
  while (const dirent* const entry = ::readdir(folder)) {
    TelemetrySegment segment;
    if (!ParseSegmentName(entry->d_name, segment)) continue;
    const detail::TelemetryFile file(detail::OpenTelemetryFile(entry->d_name, false));
    struct stat status {};
    if (file.Get() < 0 || ::fstat(file.Get(), &status) != 0 || !IsOwnFile(status)) continue;
    segment.isAlive = detail::IsTelemetryLocked(file.Get());
    found.push_back(std::move(segment));
  }
  ::closedir(folder);
  std::ranges::sort(found, {}, &TelemetrySegment::name);
  return found;
}

std::size_t RemoveStaleTelemetry() {
  std::size_t removed = 0;
  for (const TelemetrySegment& segment : ListTelemetry()) {
    if (segment.isAlive) continue;
    // Locked while it is removed, so that no program of that number can be about to take it for its own.
    const detail::TelemetryFile file(detail::OpenTelemetryFile(segment.name.c_str(), true));
    if (file.Get() < 0 || !detail::TryLockTelemetry(file.Get())) continue;
    if (::shm_unlink(std::string("/").append(segment.name).c_str()) == 0) ++removed;
  }
  return removed;
}

Result<TelemetryReader> TelemetryReader::Open(const TelemetrySelector& which) {
  const std::vector<TelemetrySegment> all = ListTelemetry();
  const TelemetrySegment* chosen = nullptr;
  for (const TelemetrySegment& segment : all) {
    const bool fits = segment.isAlive && (which.pid == 0 || segment.pid == which.pid) &&
                      (which.program.empty() || segment.program == which.program);
    if (!fits) continue;
    if (chosen != nullptr) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "several programs publish telemetry; name one, or its process: %.300s",
                           Describe(all).c_str());
    }
    chosen = &segment;
  }
  if (chosen == nullptr) {
    return Error::Format(
        ErrorCode::NotFound,
        "no running program '%.*s' with process %llu (0: any) publishes telemetry (start it with "
        "TelemetryOptions::publish); there are: %.200s",
        static_cast<int>(std::min<std::size_t>(which.program.size(), 64)), which.program.data(),
        static_cast<unsigned long long>(which.pid), Describe(all).c_str());
  }
  return OpenSegment(chosen->name.c_str());
}

Result<TelemetryReader> TelemetryReader::OpenSegment(const char* segmentName) {
  const int file = detail::OpenTelemetryFile(segmentName, false);
  if (file < 0) {
    return Error::Format(errno == ENOENT ? ErrorCode::NotFound : ErrorCode::Io, "telemetry '%.200s': %s",
                         segmentName, std::strerror(errno));
  }
  return OpenFile(file, segmentName);
}

Result<TelemetryReader> TelemetryReader::OpenFile(int file, const char* label) {
  TelemetryReader reader;
  reader.file_ = file;
  reader.label_ = TextOf(label, 200);
  STADIAL_RETURN_IF_ERROR(reader.Map());
  STADIAL_RETURN_IF_ERROR(reader.ReadHeader());
  return reader;
}

TelemetryReader::~TelemetryReader() {
  if (memory_ != nullptr) ::munmap(const_cast<std::byte*>(memory_), bytes_);
  if (file_ >= 0) ::close(file_);
}

TelemetryReader::TelemetryReader(TelemetryReader&& other) noexcept
    : info_(std::move(other.info_)),
      label_(std::move(other.label_)),
      file_(std::exchange(other.file_, -1)),
      memory_(std::exchange(other.memory_, nullptr)),
      bytes_(other.bytes_),
      next_(other.next_),
      missed_(other.missed_),
      seen_(other.seen_) {}

Error TelemetryReader::Corrupt(const char* what) const noexcept {
  return Error::Format(ErrorCode::CorruptData, "telemetry '%s': %s", label_.c_str(), what);
}

Error TelemetryReader::NotReady() const noexcept {
  return Error::Format(ErrorCode::WrongPhase, "telemetry '%s': its program has not sealed its Setup %s",
                       label_.c_str(), IsWriterAlive() ? "yet; try again" : "and is gone");
}

Result<void> TelemetryReader::Map() noexcept {
  struct stat status {};
  if (::fstat(file_, &status) != 0) return Corrupt(std::strerror(errno));
  if (!IsOwnFile(status)) return Corrupt("it is no file of this user's");
  // It gets its whole size at once, a moment after it was created.
  if (status.st_size == 0) return NotReady();
  if (status.st_size < static_cast<off_t>(kTelemetryHeaderBytes)) return Corrupt("too short for a header");
  bytes_ = static_cast<std::size_t>(status.st_size);
  if (bytes_ > detail::TelemetryBytes(kTelemetryRecordsLimit)) return Corrupt("too long");
  void* const memory = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file_, 0);
  if (memory == MAP_FAILED) {
    bytes_ = 0;
    return Error::Format(ErrorCode::Io, "telemetry '%s': cannot be mapped: %s", label_.c_str(),
                         std::strerror(errno));
  }
  memory_ = static_cast<const std::byte*>(memory);
  return {};
}

Result<void> TelemetryReader::ReadHeader() {
  const auto& header = *reinterpret_cast<const TelemetryHeader*>(memory_);
  const std::uint64_t ready = header.ready.load(std::memory_order_acquire);
  if (ready == 0) return NotReady();
  if (ready != kTelemetryMagic) return Corrupt("no telemetry segment: wrong magic");
  // A copy that nobody can change between its check and its use.
  const TelemetryDescription said = header.description;
  asm volatile("" ::: "memory");
  STADIAL_RETURN_IF_ERROR(Check(said));

  info_.recordCount = said.recordCount;
  info_.program = TextOf(said.program, sizeof said.program);
  info_.pid = said.pid;
  info_.startNs = said.startNs;
  info_.startUnixNs = said.startUnixNs;
  info_.framesInFlight = said.framesInFlight;
  info_.warmupFrames = said.warmupFrames;
  info_.pacingPeriodNs = said.pacingPeriodNs;
  info_.pacingCeilingNs = said.pacingCeilingNs;
  info_.gateState = static_cast<GateState>(said.gateState);
  info_.gatePolicy = static_cast<GatePolicy>(said.gatePolicy);
  for (const TelemetryArenaName& named : std::span(said.arenas).first(said.arenaCount))
    info_.arenas.push_back({TextOf(named.name, sizeof named.name), named.capacityBytes});
  for (const TelemetrySiteName& named : std::span(said.sites).first(said.siteCount))
    info_.sites.push_back({TextOf(named.name, sizeof named.name), named.budgetBytes});
  for (const TelemetryGaugeName& named : std::span(said.gauges).first(said.gaugeCount))
    info_.gauges.push_back(
        {TextOf(named.name, sizeof named.name), static_cast<TelemetryUnit>(named.unit), named.limit});
  const std::uint64_t published = header.published.load(std::memory_order_acquire);
  next_ = published > said.recordCount ? published - said.recordCount : 0;
  return {};
}

Result<void> TelemetryReader::Check(const TelemetryDescription& said) const noexcept {
  if (said.version != kTelemetryVersion) {
    return Error::Format(ErrorCode::NotSupported,
                         "telemetry '%s': version %llu; this program reads version %llu", label_.c_str(),
                         static_cast<unsigned long long>(said.version),
                         static_cast<unsigned long long>(kTelemetryVersion));
  }
  if (said.headerBytes != kTelemetryHeaderBytes || said.recordBytes != sizeof(Slot))
    return Corrupt("sizes of header or record that are not this version's");
  if (!std::has_single_bit(said.recordCount) || said.recordCount < kTelemetryRecordsMin ||
      said.recordCount > kTelemetryRecordsLimit)
    return Corrupt("an impossible number of records");
  if (said.totalBytes != detail::TelemetryBytes(said.recordCount) || said.totalBytes != bytes_)
    return Corrupt("cut off, or longer than its records");
  if (said.arenaCount > kTelemetryArenasMax || said.siteCount > kTelemetrySitesMax ||
      said.gaugeCount > kTelemetryGaugesMax)
    return Corrupt("more arenas, sites or gauges than there can be");
  if (said.gateState > static_cast<std::uint64_t>(GateState::Armed) ||
      said.gatePolicy > static_cast<std::uint64_t>(GatePolicy::Trap))
    return Corrupt("a gate of an unknown state or policy");
  for (const TelemetryGaugeName& named : std::span(said.gauges).first(said.gaugeCount)) {
    if (named.unit >= kTelemetryUnitCount) return Corrupt("a gauge of an unknown unit");
  }
  return {};
}

bool TelemetryReader::IsWriterAlive() const noexcept { return detail::IsTelemetryLocked(file_); }

// Closed in order, or dead.
bool TelemetryReader::IsOver() const noexcept {
  const auto& header = *reinterpret_cast<const TelemetryHeader*>(memory_);
  return header.closed.load(std::memory_order_acquire) != 0 || !IsWriterAlive();
}

Result<void> TelemetryReader::CheckSize() const noexcept {
  struct stat status {};
  if (::fstat(file_, &status) != 0 || status.st_size < static_cast<off_t>(bytes_))
    return Corrupt("cut off since it was opened");
  return {};
}

Result<TelemetryNext> TelemetryReader::Next(TelemetryRecord& record) noexcept {
  STADIAL_RETURN_IF_ERROR(CheckSize());
  const auto& header = *reinterpret_cast<const TelemetryHeader*>(memory_);
  const auto* const slots = reinterpret_cast<const Slot*>(memory_ + kTelemetryHeaderBytes);
  const std::uint64_t count = info_.recordCount;
  for (int overtaken = 0; overtaken < kOvertakenMax; ++overtaken) {
    std::uint64_t published = header.published.load(std::memory_order_acquire);
    if (published == next_) {
      if (!IsOver()) return TelemetryNext::None;
      // What came between the look at the counter and the end.
      published = header.published.load(std::memory_order_acquire);
      if (published == next_) return TelemetryNext::Ended;
    }
    if (published < next_) return Corrupt("its records went backwards");
    if (published - next_ > count) {
      // Far behind: not to the very last one that is left, which goes next.
      const std::uint64_t from = published - count + count / 8;
      missed_ += from - next_;
      next_ = from;
    }
    const TelemetrySlotRead read = ReadTelemetrySlot(TelemetryMemory{}, slots[next_ & (count - 1)], next_,
                                                     reinterpret_cast<std::uint64_t*>(&record));
    if (read == TelemetrySlotRead::NotYet) return Corrupt("a record that was announced is not there");
    ++next_;
    if (read == TelemetrySlotRead::Whole) {
      ++seen_;
      return TelemetryNext::Record;
    }
    ++missed_;
  }
  return TelemetryNext::None;
}

Result<TelemetryNext> TelemetryReader::Latest(TelemetryRecord& record) noexcept {
  STADIAL_RETURN_IF_ERROR(CheckSize());
  const auto& header = *reinterpret_cast<const TelemetryHeader*>(memory_);
  const std::uint64_t published = header.published.load(std::memory_order_acquire);
  if (published > next_) next_ = published - 1;
  return Next(record);
}

}  // namespace stadial::runtime
