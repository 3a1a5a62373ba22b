// The main function of a program whose paths are run N times each, for instruction_count.py to count their
// instructions.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace stadial::tests {

// "--list" prints the names; "PATH COUNT" calls run(path, COUNT). Each of `paths` has a name.
template <class Paths, class Run>
int RunProbe(int argumentCount, char** arguments, const Paths& paths, Run run) {
  if (argumentCount == 2 && std::strcmp(arguments[1], "--list") == 0) {
    for (const auto& path : paths) std::puts(path.name);
    return 0;
  }
  if (argumentCount != 3) {
    std::fprintf(stderr, "usage: %s --list | PATH COUNT\n", arguments[0]);
    return 2;
  }
  for (const auto& path : paths) {
    if (std::strcmp(arguments[1], path.name) != 0) continue;
    run(path, static_cast<std::size_t>(std::strtoul(arguments[2], nullptr, 10)));
    return 0;
  }
  std::fprintf(stderr, "%s: no path '%s'\n", arguments[0], arguments[1]);
  return 2;
}

}  // namespace stadial::tests
