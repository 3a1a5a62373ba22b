// The plan as JSON, for viewers. RenderGraph::WriteJson describes the schema.
#include <cstdio>
#include <string_view>

#include "plan_names.h"

namespace stadial::graph {

namespace {

// Objects and arrays with their commas; a value per call.
class JsonWriter {
 public:
  explicit JsonWriter(std::FILE* out) : out_(out) {}

  void Open(const char* key, char bracket) {
    Key(key);
    std::fputc(bracket, out_);
    isFirst_ = true;
  }
  void Close(char bracket) {
    std::fputc(bracket, out_);
    isFirst_ = false;
  }
  void Number(const char* key, std::uint64_t value) {
    Key(key);
    std::fprintf(out_, "%llu", static_cast<unsigned long long>(value));
  }
  void Bool(const char* key, bool value) {
    Key(key);
    std::fputs(value ? "true" : "false", out_);
  }
  void Null(const char* key) {
    Key(key);
    std::fputs("null", out_);
  }
  void Text(const char* key, std::string_view value) {
    Key(key);
    Quoted(value);
  }
  void NewLine() { isLineDue_ = true; }

 private:
  void Key(const char* key) {
    if (!isFirst_) std::fputc(',', out_);
    if (isLineDue_) std::fputc('\n', out_);
    isLineDue_ = false;
    isFirst_ = false;
    if (key == nullptr) return;
    Quoted(key);
    std::fputc(':', out_);
  }
  void Quoted(std::string_view text) {
    std::fputc('"', out_);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        std::fputc('\\', out_);
        std::fputc(c, out_);
      } else if (byte < 0x20) {
        std::fprintf(out_, "\\u%04x", static_cast<unsigned>(byte));
      } else {
        std::fputc(c, out_);
      }
    }
    std::fputc('"', out_);
  }

  std::FILE* out_;
  bool isFirst_ = true;
  bool isLineDue_ = false;
};

const char* NameOf(NodeState state) noexcept {
  switch (state) {
    case NodeState::Ready:
      return "ready";
    case NodeState::Failed:
      return "failed";
    case NodeState::Quarantined:
      return "quarantined";
  }
  return "unknown";
}

class PlanJson {
 public:
  PlanJson(const GraphState& state, std::FILE* out) : s_(state), json_(out) {}

  void Write() {
    json_.Open(nullptr, '{');
    json_.Text("schema", "stadial.graph_plan/1");
    json_.Text("graph", s_.options.name);
    json_.Bool("has_plan", s_.plan != nullptr);
    json_.Number("generation", s_.planGeneration);
    json_.Number("queue_count", s_.plan == nullptr ? s_.options.queues.Count() : s_.plan->sync.queueCount);
    List("nodes", [this] {
      for (std::uint32_t node = 0; node < s_.nodeCount; ++node) WriteNode(node);
    });
    List("connections", [this] {
      for (const Connection& c : s_.connections.first(s_.connectionCount)) WriteConnection(c);
    });
    if (s_.plan != nullptr) WritePlan();
    json_.NewLine();
    json_.Close('}');
  }

 private:
  template <class Fill>
  void List(const char* key, Fill&& fill) {
    json_.NewLine();
    json_.Open(key, '[');
    fill();
    json_.Close(']');
  }
  template <class Fill>
  void Item(Fill&& fill) {
    json_.NewLine();
    json_.Open(nullptr, '{');
    fill();
    json_.Close('}');
  }

  void WriteNode(std::uint32_t node) {
    Item([this, node] {
      json_.Number("index", node);
      json_.Text("name", s_.NameOf(node));
      json_.Text("state", NameOf(s_.nodeStates[node]));
      const std::uint32_t position = s_.plan == nullptr ? kNotInPlan : s_.plan->positionOf[node];
      if (position == kNotInPlan) {
        json_.Null("position");
        if (s_.plan != nullptr) json_.Text("cull_reason", CullReason(node));
        return;
      }
      json_.Number("position", position);
      const std::span<const std::uint8_t> queueOf = s_.plan->sync.queueOf;
      if (!queueOf.empty() && queueOf[position] != kNoQueue) json_.Number("queue", queueOf[position]);
      json_.Number("barriers", s_.plan->sync.BarriersAt(position).size());
    });
  }
  const char* CullReason(std::uint32_t node) const {
    for (const Connection& c : s_.connections.first(s_.connectionCount)) {
      if (c.producer == node && c.graphInput != kNone) return "only culled nodes read its outputs";
    }
    return "no node reads its outputs";
  }

