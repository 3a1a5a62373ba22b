#!/usr/bin/env bash
# Installs what is missing, builds and runs all tests. See --help.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: scripts/test.sh [--quick] [--preset NAME]... [CTEST ARGUMENT...]

Builds and runs all tests, in four builds: release, asan-ubsan (AddressSanitizer and
UndefinedBehaviorSanitizer), tsan (ThreadSanitizer) and effects (clang-22: what allocates
in a frame does not compile).

What it does, step by step:
  1. installs the Debian packages that are missing (by sudo where you are not root);
  2. unpacks SwiftShader, the second software Vulkan driver, out of Debian's chromium package (once);
  3. for each build: configures and builds build/NAME and runs ctest there.
A second call compiles only what has changed. Warnings are errors where the variable CI is set.

  --quick         release only
  --preset NAME   only this build (may be repeated): release, debug, asan-ubsan, tsan, effects; or msan, the
                  tests of the arenas alone with MemorySanitizer, or rtsan, frames with RealtimeSanitizer
                  (both need clang 22); or windows, the arenas cross-compiled and run under wine
                  (scripts/windows.sh), which the variable CI adds to the four
  --help          this text

Everything else goes to ctest. Examples:
  scripts/test.sh --quick
  scripts/test.sh --preset tsan -R EventBus
  scripts/test.sh --quick -L arenas --repeat until-fail:20
A test is one case (EventBus.E1_...) in release, debug and msan; in asan-ubsan and tsan, where starting a process costs
more than most cases take, mostly a suite (runtime_tests.EventBus): filter there by the names of suites.
Results in JUnit's format lie in build/NAME/junit.xml.
TEXT
}

presets=()
arguments=()
while [[ $# -gt 0 ]]; do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    --quick) presets+=(release) ;;
    --preset)
      [[ $# -ge 2 ]] || die "--preset needs a name: release, debug, asan-ubsan, tsan, effects, msan, rtsan or windows"
      presets+=("$2")
      shift
      ;;
    --preset=*) presets+=("${1#--preset=}") ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
if [[ ${#presets[@]} -eq 0 ]]; then
  presets=(release asan-ubsan tsan effects)
  # Arguments choose among ctest's names; the tests under wine are one program.
  if [[ -n "${CI:-}" && ${#arguments[@]} -eq 0 ]]; then presets+=(windows); fi
fi
groups=(build run test)
for preset in "${presets[@]}"; do
  case "$preset" in
    release | debug | asan-ubsan | tsan) ;;
    effects | msan | rtsan | windows) groups+=("$preset") ;;
    *) die "no such preset: '$preset'; there are release, debug, asan-ubsan, tsan, effects, msan, rtsan and windows" ;;
  esac
done

# One stream, so that steps and results stay in order in a log.
exec 2>&1

# test_preset NAME: builds and tests one preset.
test_preset() {
  local preset="$1"
  if [[ "$preset" == windows ]]; then
    "$stadialRoot/scripts/windows.sh" ${arguments[@]+"${arguments[@]}"}
    return
  fi
  rm -f "$stadialRoot/build/$preset/Testing/Temporary/LastTestsFailed.log"
  configure_preset "$preset"
  build_preset "$preset"
  local run=()
  # ThreadSanitizer's fixed address layout does not survive strong address randomisation.
  if [[ "$preset" != release && "$preset" != debug ]] && setarch "$(uname -m)" -R true 2>/dev/null; then
    run=(setarch "$(uname -m)" -R)
  fi
  say "testing build/$preset"
  (cd "$stadialRoot" && ${run[@]+"${run[@]}"} ctest --preset "$preset" -j "$(jobs)" \
    --output-junit "$stadialRoot/build/$preset/junit.xml" ${arguments[@]+"${arguments[@]}"})
}

# failed_tests NAME: "NUMBER:TEST" of each test that failed in the last run; nothing when there was none.
failed_tests() { cat "$stadialRoot/build/$1/Testing/Temporary/LastTestsFailed.log" 2>/dev/null || true; }

started=$SECONDS
ensure_packages "${groups[@]}"
ensure_swiftshader
use_drivers

report=()
failed=()
for preset in "${presets[@]}"; do
  begun=$SECONDS
  # In a subshell with its own -e: one build that fails must not hide what the others say.
  set +e
  (
    set -e
    test_preset "$preset"
  )
  code=$?
  set -e
  if [[ $code -eq 0 ]]; then
    report+=("$preset passed ($(elapsed $((SECONDS - begun))))")
  else
    report+=("$preset FAILED ($(elapsed $((SECONDS - begun))))")
    failed+=("$preset")
    # Again at the end, where the last lines of a long log are all that one sees.
    while IFS= read -r name; do report+=("  failed: ${name#*:}"); done < <(failed_tests "$preset")
  fi
done

for line in "${report[@]}"; do say "$line"; done
if [[ ${#failed[@]} -gt 0 ]]; then
  say "tests FAILED in: ${failed[*]} (total $(elapsed $((SECONDS - started))))"
  exit 1
fi
say "all tests passed: ${presets[*]} (total $(elapsed $((SECONDS - started))))"
