// The audit's parts about tasks, deferred destruction, budgets and designated fallbacks. Private to the
// runtime.
#pragma once

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "stadial/runtime/audit.h"

namespace stadial::runtime {

// For %llu, whatever a std::uint64_t is here.
inline unsigned long long Wide(std::uint64_t value) { return value; }

nlohmann::ordered_json ToJsonTasks(const AuditTasks& tasks);
nlohmann::ordered_json ToJsonDeferred(const std::vector<AuditDeferred>& queues);
nlohmann::ordered_json ToJsonBudgets(const std::vector<AuditBudget>& budgets);
nlohmann::ordered_json ToJsonFallbacks(const std::vector<AuditFallback>& sites);
void PrintFallbacks(const std::vector<AuditFallback>& sites, std::FILE* file);
// " (2 beyond its budget of 64.0 KiB, 1 beyond its 8 a frame)", with those that are not zero; or nothing.
std::string WhyRefused(const AuditFallback& site);
void PrintQueues(const AuditReport& report, std::FILE* file);

}  // namespace stadial::runtime
