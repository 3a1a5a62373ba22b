#!/usr/bin/env bash
# Cross-compiles the arenas layer for Windows and runs its tests under wine. See --help.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: scripts/windows.sh [CTEST ARGUMENT...]

Cross-compiles the arenas layer and its portable tests for 64-bit Windows with Debian's mingw-w64,
and runs them under Debian's wine. Nothing else of this tree needs either.

What it does, step by step:
  1. installs the Debian packages that are missing: compiler, wine, GoogleTest's sources;
  2. configures and builds tests/windows in build/windows;
  3. runs the tests; wine keeps its settings in build/windows/wine.
TEXT
}

if [[ "${1:-}" == "--help" || "${1:-}" == "-h" ]]; then
  usage
  exit 0
fi

ensure_packages build windows
folder="$stadialRoot/build/windows"
say "configuring build/windows"
cmake -S "$stadialRoot/tests/windows" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_TOOLCHAIN_FILE="$stadialRoot/scripts/cmake/WindowsCross.cmake"
say "building build/windows ($(jobs) jobs)"
cmake --build "$folder" --parallel "$(jobs)"
say "testing build/windows under wine"
mkdir -p "$folder/wine"
(cd "$folder" && WINEPREFIX="$folder/wine" WINEDEBUG=-all ctest --output-on-failure --no-tests=error "$@")
