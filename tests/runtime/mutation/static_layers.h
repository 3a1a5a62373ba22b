// The two layers that judge without running anything, asked about violations.cpp.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace stadial::mutation {

// The functions of violations.cpp in which a compiler that checks effects finds an error; nothing without
// one.
std::optional<std::set<std::string>> ViolationsByTypes();

bool CanWalkTheObject();
// What the walk finds from each of these functions of violations.cpp, by name; empty text: nothing. Nothing
// at all: it could not say.
std::map<std::string, std::string> FindingsByLink(const std::vector<std::string>& names);
// The output of the walk from UseTheLane, through the arenas and with the list of what is allowed there.
std::string FindingsOfTheControl();

}  // namespace stadial::mutation
