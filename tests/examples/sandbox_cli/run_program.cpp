#include "run_program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

extern char** environ;

namespace stadial::tests {
namespace {

struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() { [[maybe_unused]] const int made = ::pipe2(ends, O_CLOEXEC); }
  ~Pipe() {
    for (const int end : ends) {
      if (end >= 0) ::close(end);
    }
  }
  void CloseWriter() {
    ::close(ends[1]);
    ends[1] = -1;
  }
};

// A limit has to be set in the child, which posix_spawn cannot do: the shell can.
std::vector<std::string> CommandOf(const ProgramCall& call) {
  std::vector<std::string> command;
  if (call.addressSpaceKib != 0) {
    command = {"/bin/sh", "-c",
               "ulimit -v " + std::to_string(call.addressSpaceKib) + " && exec \"$0\" \"$@\""};
  }
  command.push_back(call.program);
  command.insert(command.end(), call.arguments.begin(), call.arguments.end());
  return command;
}

// Last one wins: an added variable hides the process's own of the same name.
std::vector<std::string> EnvironmentOf(const ProgramCall& call) {
  std::vector<std::string> added = call.environment;
  // LeakSanitizer's own tracer crashes on SwiftShader's threads; the same runs on lavapipe look for leaks.
  if (SANDBOX_IS_SANITIZED && std::ranges::find(call.arguments, kSwiftShader) != call.arguments.end()) {
    added.emplace_back("ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0");
  }
  std::vector<std::string> all = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view own = *entry;
    const std::string_view name = own.substr(0, own.find('=') + 1);
    const bool isHidden =
        std::ranges::any_of(added, [name](const std::string& wanted) { return wanted.starts_with(name); });
    if (!isHidden) all.emplace_back(own);
  }
  return all;
}

std::vector<char*> PointersTo(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Reads both pipes to their ends; one after the other could block the writer of the second.
void Drain(Pipe& out, Pipe& err, ProgramResult& result) {
  pollfd fds[2] = {{out.ends[0], POLLIN, 0}, {err.ends[0], POLLIN, 0}};
  std::string* targets[2] = {&result.out, &result.err};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (::poll(fds, 2, -1) < 0) return;
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t count = ::read(fds[i].fd, buffer, sizeof buffer);
      if (count > 0) {
        targets[i]->append(buffer, static_cast<std::size_t>(count));
      } else {
        fds[i].fd = -1;
      }
    }
  }
}

}  // namespace

std::size_t ProgramResult::ErrLines() const {
  return static_cast<std::size_t>(std::ranges::count(err, '\n'));
}

std::string ProgramResult::Describe() const {
  return "exit code " + std::to_string(exitCode) + ", signal " + std::to_string(signal) + "\n--- stdout\n" +
         out + "--- stderr\n" + err + "---";
}

ProgramResult RunProgram(const ProgramCall& call) {
  ProgramResult result;
  std::vector<std::string> command = CommandOf(call);
  std::vector<std::string> environment = EnvironmentOf(call);
  const std::vector<char*> argv = PointersTo(command);
  const std::vector<char*> envp = PointersTo(environment);
  Pipe out;
  Pipe err;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    result.exitCode = 127;
    return result;
  }
  out.CloseWriter();
  err.CloseWriter();
  Drain(out, err, result);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status)) result.exitCode = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "stadial-sandbox-XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::File(std::string_view name) const { return path_ + '/' + std::string(name); }

std::string TemporaryFolder::Write(std::string_view name, std::string_view contents) const {
  const std::string path = File(name);
  std::ofstream(path, std::ios::binary).write(contents.data(), static_cast<std::streamsize>(contents.size()));
  return path;
}

std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<const char*> TestDevices() {
  std::vector<const char*> devices = {kLavapipe, kSwiftShader};
  if (const char* const named = std::getenv("STADIAL_TEST_DEVICE"); named != nullptr && named[0] != '\0')
    devices.push_back(named);
  return devices;
}

std::string TestNameOf(const char* device) {
  std::string name = device;
  for (char& letter : name) {
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
  }
  return name;
}

bool HasDevice(std::string_view name) {
  static const ProgramResult listed =
      RunProgram({.program = SANDBOX_PROGRAM, .arguments = {"--list-devices"}});
  return listed.OutContains(name);
}

}  // namespace stadial::tests
