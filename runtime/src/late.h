// Late<T>: a T inside its owner that is constructed after it, once its own parts exist. Private to the
// runtime. Access asserts that it is there; it ends with Reset or with its owner.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include "stadial/arenas/assert.h"

namespace stadial::runtime {

template <class T>
class Late {
 public:
  Late() noexcept = default;
  Late(const Late&) = delete;
  Late& operator=(const Late&) = delete;
  ~Late() { Reset(); }

  template <class... Args>
  T& Emplace(Args&&... args) noexcept {
    Reset();
    object_ = ::new (static_cast<void*>(storage_)) T(std::forward<Args>(args)...);
    return *object_;
  }
  void Reset() noexcept {
    if (T* const object = std::exchange(object_, nullptr)) object->~T();
  }

  // Null before Emplace and after Reset.
  T* Get() const noexcept { return object_; }
  T* operator->() const noexcept {
    STADIAL_ASSERT(object_ != nullptr, "used before it was constructed");
    return object_;
  }
  T& operator*() const noexcept { return *operator->(); }

 private:
  alignas(T) std::byte storage_[sizeof(T)];
  T* object_ = nullptr;
};

}  // namespace stadial::runtime
