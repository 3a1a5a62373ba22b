// Marks of what runs inside a frame. A compiler that knows function effects (clang 20 and later, with
// -Werror=function-effects; preset "effects") then refuses, with the chain of calls, whatever allocates,
// frees, throws or calls what it cannot see into:
//
//   using EventHandler = void (*)(void* self, const Event& event) STADIAL_NONALLOCATING;
//   virtual void Execute(ExecuteContext& ctx) STADIAL_NONALLOCATING = 0;  // overrides need no mark
//   bus.Subscribe(type, [](void*, const Event&) STADIAL_NONALLOCATING { ... }, nullptr);
//
// Functions whose body is in sight need no mark; one that is defined in another file, and a function or
// lambda that becomes a function pointer, does. The mark stands behind `noexcept`. Other compilers see
// nothing.
//
// What it cannot see: through pointers without the mark, into drivers and the C library (reviewed, see
// below), and what code that is not compiled with the warning does. The link-time walk and the run-time gate
// do.
#pragma once

#if defined(__clang__) && __clang_major__ >= 20
#define STADIAL_NONALLOCATING [[clang::nonallocating]]
// STADIAL_EFFECTS_REVIEWED("why this is right", expression): a person has judged what the compiler cannot.
// The function around it must bear the mark itself. Every use stands in tests/effects/reviewed.txt, which a
// test compares.
#define STADIAL_EFFECTS_REVIEWED(reason, ...)                                                 \
  _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Wfunction-effects\"") \
      __VA_ARGS__ _Pragma("clang diagnostic pop")
#else
#define STADIAL_NONALLOCATING
#define STADIAL_EFFECTS_REVIEWED(reason, ...) __VA_ARGS__
#endif
