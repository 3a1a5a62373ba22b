// Sizing profiles as files. Read by events (SAX), not as a document: whatever a file claims, memory follows
// what has been accepted so far, and the first thing out of place ends the reading.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "stadial/runtime/sizing_profile.h"

namespace stadial::runtime {
namespace {

constexpr const char* kFormat = "stadial-sizing-profile";
constexpr std::uint64_t kVersion = 1;

struct FileClose {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
using FilePtr = std::unique_ptr<std::FILE, FileClose>;

Error IoError(const char* what, const std::string& path) noexcept {
  return Error::Format(ErrorCode::Io, "sizing profile '%.300s': %s: %s", path.c_str(), what,
                       std::strerror(errno));
}

}  // namespace

// The handler that nlohmann's parser calls. A false ends the parsing; `problem` says why.
class SizingReader {
 public:
  explicit SizingReader(SizingProfile& profile) noexcept : profile_(profile) {}

  // NOLINTBEGIN(readability-identifier-naming): the parser's names
  bool null() { return Unexpected("null"); }
  bool boolean(bool) { return Unexpected("a truth value"); }
  bool number_integer(std::int64_t) { return Unexpected("a negative number"); }
  bool number_float(double, const std::string& text) { return Unexpected(text.c_str()); }
  bool binary(std::vector<std::uint8_t>&) { return Unexpected("binary data"); }
  bool start_array(std::size_t) { return Unexpected("an array"); }
  bool end_array() { return Unexpected("an array"); }
  bool number_unsigned(std::uint64_t value) { return OnNumber(value); }
  bool string(std::string& text) { return OnString(text); }
  bool start_object(std::size_t) { return OnObject(); }
  bool key(std::string& name) { return OnKey(name); }
  bool end_object() { return OnObjectEnd(); }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string& token, const Exception&) {
    return Fail("no JSON at byte " + std::to_string(position) + ", near '" + Printable(token) + "'");
  }
  // NOLINTEND(readability-identifier-naming)

  const std::string& Problem() const noexcept { return problem_; }

 private:
  enum class Level : std::uint8_t { Outside, Profile, Capacities, Capacity };
  enum Field : std::uint8_t {
    kFieldNone = 0,
    kFieldFormat = 1,
    kFieldVersion = 2,
    kFieldRuns = 4,
    kFieldCapacities = 8,
    kFieldUnit = 1,
    kFieldUsed = 2,
    kFieldCapacity = 4,
  };

  static std::string Printable(const std::string& text) {
    std::string shown = text.substr(0, 60);
    for (char& character : shown) {
      if (character < ' ' || character > '~') character = '?';
    }
    return shown;
  }
  bool Fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }
  std::string Where() const {
    std::string where = level_ == Level::Outside ? "at the top" : "at '" + Printable(key_) + "'";
    if (level_ == Level::Capacity) where += " of capacity '" + Printable(entry_.name) + "'";
    return where;
  }
  bool Unexpected(const char* what) { return Fail(std::string(what) + " " + Where() + " is out of place"); }

  bool OnObject() {
    if (level_ == Level::Outside && !isDone_) {
      level_ = Level::Profile;
    } else if (level_ == Level::Profile && field_ == kFieldCapacities) {
      level_ = Level::Capacities;
    } else if (level_ == Level::Capacities) {
      level_ = Level::Capacity;
      seenInside_ = 0;
    } else {
      return Unexpected("an object");
    }
    return true;
  }

  // Takes note of a field, once.
  bool Take(std::uint8_t& seen, std::uint8_t field) {
    if (field == 0) return Fail("'" + Printable(key_) + "' is no field of a sizing profile");
    if ((seen & field) != 0) return Fail("'" + Printable(key_) + "' stands there twice");
    seen = static_cast<std::uint8_t>(seen | field);
    field_ = field;
    return true;
  }

  bool OnKey(const std::string& name) {
    key_ = name;
    if (level_ == Level::Profile) {
      const Field field = name == "format"       ? kFieldFormat
                          : name == "version"    ? kFieldVersion
                          : name == "runs"       ? kFieldRuns
                          : name == "capacities" ? kFieldCapacities
                                                 : kFieldNone;
      return Take(seen_, field);
    }
    if (level_ == Level::Capacities) {
      if (profile_.Find(name) != nullptr)
        return Fail("capacity '" + Printable(name) + "' stands there twice");
      entry_ = {.name = name};
      return true;
    }
    const Field field = name == "unit"       ? kFieldUnit
                        : name == "used"     ? kFieldUsed
                        : name == "capacity" ? kFieldCapacity
                                             : kFieldNone;
    return Take(seenInside_, field);
  }

