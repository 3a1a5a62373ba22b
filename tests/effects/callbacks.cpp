// What the layer of types refuses. Behind STADIAL_PLANTED stand callbacks that allocate, or that the compiler cannot see
// into, each with what it must say of them: with -Xclang -verify clang holds its errors against the comments, and one that
// is missing, or that nobody expects, is a failure. Without the macro everything here is right and compiles.
// clang-format off: an expected error is one line
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "stadial/graph/render_graph.h"
#include "stadial/runtime/deferred_queue.h"
#include "stadial/runtime/event_bus.h"
#include "stadial/runtime/task_runner.h"
#include "stadial/runtime/task_system.h"

void Unseen(int value);  // defined elsewhere, without the mark

namespace {

using namespace stadial;
using runtime::Event;
using runtime::EventType;

// What the planted violations call.
int* Keep(int value) { return new int(value); }
int total = 0;

struct Door {
  void OnEvent(const Event& event) noexcept { total += static_cast<int>(event.data); }
  void OnSize(std::uint32_t size) const { total += static_cast<int>(size); }
  void OnEventKeeping(const Event& event) { delete Keep(static_cast<int>(event.data)); }
  void OnSizeUnseen(std::uint32_t size) { Unseen(static_cast<int>(size)); }
};

void OnEvent(void*, const Event& event) STADIAL_NONALLOCATING { total += static_cast<int>(event.data); }
#ifdef STADIAL_PLANTED
void OnEventUnmarked(void*, const Event&) {}
#endif

void Handlers(runtime::EventBus& bus, Door& door) {
  static_cast<void>(bus.Subscribe(EventType::FrameStart, &OnEvent, nullptr));
  static_cast<void>(bus.Subscribe(
      EventType::FrameStart, [](void*, const Event&) STADIAL_NONALLOCATING { ++total; }, nullptr));
  static_cast<void>(bus.Subscribe<&Door::OnEvent>(EventType::FrameStart, &door));
  static_cast<void>(bus.Subscribe<&Door::OnSize>(EventType::WindowResize, &door));
#ifdef STADIAL_PLANTED
  // expected-error@+1 {{'nonallocating' should not be added via type conversion}}
  static_cast<void>(bus.Subscribe(EventType::FrameStart, &OnEventUnmarked, nullptr));
  static_cast<void>(bus.Subscribe(
      // expected-error@+2 {{must not allocate or deallocate}}
      // expected-error@+1 {{must not call non-'nonallocating' function '(anonymous namespace)::Keep'}}
      EventType::FrameStart, [](void*, const Event&) STADIAL_NONALLOCATING { delete Keep(1); }, nullptr));
  // expected-error@*:* {{must not call non-'nonallocating' function '(anonymous namespace)::Door::OnEventKeeping'}}
  static_cast<void>(bus.Subscribe<&Door::OnEventKeeping>(EventType::FrameStart, &door));
  // expected-error@*:* {{must not call non-'nonallocating' function '(anonymous namespace)::Door::OnSizeUnseen'}}
  static_cast<void>(bus.Subscribe<&Door::OnSizeUnseen>(EventType::WindowResize, &door));
  static_cast<void>(bus.SubscribeCategories(
      // expected-error@+1 {{'nonallocating' should not be added via type conversion}}
      1, [](void*, const Event&) { delete Keep(1); }, nullptr));
#endif
}

void Tasks(runtime::TaskSystem& tasks, runtime::TaskRunner& runner) {
  int value = 3;
  int* const sum = &total;
  static_cast<void>(tasks.Submit([sum, value] { *sum += value; }));
  static_cast<void>(tasks.Submit([sum](runtime::TaskContext& task) {
    const auto body = [sum] { ++*sum; };
    if (!task.Spawn(body)) body();
  }));
  runtime::ParallelFor(runner, 100, 10,
                       [sum](const runtime::TaskChunk& chunk) { *sum += static_cast<int>(chunk.index); });
#ifdef STADIAL_PLANTED
  // expected-error@*:* {{function with 'nonallocating' attribute must not call non-'nonallocating' lambda '(anonymous namespace)::Tasks(runtime::TaskSystem &, runtime::TaskRunner &)::(lambda)::operator()'}}
  static_cast<void>(tasks.Submit([] { delete Keep(1); }));
  static_cast<void>(tasks.Submit(
      // expected-error@*:* {{must not call non-'nonallocating' lambda '(anonymous namespace)::Tasks(runtime::TaskSystem &, runtime::TaskRunner &)::(lambda)::operator()(runtime::TaskContext &)::(lambda)::operator()'}}
      [](runtime::TaskContext& task) { static_cast<void>(task.Spawn([] { std::vector<int> values(8); })); }));
  // expected-error@*:* {{lambda with 'nonallocating' attribute must not call non-'nonallocating' lambda '(anonymous namespace)::Tasks(runtime::TaskSystem &, runtime::TaskRunner &)::(lambda)::operator()'}}
  runtime::ParallelFor(runner, 100, 10, [](const runtime::TaskChunk&) { std::string text(100, 'x'); });
  // expected-error@+2 {{must not allocate or deallocate}}
  // expected-error@+1 {{must not call non-'nonallocating' function '(anonymous namespace)::Keep'}}
  runner.Run([](void*, std::uint32_t) noexcept STADIAL_NONALLOCATING { delete Keep(1); }, nullptr);
#endif
  static_cast<void>(value);
}

struct NumberConfig : graph::NodeConfig<NumberConfig> {
  INPUT_SLOT(SOURCE, int);
  OUTPUT_SLOT(RESULT, int);
};
class NumberNode : public graph::TypedNode<NumberConfig> {
 public:
  graph::Result<void> Compile(CompileContext&) override {
#ifdef STADIAL_PLANTED
    // expected-error@+3 {{must not call non-'nonallocating' function 'std::unique_ptr<int>::operator='}}
    // expected-error@+2 {{must not call non-'nonallocating' destructor 'std::unique_ptr<int>::~unique_ptr'}}
    // expected-error@+1 {{must not call non-'nonallocating' function 'std::make_unique<int, int>'}}
    table_ = std::make_unique<int>(3);
#endif
    return {};
  }
  // No mark: an override has that of the function it overrides.
  void Execute(ExecuteContext& ctx) override {
    const std::span<int> items = ctx.Lane().NewArray<int>(4);
    items[0] = ctx.In(SOURCE);
    ctx.Out(RESULT, *std::max_element(items.begin(), items.end()) + offset_);
#ifdef STADIAL_PLANTED
    // expected-error@+2 {{must not allocate or deallocate}}
    // expected-error@+1 {{must not call non-'nonallocating' function '(anonymous namespace)::Keep'}}
    delete Keep(1);
    // expected-error@+1 {{must not call non-'nonallocating' function 'std::vector<int>::push_back'}}
    values_.push_back(items[0]);
    // expected-error@+2 {{must not call non-'nonallocating' destructor 'std::function<void ()>::~function'}}
    // expected-error@+1 {{must not call non-'nonallocating' constructor 'std::function<void ()>::function<}}
    const std::function<void()> call = [this, items, &ctx] { ctx.Out(RESULT, items[0] + offset_); };
    // expected-error@+1 {{must not call non-'nonallocating' function 'std::function<void ()>::operator()'}}
    call();
    // expected-error@+1 {{must not throw or catch exceptions}}
    if (items[0] < 0) throw items[0];
    // expected-error@+1 {{must not call non-'nonallocating' function 'std::stable_sort<}}
    std::stable_sort(items.begin(), items.end());
    // expected-error@+1 {{must not call non-'nonallocating' function 'Unseen'}}
    Unseen(items[0]);
#endif
  }

