// The scene that ships with the sandbox, made by this program: an island with a hill, a spring that falls
// into a pond, a temple, trees, lanterns, and an hourglass tower from which sand pours. The result lies in
// scenes/default.vox.
#pragma once

#include "vox_file.h"

namespace stadial::sandbox {

// Builds the whole scene: models, scene graph with groups, turned and repeated models, layers, palette,
// materials. Deterministic, integers only: the same bytes on every machine.
VoxScene MakeDefaultScene();

}  // namespace stadial::sandbox
