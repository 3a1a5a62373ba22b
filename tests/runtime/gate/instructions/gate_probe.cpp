// Runs one way through the gate N times, for check_instructions.py to count the instructions of.
#include <mimalloc.h>

#include <cstddef>
#include <cstdlib>
#include <new>

#include "../../../instruction_probe.h"
#include "stadial/runtime/gate.h"

namespace {

using namespace stadial::runtime;

constexpr std::size_t kBytes = 64;

void* Used(void* block) {
  asm volatile("" : "+r"(block) : : "memory");
  return block;
}

void MimallocPair(std::size_t count) {
  for (; count != 0; --count) mi_free(Used(mi_malloc(kBytes)));
}
void MallocPair(std::size_t count) {
  for (; count != 0; --count) std::free(Used(std::malloc(kBytes)));
}
void NewPair(std::size_t count) {
  for (; count != 0; --count) ::operator delete(Used(::operator new(kBytes)));
}
void CountedPair(std::size_t count) {
  const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "probe");
  MallocPair(count);
}
void Scope(std::size_t count) {
  for (; count != 0; --count)
    const GateScope scope(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "probe");
}
void DriverCall(std::size_t count) {
  for (; count != 0; --count) const DriverCallScope scope("probe");
}

constexpr struct {
  const char* name;
  void (*run)(std::size_t);
} kPaths[] = {
    {"mimalloc_pair", MimallocPair}, {"malloc_free_allow", MallocPair},
    {"new_delete_allow", NewPair},   {"malloc_free_count", CountedPair},
    {"gate_scope", Scope},           {"driver_call_scope", DriverCall},
};

}  // namespace

int main(int argumentCount, char** arguments) {
  return stadial::tests::RunProbe(argumentCount, arguments, kPaths,
                                  [](const auto& path, std::size_t count) { path.run(count); });
}
