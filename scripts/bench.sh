#!/usr/bin/env bash
# Installs what is missing, builds and runs the benchmarks. See --help.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: scripts/bench.sh [arenas|runtime|graph|gpu|tools|all] [--quick] [--json DIR] [--check] [-- ARGUMENT...]

Builds the release benchmarks, runs those of one layer (default: all), and joins the results with bench/*/rows.json.

  --quick      short runs, to see that everything works; the figures are coarse
  --json DIR   where the results go (default: build/bench)
  --check      exit with 1 when a row does not hold its goal
  --help       this text
  -- ARGS      go to every Google Benchmark program, as in: -- --benchmark_filter=Emit

It leaves in DIR:
  results/PROGRAM.json   what Google Benchmark measured (PROGRAM.1.json ... of programs that take turns)
  summary.json           an array of {id, what, unit, ours, other, other_name, ratio, goal, holds}, lost rows included
  machine.json           machine, compiler, flags, versions, commit and command
  README.md, plots/      a page made from them
  traces/                of the heaps of real programs, recorded here and replayed (arenas)
A full run ("all", not --quick, no further arguments) also copies the page to bench/README.md and bench/plots.
TEXT
}

layer=all
quick=false
check=()
out=""
arguments=()
command="scripts/bench.sh"
while [[ $# -gt 0 ]]; do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    arenas | runtime | graph | gpu | tools | all) layer="$1" ;;
    --quick) quick=true ;;
    --check) check=(--check) ;;
    --json)
      [[ $# -ge 2 ]] || die "--json needs a folder"
      out="$2"
      shift
      ;;
    --json=*) out="${1#--json=}" ;;
    --)
      shift
      arguments=("$@")
      break
      ;;
    *) die "no such layer or option: '$1'; see scripts/bench.sh --help" ;;
  esac
  shift
done
out="${out:-$stadialRoot/build/bench}"
mkdir -p "$out/results"
out="$(cd "$out" && pwd)"
build="$stadialRoot/build/release"

ensure_packages build run bench
configure_preset release -DSTADIAL_BUILD_BENCH=ON -DSTADIAL_BENCH_PEERS=ON >&2

# The programs of the chosen layers, by the first word of their names, and the rows that face them.
command+=" $layer"
if $quick; then command+=" --quick"; fi
if [[ ${#arguments[@]} -gt 0 ]]; then command+=" -- ${arguments[*]}"; fi
layers=("$layer")
if [[ "$layer" == all ]]; then layers=(arenas runtime graph gpu tools); fi
programs=()
rows=()
for name in "${layers[@]}"; do
  while read -r program; do
    if [[ "$program" == "${name}_"* ]]; then programs+=("$program"); fi
  done <"$build/benches.txt"
  if [[ -f "$stadialRoot/bench/$name/rows.json" ]]; then rows+=("$stadialRoot/bench/$name/rows.json"); fi
done
[[ ${#programs[@]} -gt 0 ]] || die "there are no benchmarks for '$layer' in this build"
[[ ${#rows[@]} -gt 0 ]] || die "there is no bench/*/rows.json for '$layer'"
build_preset release "${programs[@]}" >&2
use_drivers

# Programs that are compared with each other take turns, a repetition each, so that a slow minute of the machine is a
# slow minute for all of them. Each repetition is short: a batch takes microseconds, and a frame counts its own.
inRounds=()
alone=()
takesTurns="$(cat "$build/benches_in_rounds.txt" 2>/dev/null || true)"
for program in "${programs[@]}"; do
  if grep -qxF "$program" <<<"$takesTurns"; then inRounds+=("$program"); else alone+=("$program"); fi
done
rounds=5
length=(--benchmark_repetitions=5 --benchmark_min_time=0.2)
lengthInRounds=(--benchmark_repetitions=1 --benchmark_min_time=0.05)
if $quick; then
  rounds=1
  length=(--benchmark_repetitions=1 --benchmark_min_time=0.02)
  lengthInRounds=(--benchmark_repetitions=1 --benchmark_min_time=0.01)
  export STADIAL_BENCH_FRAMES="${STADIAL_BENCH_FRAMES:-64}"
fi
# run_bench PROGRAM RESULT ARGUMENT...
run_bench() {
  local program="$1" result="$2"
  shift 2
  "$build/bin/$program" "$@" --benchmark_out_format=json "--benchmark_out=$out/results/$result.json" \
    ${arguments[@]+"${arguments[@]}"} || die "$program failed with exit code $?"
}
rm -f "$out"/results/*.json
: >"$out/without.txt"
if [[ -f "$build/benches_without.txt" ]]; then cat "$build/benches_without.txt" >"$out/without.txt"; fi
# The heaps of real programs, to be replayed: recorded here, since they depend on the machine's libraries.
if [[ " ${layers[*]} " == *" arenas "* ]]; then
  say "recording allocation traces"
  recorded=(arenas_trace_recorder arenas_trace_tool)
  if ! grep -q '^arenas_trace_physics ' "$out/without.txt"; then recorded+=(arenas_trace_physics); fi
  build_preset release "${recorded[@]}" >&2
  export STADIAL_BENCH_TRACES="$out/traces"
  "$stadialRoot/bench/arenas/trace/record_traces.sh" "$build" "$STADIAL_BENCH_TRACES" >>"$out/without.txt"
fi
python3 "$stadialRoot/scripts/bench_machine.py" --build "$build" --command "$command" >"$out/machine.tmp"
for program in ${alone[@]+"${alone[@]}"}; do
  say "running $program"
  run_bench "$program" "$program" "${length[@]}"
done
for ((round = 1; round <= rounds; ++round)); do
  for program in ${inRounds[@]+"${inRounds[@]}"}; do
    say "running $program, round $round of $rounds"
    run_bench "$program" "$program.$round" "${lengthInRounds[@]}"
  done
done

say "joining the results with ${rows[*]#"$stadialRoot"/}"
code=0
python3 "$stadialRoot/scripts/bench_summary.py" --rows "${rows[@]}" --results "$out/results" --out "$out" \
  --machine "$out/machine.tmp" --without "$out/without.txt" ${check[@]+"${check[@]}"} || code=$?
rm -f "$out/machine.tmp" "$out/without.txt"
if [[ $code -eq 0 && "$layer" == all && ${#arguments[@]} -eq 0 ]] && ! $quick; then
  rm -rf "$stadialRoot/bench/plots"
  cp -r "$out/plots" "$stadialRoot/bench/plots"
  cp "$out/README.md" "$stadialRoot/bench/README.md"
  say "the page is in bench/README.md"
fi
say "results: $out/summary.json"
exit "$code"
