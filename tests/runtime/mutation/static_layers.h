// The two layers that judge without running anything, asked about violations.cpp.
#pragma once

#include <optional>
#include <set>
#include <string>

namespace stadial::mutation {

// The functions of violations.cpp in which a compiler that checks effects finds an error; nothing without
// one.
std::optional<std::set<std::string>> ViolationsByTypes();

bool CanWalkTheObject();
struct ReachabilityOutcome {
  int exitCode = -1;  // 0: nothing found, 1: found, 2: it cannot say
  std::string output;
};
// From the function `name` of violations.cpp.
ReachabilityOutcome WalkFrom(const std::string& name);

}  // namespace stadial::mutation