 private:
  std::vector<int> values_;
  std::unique_ptr<int> table_;
  int offset_ = 0;
};

struct Device {};
void Destroy(Device*, std::uint64_t) noexcept { --total; }
void DestroyKeeping(Device*, std::uint64_t handle) noexcept { delete Keep(static_cast<int>(handle)); }

void Deferred(runtime::DeferredQueue& queue, Device& device) {
  static_cast<void>(queue.Enqueue(runtime::MakeDeferredRecord<&Destroy>(&device, std::uint64_t{1}, 1)));
#ifdef STADIAL_PLANTED
  static_cast<void>(
      // expected-error@*:* {{must not call non-'nonallocating' function '(anonymous namespace)::DestroyKeeping'}}
      queue.Enqueue(runtime::MakeDeferredRecord<&DestroyKeeping>(&device, std::uint64_t{1}, 1)));
#endif
}

class Source final : public runtime::CompletionSource {
 public:
  std::uint64_t CompletedValue() noexcept override {
#ifdef STADIAL_PLANTED
    // expected-error@+2 {{must not allocate or deallocate}}
    // expected-error@+1 {{must not call non-'nonallocating' function '(anonymous namespace)::Keep'}}
    delete Keep(1);
#endif
    return 1;
  }
  runtime::Result<void> WaitForValue(std::uint64_t, std::uint64_t) noexcept override { return {}; }
};

runtime::LogSink Log() {
  runtime::LogSink sink;
  sink.write = [](void*, runtime::LogLevel, const char*, std::size_t) noexcept STADIAL_NONALLOCATING {
    ++total;
  };
#ifdef STADIAL_PLANTED
  sink.write = [](void*, runtime::LogLevel, const char* text, std::size_t) noexcept STADIAL_NONALLOCATING {
    // expected-error@+2 {{must not call non-'nonallocating' destructor 'std::basic_string<char>::~basic_string'}}
    // expected-error@+1 {{must not call non-'nonallocating' constructor 'std::basic_string<char>::basic_string<}}
    const std::string copy(text);
  };
#endif
  return sink;
}

}  // namespace

int main() {
  static_cast<void>(&Handlers);
  static_cast<void>(&Tasks);
  static_cast<void>(&Deferred);
  static_cast<void>(&DestroyKeeping);
  static_cast<void>(&Log);
  static_cast<void>(sizeof(NumberNode) + sizeof(Source));
}
