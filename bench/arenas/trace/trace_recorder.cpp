// Preloaded into a program, records its heap:
//
//   LD_PRELOAD=libarenas_trace_recorder.so STADIAL_TRACE_FILE=game.trace STADIAL_TRACE_EVENTS=2000000 game
//
// It stands in front of glibc's malloc family and hands every call on. Operator new and delete go through
// malloc and are seen there. A frame ends where the program looks at its processor time (clock, getrusage:
// what a loop that times its frames calls), where it shows its picture on a terminal (refresh of curses), or
// where it calls stadial_trace_frame. A lock makes one order of all threads' events: a call and its event are
// one step, so that an address cannot be given out again before its free is written. The first
// STADIAL_TRACE_SKIP_FRAMES frames (a start that no frame resembles) are not written.
//
// It allocates nothing itself: the file is mapped once, and what does not fit is counted and not written.
// Programs that the recorded one starts are not recorded (the variables are taken out of the environment),
// nor is its child after a fork. A program whose malloc is not glibc's is not seen.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "trace_format.h"

// What glibc's own malloc family is called besides. Asking the loader for it would allocate.
extern "C" {
void* __libc_malloc(std::size_t bytes);                           // NOLINT(bugprone-reserved-identifier)
void __libc_free(void* block);                                    // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t count, std::size_t bytes);        // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* block, std::size_t bytes);             // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(std::size_t alignment, std::size_t bytes);  // NOLINT(bugprone-reserved-identifier)
}

