#!/usr/bin/env bash
# shellcheck disable=SC2016,SC1091
# The functions of scripts/lib.sh and the argument handling of the scripts, without installing or building anything:
# the tools they call are replaced by recorders in a folder at the front of PATH.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
failures=0

expect() { # expect WHAT WANTED GOT
  if [[ "$2" != "$3" ]]; then
    printf 'FAILED: %s\n  wanted: %s\n  got:    %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
  fi
}
expect_holds() { # expect_holds WHAT TEXT OUTPUT
  if [[ "$3" != *"$2"* ]]; then
    printf 'FAILED: %s\n  wanted the text: %s\n  got: %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
  fi
}

# A copy of the scripts in a tree of their own, so that nothing touches the real build folder.
mkdir -p "$work/tree/build/release/bin" "$work/bin"
cp -r "$root/scripts" "$work/tree/scripts"
cat >"$work/tree/scripts/packages.txt" <<'LIST'
# a comment
build alpha
build beta
run beta
test gamma
LIST
printf 'arenas_x_bench\nruntime_y_bench\n' >"$work/tree/build/release/benches.txt"

recorder() { # recorder NAME [BODY]
  printf '#!/bin/bash\nprintf "%%s" "%s" >>"$RECORD"; for a in "$@"; do printf " [%%s]" "$a" >>"$RECORD"; done; printf "\\n" >>"$RECORD"\n%s\n' \
    "$1" "${2:-}" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}
export RECORD="$work/record"
recorder cmake
recorder ctest
recorder apt-get
recorder sudo
recorder setarch
recorder id 'if [[ "$*" == "-u" ]]; then echo "${FAKE_UID:-0}"; else exit 1; fi'
recorder dpkg-query 'for p in ${FAKE_INSTALLED:-}; do echo "installed $p"; done'
printf '#!/bin/bash\nprintf "sandbox" >>"$RECORD"; for a in "$@"; do printf " [%%s]" "$a" >>"$RECORD"; done; printf "\\n" >>"$RECORD"; echo "drivers $VK_DRIVER_FILES"; exit "${FAKE_EXIT:-0}"\n' \
  >"$work/tree/build/release/bin/sandbox"
chmod +x "$work/tree/build/release/bin/sandbox"
printf x | tee "$work/swift.so" >/dev/null
export PATH="$work/bin:$PATH"
unset CI VK_DRIVER_FILES || true
record() { grep -v -E '^(id|dpkg-query)' "$RECORD" 2>/dev/null || true; }
reset() { : >"$RECORD"; }

swift() {
  mkdir -p "$work/tree/build/drivers"
  cp "$work/swift.so" "$work/tree/build/drivers/libvk_swiftshader.so"
  echo '{}' >"$work/tree/build/drivers/swiftshader_icd.json"
}

# Packages: groups are joined, each package once; installed ones are left alone without apt or sudo.
source "$work/tree/scripts/lib.sh"
expect "packages of two groups" "alpha beta" "$(packages_of build run | xargs)"
expect "packages of no group" "" "$(packages_of lint | xargs)"
expect "a group whose name holds another's" "" "$(packages_of buil | xargs)"
export FAKE_INSTALLED="alpha"
expect "missing packages" "beta gamma" "$(packages_of build run test | missing_packages | xargs)"
reset
FAKE_INSTALLED="alpha beta" ensure_packages build run 2>/dev/null
expect "nothing is installed when all is there" "" "$(record)"
reset
ensure_packages build run 2>/dev/null
expect_holds "what is missing is installed" "[install] [-q] [-y] [--no-install-recommends] [beta]" "$(record)"
expect_holds "the package lists are fetched first" "[update]" "$(record | head -n 1)"
reset
said="$(FAKE_UID=1000 ensure_packages build 2>&1)"
expect_holds "sudo where not root" "sudo [env] [DEBIAN_FRONTEND=noninteractive] [apt-get]" "$(record)"
expect_holds "it says what runs by sudo" "as root, by sudo: env DEBIAN_FRONTEND=noninteractive apt-get" "$said"
expect_holds "it says what it installs" "installing from Debian: beta" "$said"
export FAKE_INSTALLED="alpha beta gamma"

