#!/usr/bin/env bash
# Installs what is missing, builds and runs the sandbox. See --help.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

sandbox="$stadialRoot/build/release/bin/sandbox"

usage() {
  cat <<'TEXT'
usage: scripts/run.sh [SANDBOX ARGUMENT...]

Builds and runs the voxel sandbox: it loads a MagicaVoxel scene, steps a falling-sand automaton and ray-marches
it on a Vulkan device, with the allocation gate at 'trap', and leaves pictures and an audit.

What it does, step by step:
  1. installs the Debian packages that are missing (by sudo where you are not root);
  2. configures and builds build/release, only what the sandbox needs;
  3. runs build/release/bin/sandbox with your arguments, in the folder you call it from.
A second call starts where the first one left off. Without a GPU, Mesa's software driver lavapipe draws.

  --device SwiftShader   also fetches SwiftShader, a second software driver, out of Debian's chromium package
  --build-only           stops after step 2
  --help                 this text, and the sandbox's own once it is built

Examples:
  scripts/run.sh
  scripts/run.sh --frames 600 --json audit.json --out pictures
  scripts/run.sh --scene my.vox --size 1280x720 --device SwiftShader
TEXT
}

buildOnly=false
wantsSwiftShader=false
arguments=()
previous=""
for argument in "$@"; do
  case "$argument" in
    -h | --help)
      usage
      if [[ -x "$sandbox" ]]; then
        printf '\n'
        exec "$sandbox" --help
      fi
      exit 0
      ;;
    --build-only)
      buildOnly=true
      continue
      ;;
  esac
  if [[ "$previous" == --device || "$argument" == --device=* ]]; then
    if [[ "${argument,,}" == *swift* ]]; then wantsSwiftShader=true; fi
  fi
  arguments+=("$argument")
  previous="$argument"
done

ensure_packages build run
if $wantsSwiftShader; then ensure_swiftshader; fi
configure_preset release >&2
build_preset release sandbox >&2
if $buildOnly; then
  say "built: build/release/bin/sandbox"
  exit 0
fi
use_drivers
say "running: build/release/bin/sandbox ${arguments[*]:-}"
if "$sandbox" ${arguments[@]+"${arguments[@]}"}; then
  say "done: the sandbox ended well"
else
  code=$?
  say "the sandbox ended with exit code $code"
  exit "$code"
fi
