#include "stadial/runtime/kernel_proof.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "frame_thread.h"
#include "stadial/arenas/assert.h"
#include "stadial/arenas/virtual_memory.h"

namespace stadial::runtime {
namespace {

constinit std::mutex freezeMutex;
constinit std::uint32_t freezeDepth = 0;
rlimit limitBefore;

Error Refused(const char* why) noexcept {
  return Error::Format(ErrorCode::NotSupported, "the address space cannot be frozen: %s", why);
}

}  // namespace

Result<AddressSpaceFreeze> AddressSpaceFreeze::Begin() noexcept {
  if (const char* const why = WhyFaultsAreNotOurs(); why != nullptr) return Refused(why);
  const std::lock_guard lock(freezeMutex);
  if (freezeDepth == 0) {
    if (getrlimit(RLIMIT_AS, &limitBefore) != 0) return Refused(strerrordesc_np(errno));
    const rlimit frozen{.rlim_cur = 0, .rlim_max = limitBefore.rlim_max};
    if (setrlimit(RLIMIT_AS, &frozen) != 0) return Refused(strerrordesc_np(errno));
    const std::size_t page = arenas::PageSize();
    void* const plant = mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (plant != MAP_FAILED) {
      munmap(plant, page);
      setrlimit(RLIMIT_AS, &limitBefore);
      return Refused("the kernel grants a mapping although RLIMIT_AS is 0");
    }
  }
  ++freezeDepth;
  return AddressSpaceFreeze();
}

AddressSpaceFreeze::~AddressSpaceFreeze() {
  if (!isHeld_) return;
  const std::lock_guard lock(freezeMutex);
  if (--freezeDepth != 0) return;
  const int restored = setrlimit(RLIMIT_AS, &limitBefore);
  STADIAL_ASSERT_ALWAYS(restored == 0, "a soft limit can always return to below its hard limit");
}

const char* ToString(KernelProofScope scope) noexcept {
  return scope == KernelProofScope::Process
             ? "the frame thread inside frames: no VM system call; every thread, a driver's too: no new "
               "mapping"
             : "the frame thread inside frames: no VM system call; other threads may map";
}

Result<KernelProof> KernelProof::Begin(VmSyscallWitness& witness, KernelProofScope scope) noexcept {
  if (!witness.IsInstalled()) {
    return Error::Format(ErrorCode::NotSupported,
                         "no kernel proof: the thread's witness is not installed (in a forked child?)");
  }
  std::optional<AddressSpaceFreeze> freeze;
  if (scope == KernelProofScope::Process) {
    Result<AddressSpaceFreeze> begun = AddressSpaceFreeze::Begin();
    if (!begun) return begun.GetError();
    freeze.emplace(std::move(begun).Value());
  }
  witness.SetPolicy(VmSyscallPolicy::Deny);
  return KernelProof(std::move(freeze), witness);
}

KernelProof::~KernelProof() {
  if (witness_ != nullptr) witness_->SetPolicy(VmSyscallPolicy::Count);
}

KernelProofResult KernelProof::Seen() const noexcept {
  return {.syscalls = witness_->Counts() - countsBefore_,
          .first = witness_->First(),
          .minorFaults = MinorFaults() - faultsBefore_};
}

}  // namespace stadial::runtime
