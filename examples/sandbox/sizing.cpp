#include "sizing.h"

#include <filesystem>

#include "sandbox_app.h"

namespace stadial::sandbox {

arenas::Result<SizingFiles> ReadSizing(const Options& options) {
  SizingFiles files;
  std::error_code error;
  if (!options.sizingPath.empty() && std::filesystem::exists(options.sizingPath, error)) {
    STADIAL_ASSIGN_OR_RETURN(files.known, runtime::ReadSizingProfile(options.sizingPath.c_str()));
  }
  if (!options.sizingCheckPath.empty()) {
    STADIAL_ASSIGN_OR_RETURN(files.budget, runtime::ReadSizingProfile(options.sizingCheckPath.c_str()));
  }
  return files;
}

arenas::Result<void> FinishSizing(SandboxApp& app, const SizingFiles& files) {
  const Options& options = app.GetOptions();
  if (options.sizingPath.empty() && !files.budget) return {};
  STADIAL_ASSIGN_OR_RETURN(const runtime::SizingProfile run, app.Sizing());
  if (!options.sizingPath.empty()) {
    runtime::SizingProfile all = run;
    if (files.known) STADIAL_RETURN_IF_ERROR(all.Merge(*files.known));
    STADIAL_RETURN_IF_ERROR(runtime::WriteSizingProfile(all, options.sizingPath.c_str()));
  }
  if (!files.budget) return {};
  // As much as a run has that is sized by it.
  return runtime::RequireWithinSizing(run, *files.budget,
                                      {.tolerancePercent = runtime::SizingMargin{}.percent});
}

}  // namespace stadial::sandbox
