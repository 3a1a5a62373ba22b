// Threads that live for a whole benchmark and start each piece of work together, so that what is timed is the
// work and not the making of threads. Work of several threads is as slow as the one that the machine held up,
// so beside the mean stands the least time of all iterations: what the threads can do when they really run at
// once. Each has a processor of its own, where there are enough: two that take turns on one would find what
// they hand each other in its cache, and look faster than threads that run at once.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

namespace stadial::bench {

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

class LeastTime {
 public:
  // Returns what it is given.
  double Add(double seconds) {
    least_ = std::min(least_, seconds);
    return seconds;
  }
  double Nanoseconds(std::size_t operations) const { return least_ * 1e9 / static_cast<double>(operations); }

 private:
  double least_ = std::numeric_limits<double>::max();
};

class Crew {
 public:
  // `size` workers, the calling thread included: it is worker 0.
  explicit Crew(std::size_t size) : size_(size) {
    CPU_ZERO(&allowed_);
    sched_getaffinity(0, sizeof allowed_, &allowed_);
    for (std::size_t worker = 1; worker < size; ++worker) {
      threads_.emplace_back([this, worker] {
        TakeProcessor(worker);
        Serve(worker);
      });
    }
    TakeProcessor(0);
  }
  ~Crew() {
    Start(nullptr, nullptr);
    for (std::thread& thread : threads_) thread.join();
    sched_setaffinity(0, sizeof allowed_, &allowed_);
  }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  std::size_t Size() const { return size_; }

  // work(worker) on every worker at once. Returns the seconds from the start until the last has finished.
  template <class Work>
  double Run(const Work& work) {
    const Stopwatch watch;
    Start([](const void* context, std::size_t worker) { (*static_cast<const Work*>(context))(worker); },
          &work);
    work(std::size_t{0});
    while (working_.load(std::memory_order_acquire) != 0) Relax();
    return watch.Seconds();
  }

  // What a spinning thread does: on a machine with fewer cores than workers the other one has to get on.
  static void Relax() { std::this_thread::yield(); }

 private:
  using Function = void (*)(const void* context, std::size_t worker);

  // The calling thread's own: the one of that number among those that the process may use.
  void TakeProcessor(std::size_t number) const {
    if (static_cast<std::size_t>(CPU_COUNT(&allowed_)) < size_) return;
    for (std::size_t processor = 0; processor < CPU_SETSIZE; ++processor) {
      if (!CPU_ISSET(processor, &allowed_) || number-- != 0) continue;
      cpu_set_t own;
      CPU_ZERO(&own);
      CPU_SET(processor, &own);
      sched_setaffinity(0, sizeof own, &own);
      return;
    }
  }

  void Start(Function function, const void* context) {
    function_ = function;
    context_ = context;
    working_.store(size_ - 1, std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
  }
  void Serve(std::size_t worker) {
    for (std::uint64_t seen = 0;;) {
      while (round_.load(std::memory_order_acquire) == seen) Relax();
      ++seen;
      if (function_ == nullptr) return;
      function_(context_, worker);
      working_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::size_t size_;
  cpu_set_t allowed_;
  Function function_ = nullptr;
  const void* context_ = nullptr;
  alignas(64) std::atomic<std::uint64_t> round_{0};
  alignas(64) std::atomic<std::size_t> working_{0};
  std::vector<std::thread> threads_;
};

}  // namespace stadial::bench
