# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, never run. The caller has said `set -euo pipefail`.

stadialRoot="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
stadialDrivers="$stadialRoot/build/drivers"

# Steps go to standard error: standard output belongs to the program that a script runs.
say() { printf '==> %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

jobs() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN; }

# The packages of the named groups, sorted, each once.
packages_of() {
  local groups=" $* " group package
  while read -r group package _; do
    case "$group" in '' | '#'*) continue ;; esac
    if [[ "$groups" == *" $group "* ]]; then printf '%s\n' "$package"; fi
  done <"$stadialRoot/scripts/packages.txt" | sort -u
}

# Those of the packages named on standard input that dpkg does not have installed.
missing_packages() {
  local wanted installed
  wanted="$(cat)"
  # shellcheck disable=SC2086  # one word per package
  installed="$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $wanted 2>/dev/null | sed -n 's/^installed //p' | sort -u)"
  comm -23 <(sort -u <<<"$wanted") <(printf '%s\n' "$installed")
}

# Runs a command as root, by sudo where needed, and says so.
as_root() {
  if [[ "$(id -u)" -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    say "as root, by sudo: $*"
    sudo "$@"
  else
    die "this needs root, and there is no sudo here; run as root: $*"
  fi
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"; }

# ensure_packages GROUP...: installs what is missing; touches neither network nor root when nothing is.
ensure_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "not a Debian system: install the equivalents of these yourself: $(packages_of "$@" | tr '\n' ' ')"
    return 0
  fi
  local missing
  missing="$(packages_of "$@" | missing_packages)"
  if [[ -z "$missing" ]]; then
    say "packages ($*): all installed"
    return 0
  fi
  say "installing from Debian: $(tr '\n' ' ' <<<"$missing")"
  apt_get update -q || say "apt-get update failed; trying with the package lists that are here"
  # shellcheck disable=SC2086  # one word per package
  apt_get install -q -y --no-install-recommends $missing || die "could not install: $(tr '\n' ' ' <<<"$missing")"
}

# configure_preset PRESET [CMAKE ARGUMENT...]: warnings are errors where CI is set, but not under a sanitizer, whose
# instrumentation makes g++ see uses of values that are not there.
configure_preset() {
  local preset="$1"
  shift
  if [[ -n "${CI:-}" && "$preset" =~ ^(release|debug)$ ]]; then set -- -DSTADIAL_WERROR=ON "$@"; fi
  say "configuring build/$preset"
  (cd "$stadialRoot" && cmake --preset "$preset" "$@")
}

# build_preset PRESET [TARGET...]: all targets when none is named. Unchanged files are not compiled again.
build_preset() {
  local preset="$1"
  shift
  say "building build/$preset: ${*:-everything} ($(jobs) jobs)"
  if [[ $# -gt 0 ]]; then set -- --target "$@"; fi
  (cd "$stadialRoot" && cmake --build --preset "$preset" --parallel "$(jobs)" "$@")
}

# ensure_swiftshader: the second software driver, out of Debian's chromium package, kept in build/drivers.
ensure_swiftshader() {
  local library="$stadialDrivers/libvk_swiftshader.so"
  local manifest="$stadialDrivers/swiftshader_icd.json"
  if [[ -s "$library" && -s "$manifest" ]]; then return 0; fi
  mkdir -p "$stadialDrivers"
  local installed=/usr/lib/chromium/libvk_swiftshader.so
  if [[ -s "$installed" ]]; then
    say "SwiftShader: copying from the installed chromium package"
    cp "$installed" "$library.part"
  else
    unpack_swiftshader "$library.part"
  fi
  if [[ ! -s "$library.part" ]]; then
    die "SwiftShader: no libvk_swiftshader.so was found; put one into build/drivers yourself, or look at the lines above"
  fi
  mv "$library.part" "$library"
  cat >"$manifest" <<'JSON'
{
  "file_format_version": "1.0.0",
  "ICD": { "library_path": "./libvk_swiftshader.so", "api_version": "1.3.0" }
}
JSON
}

# unpack_swiftshader FILE: downloads chromium's package, without installing it, and takes the one library out. It
# has stood in chromium-common and in chromium, depending on the version.
unpack_swiftshader() {
  command -v apt-get >/dev/null || die "SwiftShader comes from Debian's chromium package; put libvk_swiftshader.so into $stadialDrivers yourself"
  local folder package member
  folder="$(mktemp -d "${TMPDIR:-/tmp}/stadial-driver.XXXXXX")"
  # shellcheck disable=SC2064  # the name as it is now
  trap "rm -rf '$folder'" EXIT
  # apt drops to its own user for the transfer when root calls it: the folder must be that user's.
  if [[ "$(id -u)" -eq 0 ]] && id -u _apt >/dev/null 2>&1; then chown _apt "$folder"; fi
  for package in chromium-common chromium; do
    say "SwiftShader: downloading Debian's $package package (30 to 80 MB; it is not installed)"
    if ! (cd "$folder" && apt-get -q download "$package" >&2); then
      apt_get update -q >&2 || true
      (cd "$folder" && apt-get -q download "$package" >&2) || continue
    fi
    member="$(dpkg-deb --fsys-tarfile "$folder/$package"_*.deb | tar -t | grep '/libvk_swiftshader\.so$' || true)"
    if [[ -n "$member" ]]; then
      say "SwiftShader: unpacking $member into build/drivers"
      dpkg-deb --fsys-tarfile "$folder/$package"_*.deb | tar -xO "$member" >"$1"
      break
    fi
  done
  rm -rf "$folder"
}

# use_drivers: every Vulkan driver of this machine, and SwiftShader where it was unpacked. A VK_DRIVER_FILES that
# the user has set stays in front.
use_drivers() {
  local list="${VK_DRIVER_FILES:-}" manifest
  if [[ -z "$list" ]]; then
    for manifest in /etc/vulkan/icd.d/*.json /usr/local/share/vulkan/icd.d/*.json /usr/share/vulkan/icd.d/*.json; do
      case "$manifest" in *i386* | *i686*) continue ;; esac
      if [[ -r "$manifest" ]]; then list="${list:+$list:}$manifest"; fi
    done
  fi
  if [[ -s "$stadialDrivers/swiftshader_icd.json" && ":$list:" != *"/swiftshader_icd.json:"* ]]; then
    list="${list:+$list:}$stadialDrivers/swiftshader_icd.json"
  fi
  if [[ -n "$list" ]]; then export VK_DRIVER_FILES="$list"; fi
}

# elapsed SECONDS: "3 min 7 s".
elapsed() { printf '%d min %d s' $(($1 / 60)) $(($1 % 60)); }
