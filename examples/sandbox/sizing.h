// The sizing profiles of --sizing-profile and --sizing-check.
#pragma once

#include <optional>

#include "options.h"
#include "stadial/runtime/sizing_profile.h"

namespace stadial::sandbox {

class SandboxApp;

struct SizingFiles {
  std::optional<runtime::SizingProfile> known;   // of earlier runs
  std::optional<runtime::SizingProfile> budget;  // to stay within
};

// Before the run, so that a bad file is told at once. Errors: Io, CorruptData; a profile that is not there
// yet is none.
arenas::Result<SizingFiles> ReadSizing(const Options& options);
// After the run. Writes what it and those before it used. CapacityExceeded: the run is not within its budget,
// with the culprit named; Io.
arenas::Result<void> FinishSizing(SandboxApp& app, const SizingFiles& files);

}  // namespace stadial::sandbox
