// Scratch memory: two arenas a thread, for what a function needs only until it returns. A scratch names the
// arenas it must not be, its conflicts: those into which the same function puts its results.
//
//   std::span<Edge> FindEdges(const Mesh& mesh, Arena& results) {
//     Scratch scratch({&results});             // the caller may have passed us a scratch of its own
//     auto table = scratch->NewArray<Entry>(mesh.VertexCount());
//     ...                                      // results live on, the table is taken back here
//   }
//
// Why two: with one, the results would lie above the table and be taken back with it. A function that passes
// its own scratch down as `results` gets the other one back from below; that suffices for any depth.
//
// Growth:       none; each of the two has half of the bytes given.
// Exhaustion:   as any Arena; the messages name "scratch 0" and "scratch 1".
// Alignment:    as Arena.
// Destructors:  none run.
// Threads:      a ScratchArenas belongs to the thread that has bound it (ScratchBinding), one at a time.
// Invalidation: closing a Scratch takes back everything allocated from it since it was opened. Scratches of a
//               thread close in reverse order.
//
// Cost: opening a compare for each conflict, a thread-local load and a mark; closing one rewind. Allocating
// costs what it costs in any arena.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <source_location>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/result.h"

namespace stadial::arenas {

struct ScratchOptions {
  const char* kind = "scratch";  // in messages; not copied, as the remedy
  const char* remedy = "raise the scratch bytes per thread";
};

class ScratchArenas {
 public:
  static constexpr std::size_t kCount = 2;

  ScratchArenas() noexcept = default;  // two arenas of no bytes
  // Halves [base, base + bytes). Errors: InvalidArgument for less than kArenaGranularityBytes each.
  static Result<ScratchArenas> Carve(std::byte* base, std::size_t bytes, const ScratchOptions& options = {},
                                     std::source_location site = std::source_location::current());

  // The first that is none of the conflicts. Conflicts that are not scratch arenas of this thread count for
  // nothing; nullptr is allowed. Ends the process when both are conflicts.
  Arena& Choose(std::initializer_list<const Arena*> conflicts) noexcept {
    for (Arena& arena : arenas_) {
      bool isConflict = false;
      for (const Arena* const conflict : conflicts) isConflict |= conflict == &arena;
      if (!isConflict) return arena;
    }
    NoneLeft();
  }
  Arena& At(std::size_t index) noexcept {
    STADIAL_ASSERT_COMPARE(index, <, kCount, "no such scratch arena");
    return arenas_[index];
  }

  // Not while it is bound.
  ScratchArenas(ScratchArenas&&) noexcept = default;
  ScratchArenas& operator=(ScratchArenas&&) noexcept = default;

 private:
  [[noreturn, gnu::cold]] void NoneLeft() const noexcept;
  Arena arenas_[kCount];
};

// Makes a ScratchArenas this thread's own while it lives. Nested bindings hide the outer one.
class [[nodiscard]] ScratchBinding {
 public:
  explicit ScratchBinding(ScratchArenas& arenas) noexcept : outer_(current_) { current_ = &arenas; }
  ~ScratchBinding() { current_ = outer_; }
  ScratchBinding(const ScratchBinding&) = delete;
  ScratchBinding& operator=(const ScratchBinding&) = delete;

  // The calling thread's; nullptr when it has bound none.
  static ScratchArenas* Current() noexcept { return current_; }

 private:
  // NOLINTNEXTLINE(readability-identifier-naming): a private member, though static
  [[gnu::tls_model("initial-exec")]] static constinit thread_local ScratchArenas* current_;
  ScratchArenas* outer_;
};

// An open scratch. Everything allocated from it is taken back when it closes.
class [[nodiscard]] Scratch {
 public:
  // Of the calling thread, which must have bound a ScratchArenas.
  explicit Scratch(std::initializer_list<const Arena*> conflicts = {},
                   std::source_location site = std::source_location::current()) noexcept
      : Scratch(OfThisThread(site), conflicts, site) {}
  // Of arenas at hand: no thread-local is read.
  explicit Scratch(ScratchArenas& arenas, std::initializer_list<const Arena*> conflicts = {},
                   std::source_location site = std::source_location::current()) noexcept
      : arena_(arenas.Choose(conflicts)), scope_(arena_, site) {}

  // For passing on: a function that fills *scratch names it among its conflicts.
  Arena& operator*() const noexcept { return arena_; }
  Arena* operator->() const noexcept { return &arena_; }

 private:
  static ScratchArenas& OfThisThread(const std::source_location& site) noexcept {
    ScratchArenas* const arenas = ScratchBinding::Current();
    if (arenas == nullptr) [[unlikely]]
      NoneBound(site);
    return *arenas;
  }
  [[noreturn, gnu::cold]] static void NoneBound(const std::source_location& site) noexcept;

  Arena& arena_;
  ArenaScope scope_;
};

}  // namespace stadial::arenas
