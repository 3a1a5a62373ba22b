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

Json ToJsonFallbacks(const std::vector<AuditFallback>& sites) {
  Json json = Json::array();
  for (const AuditFallback& site : sites) {
    json.push_back({{"name", site.name},
                    {"owner", site.owner},
                    {"budget_bytes", site.budgetBytes},
                    {"count_per_frame_max", site.countPerFrameMax},
                    {"allocations", site.allocations},
                    {"allocations_in_worst_frame", site.allocationsInWorstFrame},
                    {"bytes", site.bytes},
                    {"peak_bytes", site.peakBytes},
                    {"refused", site.refused},
                    {"refused_by_budget", site.refusedByBudget},
                    {"refused_by_frame", site.refusedByFrame},
                    {"refused_by_heap", site.refusedByHeap},
                    {"refused_by_thread", site.refusedByThread}});
  }
  return json;
}

std::string WhyRefused(const AuditFallback& site) {
  std::string text;
  const auto add = [&text](std::uint64_t count, const std::string& why) {
    if (count != 0) text += (text.empty() ? " (" : ", ") + std::to_string(count) + " " + why;
  };
  add(site.refusedByBudget,
      std::string("beyond its budget of ") + arenas::FormatBytes(site.budgetBytes).Get());
  add(site.refusedByFrame, "beyond its " + std::to_string(site.countPerFrameMax) + " a frame");
  add(site.refusedByHeap, "for want of room in the Fallback segment");
  add(site.refusedByThread, "on a thread that does not own it");
  return text.empty() ? text : text + ")";
}

void PrintFallbacks(const std::vector<AuditFallback>& sites, std::FILE* file) {
  for (const AuditFallback& site : sites) {
    const std::string most = site.countPerFrameMax == 0 ? "no limit" : std::to_string(site.countPerFrameMax);
    std::fprintf(
        file,
        "fallback       %s (%s): %llu allocations, peak %s of %s, %llu in the worst frame of %s, %llu "
        "refused%s\n",
        site.name.c_str(), site.owner.c_str(), Wide(site.allocations),
        arenas::FormatBytes(site.peakBytes).Get(), arenas::FormatBytes(site.budgetBytes).Get(),
        Wide(site.allocationsInWorstFrame), most.c_str(), Wide(site.refused), WhyRefused(site).c_str());
  }
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
