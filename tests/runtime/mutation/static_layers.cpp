#include "static_layers.h"

#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

namespace stadial::mutation {
namespace {

struct Outcome {
  int exitCode = -1;
  std::string output;
};

// Standard error follows standard output.
Outcome RunShell(const std::string& command) {
  Outcome outcome;
  std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  char part[4096];
  while (const std::size_t bytes = std::fread(part, 1, sizeof part, pipe)) outcome.output.append(part, bytes);
  const int status = ::pclose(pipe);
  outcome.exitCode = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

// The name before the first parenthesis of a definition: "VIOLATION(Name)" or "type Name(".
std::string DefinedIn(const std::string& line) {
  const std::string macro = "VIOLATION(";
  if (line.compare(0, macro.size(), macro) == 0)
    return line.substr(macro.size(), line.find(')') - macro.size());
  const std::size_t parenthesis = line.find('(');
  if (line.empty() || line[0] == ' ' || parenthesis == std::string::npos) return {};
  const std::size_t space = line.find_last_of(" *", parenthesis);
  return space == std::string::npos ? std::string() : line.substr(space + 1, parenthesis - space - 1);
}

// The function that each line of the file belongs to.
std::map<int, std::string> FunctionsByLine() {
  std::map<int, std::string> functions;
  std::ifstream file(STADIAL_VIOLATIONS);
  std::string line, current;
  for (int number = 1; std::getline(file, line); ++number) {
    if (const std::string defined = DefinedIn(line); !defined.empty()) current = defined;
    functions[number] = current;
  }
  return functions;
}

constexpr char kWalk[] = "python3 " STADIAL_SOURCE_DIR "/tests/reachability/reachability.py --each";

// An option that names it as c++filt prints it.
std::string EntryOption(const std::string& name) {
  const std::map<std::string, std::string> parameters = {
      {"InADriverCallback", "void*, unsigned long"},
      {"InAHandler", "void*, stadial::runtime::Event const&"},
      {"InADeferredDestruction", "void*, unsigned long"},
  };
  const auto found = parameters.find(name);
  return " --entry 'stadial::mutation::" + name + "(" + (found == parameters.end() ? "" : found->second) +
         ")'";
}

// The text behind each "from stadial::mutation::NAME(...):", up to the next one or the summary.
std::map<std::string, std::string> FindingsByName(const std::string& output) {
  const std::string head = "from stadial::mutation::";
  std::map<std::string, std::string> findings;
  std::istringstream lines(output);
  std::string name;
  for (std::string line; std::getline(lines, line);) {
    if (line.compare(0, head.size(), head) == 0) {
      name = line.substr(head.size(), line.find('(') - head.size());
      findings[name];
    } else if (!line.empty() && line.compare(0, 14, "reachability: ") != 0) {
      findings[name] += line + '\n';
    }
  }
  return findings;
}

}  // namespace

std::optional<std::set<std::string>> ViolationsByTypes() {
  const std::string compiler = STADIAL_EFFECTS_COMPILER;
  if (compiler.empty()) return std::nullopt;
  const std::string source = STADIAL_VIOLATIONS;
  const Outcome compiled = RunShell(
      compiler + " -std=c++20 -fsyntax-only -ferror-limit=0 -Werror=function-effects" +
      " -I " STADIAL_SOURCE_DIR "/arenas/include -I " STADIAL_SOURCE_DIR "/runtime/include " + source);
  const std::map<int, std::string> functions = FunctionsByLine();
  std::set<std::string> flagged;
  std::istringstream lines(compiled.output);
  for (std::string line; std::getline(lines, line);) {
    const bool isError = line.find(": error: ") != std::string::npos;
    if (!isError) continue;
    // Anything else would be a source that does not compile, and no verdict.
    if (line.compare(0, source.size(), source) != 0 || line.find("nonallocating") == std::string::npos)
      return std::set{line};
    flagged.insert(functions.at(std::stoi(line.substr(source.size() + 1))));
  }
  return flagged;
}

bool CanWalkTheObject() { return STADIAL_CAN_WALK != 0; }

std::map<std::string, std::string> FindingsByLink(const std::vector<std::string>& names) {
  std::string command = kWalk;
  for (const std::string& name : names) command += EntryOption(name);
  return FindingsByName(RunShell(command + ' ' + STADIAL_VIOLATIONS_OBJECT).output);
}

std::string FindingsOfTheControl() {
  return RunShell(kWalk + EntryOption("UseTheLane") +
                  " --list " STADIAL_SOURCE_DIR
                  "/tests/runtime/mutation/control.txt " STADIAL_VIOLATIONS_OBJECT
                  " @" STADIAL_ARENAS_OBJECTS)
      .output;
}

}  // namespace stadial::mutation