namespace {

using namespace stadial::bench;

constexpr std::uint64_t kEventsDefault = 2'000'000;
constexpr std::uint32_t kNoThread = UINT32_MAX;

struct Recorder {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  TraceHeader* header = nullptr;  // nullptr: not recording
  TraceEvent* events = nullptr;
  std::uint64_t eventsMax = 0;
  std::uint64_t framesToSkip = 0;
  std::uint32_t threads = 0;
  TraceOp last = TraceOp::Frame;
};
Recorder recorder;

// Initial-exec: the first use of any other kind in a thread may allocate.
[[gnu::tls_model("initial-exec")]] thread_local std::uint32_t threadNumber = kNoThread;

// Holds the order of events while it lives. `isOn` cannot change meanwhile.
class Step {
 public:
  Step() {
    if (__atomic_load_n(&recorder.header, __ATOMIC_ACQUIRE) == nullptr) return;
    pthread_mutex_lock(&recorder.lock);
    isOn_ = true;
  }
  ~Step() {
    if (isOn_) pthread_mutex_unlock(&recorder.lock);
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  void Write(TraceOp op, const void* address, const void* oldAddress, std::size_t bytes,
             std::size_t alignment) const {
    if (!isOn_ || recorder.header == nullptr) return;
    if (op == TraceOp::Frame && recorder.last == TraceOp::Frame) return;  // an empty frame is none
    recorder.last = op;
    if (recorder.framesToSkip != 0) {
      if (op == TraceOp::Frame) --recorder.framesToSkip;
      return;
    }
    TraceHeader& header = *recorder.header;
    if (header.eventCount == recorder.eventsMax) {
      ++header.eventsBeyond;
      return;
    }
    if (threadNumber == kNoThread) threadNumber = recorder.threads++;
    recorder.events[header.eventCount] = {
        .address = reinterpret_cast<std::uintptr_t>(address),
        .oldAddress = reinterpret_cast<std::uintptr_t>(oldAddress),
        .sizeBytes = bytes,
        .thread = threadNumber,
        .op = op,
        .alignmentLog2 = static_cast<std::uint8_t>(std::countr_zero(alignment)),
        .reserved = 0};
    ++header.eventCount;
  }

 private:
  bool isOn_ = false;
};

void StopInChild() { recorder.header = nullptr; }

void* AllocateAligned(std::size_t alignment, std::size_t bytes) {
  const Step step;
  void* const block = __libc_memalign(alignment, bytes);
  if (block != nullptr) step.Write(TraceOp::Allocate, block, nullptr, bytes, alignment);
  return block;
}

void MarkFrame() { Step().Write(TraceOp::Frame, nullptr, nullptr, 0, 1); }

[[gnu::constructor]] void Open() {
  const char* const path = std::getenv("STADIAL_TRACE_FILE");
  if (path == nullptr || *path == '\0') return;
  const char* const wanted = std::getenv("STADIAL_TRACE_EVENTS");
  const std::uint64_t events = wanted == nullptr ? kEventsDefault : std::strtoull(wanted, nullptr, 10);
  const char* const skipped = std::getenv("STADIAL_TRACE_SKIP_FRAMES");
  if (skipped != nullptr) recorder.framesToSkip = std::strtoull(skipped, nullptr, 10);
  const std::size_t bytes = sizeof(TraceHeader) + events * sizeof(TraceEvent);
  const int file = ::open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  void* mapped = MAP_FAILED;
  if (file >= 0 && ::ftruncate(file, static_cast<off_t>(bytes)) == 0) {
    mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  if (mapped == MAP_FAILED) {
    std::perror(path);
    if (file >= 0) ::close(file);
    return;
  }
  ::close(file);
  ::unsetenv("LD_PRELOAD");
  ::unsetenv("STADIAL_TRACE_FILE");
  pthread_atfork(nullptr, nullptr, StopInChild);
  auto* const header = static_cast<TraceHeader*>(mapped);
  *header = {.magic = kTraceMagic,
             .version = kTraceVersion,
             .eventBytes = sizeof(TraceEvent),
             .eventCount = 0,
             .eventsBeyond = 0,
             .reserved = {}};
  recorder.events = reinterpret_cast<TraceEvent*>(header + 1);
  recorder.eventsMax = events;
  __atomic_store_n(&recorder.header, header, __ATOMIC_RELEASE);
}

}  // namespace

extern "C" {

void* malloc(std::size_t bytes) noexcept {
  const Step step;
  void* const block = __libc_malloc(bytes);
  if (block != nullptr) step.Write(TraceOp::Allocate, block, nullptr, bytes, alignof(std::max_align_t));
  return block;
}

void* calloc(std::size_t count, std::size_t bytes) noexcept {
  const Step step;
  void* const block = __libc_calloc(count, bytes);
  if (block != nullptr)
    step.Write(TraceOp::Allocate, block, nullptr, count * bytes, alignof(std::max_align_t));
  return block;
}

void free(void* block) noexcept {
  if (block == nullptr) return;
  const Step step;
  step.Write(TraceOp::Free, nullptr, block, 0, 1);
  __libc_free(block);
}

void* realloc(void* block, std::size_t bytes) noexcept {
  const Step step;
  void* const moved = __libc_realloc(block, bytes);
  if (block == nullptr) {
    if (moved != nullptr) step.Write(TraceOp::Allocate, moved, nullptr, bytes, alignof(std::max_align_t));
  } else if (moved != nullptr) {
    step.Write(TraceOp::Reallocate, moved, block, bytes, alignof(std::max_align_t));
  } else if (bytes == 0) {
    step.Write(TraceOp::Free, nullptr, block, 0, 1);
  }
  return moved;
}

void* reallocarray(void* block, std::size_t count, std::size_t bytes) noexcept {
  std::size_t total = 0;
  if (__builtin_mul_overflow(count, bytes, &total)) {
    errno = ENOMEM;
    return nullptr;
  }
  return realloc(block, total);
}

void* memalign(std::size_t alignment, std::size_t bytes) noexcept {
  return AllocateAligned(alignment, bytes);
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  return AllocateAligned(alignment, bytes);
}

int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) noexcept {
  if (!std::has_single_bit(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  void* const taken = AllocateAligned(alignment, bytes);
  if (taken == nullptr) return ENOMEM;
  *block = taken;
  return 0;
}

void* valloc(std::size_t bytes) noexcept {
  return AllocateAligned(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)), bytes);
}

void* pvalloc(std::size_t bytes) noexcept {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return AllocateAligned(page, (bytes + page - 1) / page * page);
}

// For programs that know the recorder.
void stadial_trace_frame() { MarkFrame(); }  // NOLINT(readability-identifier-naming): a C name

std::clock_t clock() noexcept {
  MarkFrame();
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<std::clock_t>(now.tv_sec * CLOCKS_PER_SEC +
                                   now.tv_nsec / (1'000'000'000 / CLOCKS_PER_SEC));
}

int getrusage(__rusage_who_t who, rusage* usage) noexcept {
  MarkFrame();
  return static_cast<int>(::syscall(SYS_getrusage, who, usage));
}

// -1: the program called it without having curses.
int refresh() {
  MarkFrame();
  auto* const shown = reinterpret_cast<int (*)()>(::dlsym(RTLD_NEXT, "refresh"));
  return shown == nullptr ? -1 : shown();
}
}
