#include "audit_queues.h"

#include "stadial/arenas/byte_text.h"
#include "stadial/runtime/budget.h"

namespace stadial::runtime {
namespace {

using Json = nlohmann::ordered_json;

Json ToJsonLimit(std::uint64_t bytes) { return bytes == kBudgetBytesMax ? Json(nullptr) : Json(bytes); }

std::string LimitText(std::uint64_t bytes) {
  return bytes == kBudgetBytesMax ? "none" : arenas::FormatBytes(bytes).Get();
}

}  // namespace

Json ToJsonTasks(const AuditTasks& tasks) {
  return {{"workers", tasks.workers}, {"capacity", tasks.capacity},  {"queued_peak", tasks.queuedPeak},
          {"ran", tasks.ran},         {"dropped", tasks.dropped},    {"rejected", tasks.rejected},
          {"stolen", tasks.stolen},   {"throttled", tasks.throttled}};
}

Json ToJsonDeferred(const std::vector<AuditDeferred>& queues) {
  Json json = Json::array();
  for (const AuditDeferred& queue : queues) {
    json.push_back({{"name", queue.name},
                    {"capacity", queue.capacity},
                    {"peak", queue.peak},
                    {"queued", queue.queued},
                    {"retired", queue.retired},
                    {"discarded", queue.discarded},
                    {"rejected", queue.rejected}});
  }
  return json;
}

Json ToJsonBudgets(const std::vector<AuditBudget>& budgets) {
  Json json = Json::array();
  for (const AuditBudget& budget : budgets) {
    json.push_back({{"name", budget.name},
                    {"kind", budget.isHeap ? "heap" : "subsystem"},
                    {"used_bytes", budget.usedBytes},
                    {"outside_bytes", budget.outsideBytes},
                    {"peak_bytes", budget.peakBytes},
                    {"soft_bytes", ToJsonLimit(budget.softBytes)},
                    {"hard_bytes", ToJsonLimit(budget.hardBytes)},
                    {"refused", budget.refused},
                    {"throttles", budget.throttles},
                    {"throttled", budget.isThrottled}});
  }
  return json;
}

void PrintQueues(const AuditReport& report, std::FILE* file) {
  const AuditTasks& tasks = report.tasks;
  std::fprintf(
      file, "tasks          %llu ran on %u workers, peak %llu of %llu queued, %llu dropped, %llu rejected\n",
      Wide(tasks.ran), tasks.workers, Wide(tasks.queuedPeak), Wide(tasks.capacity), Wide(tasks.dropped),
      Wide(tasks.rejected));
  for (const AuditDeferred& queue : report.deferred) {
    std::fprintf(file, "deferred       %-12s peak %llu of %llu records, %llu retired, %llu lost\n",
                 queue.name.c_str(), Wide(queue.peak), Wide(queue.capacity), Wide(queue.retired),
                 Wide(queue.rejected + queue.discarded));
  }
  for (const AuditBudget& budget : report.budgets) {
    std::fprintf(file,
                 "budget         %-12s peak %s, soft %s, hard %s, %llu refused, throttled %llu times%s\n",
                 budget.name.c_str(), arenas::FormatBytes(budget.peakBytes).Get(),
                 LimitText(budget.softBytes).c_str(), LimitText(budget.hardBytes).c_str(),
                 Wide(budget.refused), Wide(budget.throttles), budget.isThrottled ? ", and now" : "");
  }
}

}  // namespace stadial::runtime