# run.sh: builds only the sandbox, passes arguments on as they are, keeps its exit code.
reset
output="$("$work/tree/scripts/run.sh" --frames 3 --scene 'a b.vox' 2>/dev/null)"
expect "run.sh builds the sandbox alone" "cmake [--build] [--preset] [release] [--parallel] [$(jobs)] [--target] [sandbox]" "$(record | sed -n 2p)"
expect "run.sh passes arguments on" "sandbox [--frames] [3] [--scene] [a b.vox]" "$(record | sed -n 3p)"
code=0
FAKE_EXIT=7 "$work/tree/scripts/run.sh" >/dev/null 2>&1 || code=$?
expect "run.sh keeps the exit code" 7 "$code"
reset
"$work/tree/scripts/run.sh" --build-only >/dev/null 2>&1
expect "run.sh --build-only runs nothing" "" "$(record | grep '^sandbox' || true)"
swift
output="$("$work/tree/scripts/run.sh" --device swiftshader 2>/dev/null)"
expect_holds "run.sh offers SwiftShader" "$work/tree/build/drivers/swiftshader_icd.json" "$output"
output="$(VK_DRIVER_FILES=/mine.json "$work/tree/scripts/run.sh" 2>/dev/null)"
expect_holds "the user's drivers stay in front" "drivers /mine.json:" "$output"
expect_holds "run.sh --help" "usage: scripts/run.sh" "$("$work/tree/scripts/run.sh" --help)"

# test.sh: presets, ctest arguments, failures.
reset
output="$("$work/tree/scripts/test.sh" --quick -R 'Event Bus')"
expect_holds "test.sh passes arguments to ctest" "ctest [--preset] [release] [-j] [$(jobs)]" "$(record)"
expect_holds "test.sh keeps arguments whole" "[-R] [Event Bus]" "$(record)"
expect_holds "test.sh ends with a clear line" "all tests passed: release (total" "$(tail -n 1 <<<"$output")"
expect_holds "test.sh covers three builds" "all tests passed: release asan-ubsan tsan" "$("$work/tree/scripts/test.sh" | tail -n 1)"
code=0
"$work/tree/scripts/test.sh" --preset nosuch >/dev/null 2>&1 || code=$?
expect "an unknown preset is refused" 1 "$code"
reset
CI=true "$work/tree/scripts/test.sh" --quick >/dev/null
expect_holds "warnings are errors in CI" "[-DSTADIAL_WERROR=ON]" "$(record | head -n 1)"
recorder ctest 'exit 8'
code=0
output="$("$work/tree/scripts/test.sh" --preset release --preset debug)" || code=$?
expect "failing tests make test.sh fail" 1 "$code"
expect_holds "it names the builds that failed" "tests FAILED in: release debug" "$output"

# bench.sh: what it refuses.
code=0
output="$("$work/tree/scripts/bench.sh" nosuch 2>&1)" || code=$?
expect "an unknown layer is refused" 1 "$code"
code=0
output="$("$work/tree/scripts/bench.sh" gpu 2>&1)" || code=$?
expect_holds "a layer without benchmarks is said to have none" "there are no benchmarks for 'gpu'" "$output"

# bench.sh: programs that are compared with each other take turns, the others run once, and all results are joined.
mkdir -p "$work/tree/bench/runtime"
printf '[]\n' >"$work/tree/bench/runtime/rows.json"
printf 'runtime_x_bench\nruntime_y_bench\nruntime_z_bench\n' >"$work/tree/build/release/benches.txt"
printf 'runtime_y_bench\nruntime_z_bench\n' >"$work/tree/build/release/benches_in_rounds.txt"
printf '#!/bin/bash\nprintf "%%s" "$(basename "$0")" >>"$RECORD"; for a in "$@"; do printf " [%%s]" "${a/*results/results}" >>"$RECORD"; done; printf "\\n" >>"$RECORD"\n' \
  >"$work/tree/build/release/bin/runtime_x_bench"
chmod +x "$work/tree/build/release/bin/runtime_x_bench"
cp "$work/tree/build/release/bin/runtime_x_bench" "$work/tree/build/release/bin/runtime_y_bench"
cp "$work/tree/build/release/bin/runtime_x_bench" "$work/tree/build/release/bin/runtime_z_bench"
recorder cmake
reset
code=0
"$work/tree/scripts/bench.sh" runtime -- --fruit=apple >/dev/null 2>&1 || code=$?
expect "bench.sh succeeds" 0 "$code"
expect_holds "bench.sh finds the peers" "[-DSTADIAL_BENCH_PEERS=ON]" "$(record)"
expect "turns" "runtime_x_bench runtime_y_bench runtime_z_bench runtime_y_bench runtime_z_bench" \
  "$(record | grep -o '^runtime_._bench' | head -n 5 | xargs)"
expect "five rounds" 5 "$(record | grep -c '^runtime_z_bench')"
expect_holds "a program of its own repeats by itself" "runtime_x_bench [--benchmark_repetitions=5]" "$(record)"
expect_holds "each round leaves a file" "[results/runtime_z_bench.5.json] [--fruit=apple]" "$(record)"

if [[ $failures -gt 0 ]]; then
  printf '%d checks failed\n' "$failures"
  exit 1
fi
printf 'all checks of the scripts passed\n'
