// Memory and an arena over it, for tests that do not need a region.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/size_literals.h"

namespace stadial::arenas::testing {

class ArenaBuffer {
 public:
  explicit ArenaBuffer(std::size_t bytes = 1_MiB, const char* name = "test")
      : bytes_(bytes),
        memory_(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kAlignment}))),
        arena(name, memory_, bytes) {}
  ~ArenaBuffer() {
    arena = Arena();
    ::operator delete (memory_, std::align_val_t{kAlignment});
  }
  ArenaBuffer(const ArenaBuffer&) = delete;
  ArenaBuffer& operator=(const ArenaBuffer&) = delete;
  std::byte* Memory() const { return memory_; }
  std::size_t Bytes() const { return bytes_; }

 private:
  static constexpr std::size_t kAlignment = 4096;
  std::size_t bytes_;
  std::byte* memory_;

 public:
  Arena arena;
};

}  // namespace stadial::arenas::testing
