// The kernel proof (T4): while it stands, code cannot get memory from the kernel. Two locks: the address
// space of the whole process is frozen (RLIMIT_AS, soft limit 0), and the calling thread's VM system calls
// fail without having run (the witness, policy Deny, while its window is open). And one count that no lock
// replaces: the thread's page faults. What runs under it and works needs nothing from the kernel.
//
// For tests: RunUnderKernelProof(body) runs a body under all three and says what it tried. For frames:
// Runtime::BeginKernelProof, and `--kernel-proof` of the sandbox.
//
// Covered: the calling thread completely; every other thread of the process (a driver's own, too) by the
// frozen address space alone: it cannot map, but can take up pages that were mapped before. Not covered:
// memory that another process holds for this one (a GPU's).
//
// Refused honestly, with the reason: where there is no witness (see kernel_witness.h), under sanitizers and
// valgrind (their own mappings would fail), and where the kernel grants a mapping although the limit is 0.
#pragma once

#include <optional>
#include <utility>

#include "stadial/runtime/kernel_witness.h"

namespace stadial::runtime {

// Freezes the process's address space until destroyed, when the former soft limit returns. Nests; any thread.
// A thread's stack can grow no further either: touch what it needs before. Cost: two system calls.
class [[nodiscard]] AddressSpaceFreeze {
 public:
  // Plants a mapping and demands that the kernel refuses it. NotSupported: why there can be no proof here.
  static Result<AddressSpaceFreeze> Begin() noexcept;
  ~AddressSpaceFreeze();
  AddressSpaceFreeze(AddressSpaceFreeze&& other) noexcept : isHeld_(std::exchange(other.isHeld_, false)) {}
  AddressSpaceFreeze& operator=(AddressSpaceFreeze&&) = delete;
  AddressSpaceFreeze(const AddressSpaceFreeze&) = delete;
  AddressSpaceFreeze& operator=(const AddressSpaceFreeze&) = delete;

 private:
  AddressSpaceFreeze() noexcept = default;
  bool isHeld_ = true;
};

// What a thread did while the proof stood.
struct KernelProofResult {
  VmSyscallCounts syscalls;  // all of the six were denied
  FirstVmSyscall first;
  std::uint64_t minorFaults = 0;
  bool Holds() const noexcept { return syscalls.Vm() == 0 && syscalls.lostWindows == 0 && minorFaults == 0; }
};

enum class KernelProofScope : std::uint8_t {
  Thread,   // the calling thread's VM system calls fail; the rest of the process is left alone
  Process,  // and the address space is frozen for all
};

// What each covers, in words.
const char* ToString(KernelProofScope scope) noexcept;

// The locks on, until destroyed. The witness's window is its owner's to open and close. Same thread
// throughout.
class [[nodiscard]] KernelProof {
 public:
  // `witness`: the calling thread's; it must outlive the proof.
  static Result<KernelProof> Begin(VmSyscallWitness& witness,
                                   KernelProofScope scope = KernelProofScope::Process) noexcept;
  ~KernelProof();
  KernelProof(KernelProof&& other) noexcept
      : freeze_(std::move(other.freeze_)),
        witness_(std::exchange(other.witness_, nullptr)),
        countsBefore_(other.countsBefore_),
        faultsBefore_(other.faultsBefore_) {}
  KernelProof& operator=(KernelProof&&) = delete;
  KernelProof(const KernelProof&) = delete;
  KernelProof& operator=(const KernelProof&) = delete;

  // Since Begin.
  KernelProofResult Seen() const noexcept;

 private:
  KernelProof(std::optional<AddressSpaceFreeze>&& freeze, VmSyscallWitness& witness) noexcept
      : freeze_(std::move(freeze)),
        witness_(&witness),
        countsBefore_(witness.Counts()),
        faultsBefore_(MinorFaults()) {}

  std::optional<AddressSpaceFreeze> freeze_;
  VmSyscallWitness* witness_;
  VmSyscallCounts countsBefore_;
  std::uint64_t faultsBefore_;
};

// Runs `body` once under the proof, with a window open, on the calling thread, which must have no witness
// yet. Run it once before: first calls bind symbols and touch pages.
template <class Body>
Result<KernelProofResult> RunUnderKernelProof(Body&& body) noexcept {
  Result<VmSyscallWitness> witness = VmSyscallWitness::Install();
  if (!witness) return witness.GetError();
  Result<KernelProof> proof = KernelProof::Begin(witness.Value());
  if (!proof) return proof.GetError();
  witness.Value().Enter();
  std::forward<Body>(body)();
  witness.Value().Leave();
  return proof.Value().Seen();
}

}  // namespace stadial::runtime
