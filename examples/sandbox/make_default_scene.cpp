// Writes the scene that ships with the sandbox: make_default_scene FILE.vox
#include <cstdio>

#include "default_scene.h"

int main(int argc, char** argv) {
  using namespace stadial::sandbox;
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_default_scene FILE.vox\n");
    return 2;
  }
  auto bytes = WriteVox(MakeDefaultScene());
  if (!bytes) {
    std::fprintf(stderr, "make_default_scene: %s\n", bytes.GetError().Message());
    return 1;
  }
  const auto saved = SaveFile(argv[1], bytes.Value());
  if (!saved) {
    std::fprintf(stderr, "make_default_scene: %s\n", saved.GetError().Message());
    return 1;
  }
  std::printf("%s: %zu bytes\n", argv[1], bytes.Value().size());
  return 0;
}
