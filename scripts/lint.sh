#!/usr/bin/env bash
# Checks formatting and runs clang-tidy. See --help.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: scripts/lint.sh [--all] [--fix] [--format-only] [FILE...]

Checks the C++ files with clang-format 14 and clang-tidy 19, both Debian's, by .clang-format and .clang-tidy.

  (no file)       the files that differ from the last commit, new ones included
  --all           every C++ file of the tree
  --fix           formats the files instead of complaining
  --format-only   no clang-tidy
  --help          this text
TEXT
}

all=false
fix=false
tidy=true
files=()
while [[ $# -gt 0 ]]; do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    --all) all=true ;;
    --fix) fix=true ;;
    --format-only) tidy=false ;;
    -*) die "no such option: '$1'; see scripts/lint.sh --help" ;;
    *) files+=("$(realpath --relative-to="$stadialRoot" "$1")") ;;
  esac
  shift
done

ensure_packages lint
cd "$stadialRoot"
if [[ ${#files[@]} -eq 0 ]]; then
  if $all || ! git rev-parse -q --verify HEAD >/dev/null; then
    mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.h' '*.cpp')
  else
    mapfile -t files < <({
      git diff --name-only --diff-filter=d HEAD -- '*.h' '*.cpp'
      git ls-files --others --exclude-standard -- '*.h' '*.cpp'
    } | sort -u)
  fi
fi
if [[ ${#files[@]} -eq 0 ]]; then
  say "no C++ file has changed"
  exit 0
fi

if $fix; then
  say "formatting ${#files[@]} files"
  clang-format-14 -i "${files[@]}"
else
  say "checking the format of ${#files[@]} files"
  clang-format-14 --dry-run --Werror "${files[@]}" || die "run scripts/lint.sh --fix"
fi

if $tidy; then
  sources=()
  for file in "${files[@]}"; do
    # Files that are meant not to compile, and headers (checked through the sources that include them), stay out.
    case "$file" in
      *.h | */compile_fail/* | tests/headers/* | tests/package/*) ;;
      *) sources+=("$file") ;;
    esac
  done
  if [[ ${#sources[@]} -gt 0 ]]; then
    ensure_packages build
    # A build of its own, file by file: in build/release, tests are compiled in groups (STADIAL_UNITY), which clang-tidy
    # could not look up. Headers made from shaders have to exist before a source that includes them can be read.
    configure_preset release -B build/lint -DSTADIAL_UNITY=none
    say "building build/lint ($(jobs) jobs)"
    cmake --build build/lint --parallel "$(jobs)"
    say "clang-tidy: ${#sources[@]} sources ($(jobs) at a time)"
    printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$(jobs)" \
      clang-tidy-19 --quiet -p build/lint --extra-arg=-Wno-ignored-gch ||
      die "clang-tidy found something; the lines above say what and where"
  fi
fi
say "lint: nothing to complain about"
