// The audit's parts about tasks, deferred destruction and budgets. Private to the runtime.
#pragma once

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "stadial/runtime/audit.h"

namespace stadial::runtime {

// For %llu, whatever a std::uint64_t is here.
inline unsigned long long Wide(std::uint64_t value) { return value; }

nlohmann::ordered_json ToJsonTasks(const AuditTasks& tasks);
nlohmann::ordered_json ToJsonDeferred(const std::vector<AuditDeferred>& queues);
nlohmann::ordered_json ToJsonBudgets(const std::vector<AuditBudget>& budgets);
void PrintQueues(const AuditReport& report, std::FILE* file);

}  // namespace stadial::runtime
