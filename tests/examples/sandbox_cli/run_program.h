// Runs a program and keeps what it said: for tests of the sandbox as its users see it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace stadial::tests {

struct ProgramResult {
  int exitCode = -1;  // when it ended by itself
  int signal = 0;     // when a signal ended it
  std::string out;
  std::string err;

  std::size_t ErrLines() const;
  bool ErrContains(std::string_view text) const { return err.find(text) != std::string::npos; }
  bool OutContains(std::string_view text) const { return out.find(text) != std::string::npos; }
  // For failure messages.
  std::string Describe() const;
};

struct ProgramCall {
  std::string program;
  std::vector<std::string> arguments = {};
  std::vector<std::string> environment = {};  // NAME=VALUE, added to this process's own
  std::size_t addressSpaceKib = 0;            // RLIMIT_AS; 0: as it is
};

// Waits for the program to end. A program that cannot be started ends with exit code 127.
ProgramResult RunProgram(const ProgramCall& call);

// A folder of its own, removed with everything in it when the object goes.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& Path() const { return path_; }
  std::string File(std::string_view name) const;
  // Writes a file in it and returns its path.
  std::string Write(std::string_view name, std::string_view contents) const;

 private:
  std::string path_;
};

std::string ReadWholeFile(const std::string& path);

// Names, as `sandbox --list-devices` prints them, of the software drivers that the tests know.
inline constexpr const char* kLavapipe = "llvmpipe";
inline constexpr const char* kSwiftShader = "SwiftShader";

// The devices that the per-device tests run on: both software drivers and, where the environment variable
// STADIAL_TEST_DEVICE names one (any part of its name), that one too, such as a hardware GPU.
std::vector<const char*> TestDevices();
// A device's name as part of a test's name.
std::string TestNameOf(const char* device);

// Whether such a device is on this machine; asked once.
bool HasDevice(std::string_view name);

}  // namespace stadial::tests
