// What is left of a run: pictures, the audit on the screen, the audit as JSON, the cells. After the last
// frame only: all of it uses the heap and the file system.
#pragma once

#include <string>
#include <vector>

#include "sandbox_app.h"

namespace stadial::sandbox {

// Before anything else runs: makes the output folder and touches the output files, so that a path that cannot
// be written is told in the first second instead of after the last frame. Errors (Io): path, reason, remedy.
Result<void> PrepareOutputs(const Options& options);

// About thirty lines for a person, on standard output.
void PrintRun(const SandboxApp& app, const runtime::AuditReport& report);

// Writes every kept picture and prints its path; returns the paths. Errors: Io.
Result<std::vector<std::string>> WritePictures(const SandboxApp& app);

// The audit's JSON: the runtime's fields, and under "run" what this program did.
std::string MakeJson(const SandboxApp& app, const runtime::AuditReport& report,
                     const std::vector<std::string>& pictures);

// Writes `bytes` to `path`. Errors: Io.
Result<void> WriteOutput(const std::string& path, std::span<const std::byte> bytes);

}  // namespace stadial::sandbox