  bool OnString(const std::string& text) {
    if (level_ == Level::Profile && field_ == kFieldFormat)
      return text == kFormat || Fail("the format is '" + Printable(text) + "', not '" + kFormat + "'");
    if (level_ == Level::Capacity && field_ == kFieldUnit) {
      entry_.unit = text == "count" ? SizingUnit::Count : SizingUnit::Bytes;
      return text == ToString(entry_.unit) || Fail("capacity '" + Printable(entry_.name) + "' is in '" +
                                                   Printable(text) + "'; bytes and count are known");
    }
    return Unexpected("a text");
  }

  bool OnNumber(std::uint64_t value) {
    if (level_ == Level::Profile && field_ == kFieldVersion) {
      return value == kVersion || Fail("version " + std::to_string(value) + "; this program reads version " +
                                       std::to_string(kVersion));
    }
    if (level_ == Level::Profile && field_ == kFieldRuns) {
      profile_.runs_ = value;
      return (value != 0 && value <= kSizingValueMax) || Fail("runs: " + std::to_string(value));
    }
    if (level_ == Level::Capacity && field_ == kFieldUsed) {
      entry_.used = value;
      return true;
    }
    if (level_ == Level::Capacity && field_ == kFieldCapacity) {
      entry_.capacity = value;
      return true;
    }
    return Unexpected("a number");
  }

  bool OnObjectEnd() {
    if (level_ == Level::Capacity) {
      if (seenInside_ != (kFieldUnit | kFieldUsed | kFieldCapacity))
        return Fail("capacity '" + Printable(entry_.name) + "' needs unit, used and capacity");
      const Result<void> added = profile_.Add(entry_.name, entry_.unit, entry_.used, entry_.capacity);
      if (!added.HasValue()) return Fail(added.GetError().Message());
      level_ = Level::Capacities;
    } else if (level_ == Level::Capacities) {
      level_ = Level::Profile;
      field_ = 0;
    } else {
      if (seen_ != (kFieldFormat | kFieldVersion | kFieldRuns | kFieldCapacities))
        return Fail("a sizing profile needs format, version, runs and capacities");
      level_ = Level::Outside;
      isDone_ = true;
    }
    return true;
  }

  SizingProfile& profile_;
  SizingEntry entry_;
  std::string key_;
  std::string problem_;
  Level level_ = Level::Outside;
  bool isDone_ = false;
  std::uint8_t field_ = 0;
  std::uint8_t seen_ = 0;
  std::uint8_t seenInside_ = 0;
};

std::string ToJson(const SizingProfile& profile) {
  // Names need no escape: SizingProfile::Add sees to that.
  std::string text = "{\n  \"format\": \"" + std::string(kFormat) +
                     "\",\n  \"version\": " + std::to_string(kVersion) +
                     ",\n  \"runs\": " + std::to_string(profile.Runs()) + ",\n  \"capacities\": {";
  const char* separator = "\n";
  for (const SizingEntry& entry : profile.Entries()) {
    text += separator;
    text += "    \"" + entry.name + "\": {\"unit\": \"" + ToString(entry.unit) +
            "\", \"used\": " + std::to_string(entry.used) +
            ", \"capacity\": " + std::to_string(entry.capacity) + "}";
    separator = ",\n";
  }
  text += profile.Entries().empty() ? "}\n}\n" : "\n  }\n}\n";
  return text;
}

Result<SizingProfile> ParseSizingProfile(std::string_view text, std::string_view source) {
  const std::string shown(source.substr(0, 200));
  if (text.size() > kSizingFileBytesMax) {
    return Error::Format(ErrorCode::CorruptData, "sizing profile '%s': more than %zu B", shown.c_str(),
                         kSizingFileBytesMax);
  }
  SizingProfile profile;
  SizingReader reader(profile);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader)) {
    return Error::Format(ErrorCode::CorruptData, "sizing profile '%s': %.250s", shown.c_str(),
                         reader.Problem().c_str());
  }
  return profile;
}

Result<SizingProfile> ReadSizingProfile(const char* path) {
  const FilePtr file(std::fopen(path, "rb"));
  if (file == nullptr) return IoError("cannot be opened", path);
  std::string text(kSizingFileBytesMax + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return IoError("cannot be read", path);
  return ParseSizingProfile(text, path);
}

Result<void> WriteSizingProfile(const SizingProfile& profile, const char* path) {
  const std::string text = ToJson(profile);
  const std::string temporary = std::string(path) + ".tmp";
  std::FILE* const file = std::fopen(temporary.c_str(), "wb");
  if (file == nullptr) return IoError("cannot be created", temporary);
  const bool isWritten = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool isClosed = std::fclose(file) == 0;  // what was buffered fails here
  if (!isWritten || !isClosed) {
    const Error error = IoError("cannot be written", temporary);
    std::remove(temporary.c_str());
    return error;
  }
  if (std::rename(temporary.c_str(), path) != 0) {
    const Error error = IoError("cannot be replaced", path);
    std::remove(temporary.c_str());
    return error;
  }
  return {};
}

}  // namespace stadial::runtime