  void WriteConnection(const Connection& c) {
    if (c.graphInput == kNone) return;
    Item([this, &c] {
      json_.Number("from", c.producer);
      json_.Text("output", s_.layouts[c.producer].outputs[c.outputSlot].name);
      json_.Number("to", c.consumer);
      json_.Text("input", s_.layouts[c.consumer].inputs[c.inputSlot].name);
      json_.Text("type", s_.layouts[c.producer].outputs[c.outputSlot].type->name);
    });
  }

  void WritePlan() {
    const CompiledPlan& plan = *s_.plan;
    List("waves", [&] {
      for (const PlanWave& wave : plan.waves) {
        json_.NewLine();
        json_.Open(nullptr, '[');
        for (const std::uint32_t position : plan.wavePositions.subspan(wave.begin, wave.end - wave.begin))
          json_.Number(nullptr, position);
        json_.Close(']');
      }
    });
    List("lifetimes", [&] {
      for (std::uint32_t node = 0; node < plan.NodeCount(); ++node) {
        if (plan.positionOf[node] == kNotInPlan) continue;
        for (std::uint32_t slot = 0; slot < s_.layouts[node].outputs.size(); ++slot)
          WriteLifetime(node, slot);
      }
    });
    List("barriers", [&] {
      for (const Barrier& barrier : plan.sync.barriers) WriteBarrier(barrier);
    });
    List("releases", [&] {
      for (const Barrier& release : plan.sync.releases) WriteBarrier(release);
    });
    List("waits", [&] {
      for (const SemaphoreWait& wait : plan.sync.waits) {
        Item([&] {
          json_.Number("position", wait.position);
          json_.Number("queue", wait.queue);
          json_.Number("value", wait.value);
          json_.Number("signal_position", wait.signalPosition);
          json_.Bool("frame_before", wait.isFrameBefore);
        });
      }
    });
    List("signals", [&] {
      for (const SemaphoreSignal& signal : plan.sync.signals) {
        Item([&] {
          json_.Number("position", signal.position);
          json_.Number("queue", signal.queue);
          json_.Number("value", signal.value);
        });
      }
    });
  }

  void WriteLifetime(std::uint32_t node, std::uint32_t slot) {
    const OutputLifetime lifetime = s_.plan->LifetimeOf(node, slot);
    Item([&] {
      json_.Number("node", node);
      json_.Text("output", s_.layouts[node].outputs[slot].name);
      json_.Number("first", lifetime.firstPosition);
      json_.Number("last", lifetime.lastPosition);
    });
  }

  void WriteBarrier(const Barrier& barrier) {
    const PlanResource resource = FindResource(*s_.plan, barrier.resource);
    char text[kAccessTextBytesMax];
    Item([&] {
      json_.Number("position", barrier.position);
      json_.Text("reason", ToString(barrier.reason));
      json_.Number("resource_node", resource.node);
      json_.Text("resource_output", s_.layouts[resource.node].outputs[resource.slot].name);
      json_.Number("resource_count", barrier.resourceCount);
      json_.Number("source_position", barrier.sourcePosition);
      json_.Bool("frame_before", barrier.isFrameBefore);
      json_.Text("source", FormatAccess(barrier.sourceStages, barrier.sourceAccess, text));
      json_.Text("target", FormatAccess(barrier.targetStages, barrier.targetAccess, text));
      json_.Text("old_layout", ToString(barrier.oldLayout));
      json_.Text("new_layout", ToString(barrier.newLayout));
      json_.Number("source_queue", barrier.sourceQueue);
      json_.Number("target_queue", barrier.targetQueue);
    });
  }

  const GraphState& s_;
  JsonWriter json_;
};

}  // namespace

void RenderGraph::WriteJson(std::FILE* out) const {
  PlanJson(*state_, out).Write();
  std::fputc('\n', out);
}

}  // namespace stadial::graph
