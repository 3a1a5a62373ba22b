#!/usr/bin/env python3
"""Joins Google Benchmark results with rows.json into summary.json, machine.json and a page with plots.

A rows.json is an array of rows, one per comparison:
  {"id": "arenas.bump_64", "what": "allocate 64 B, 10k per batch", "unit": "ns/op",
   "ours":  {"program": "arenas_arena_bench", "benchmark": "BM_ArenaAllocate/64", "field": "cpu_time"},
   "other": {"program": "arenas_malloc_bench", "benchmark": "BM_Malloc/64", "field": "cpu_time"},
   "other_name": "glibc malloc", "goal": {"op": "<=", "ratio": 0.2}}
`field` is cpu_time, real_time (both turned into the time at the front of `unit`), or the name of a user counter.
An optional "scale" multiplies a value (a batch of 10,000 operations: 0.0001). `other` may be a limit instead of a
measurement: {"constant": 1000, "unit": "ns"}; or the smallest of several: {"best_of": [measurement, ...]}. The ratio
is ours / other; a row holds if "ratio op goal" is true, or if its goal has an "or_below" and ours is not above that.
A benchmark is looked up by its full name, and the median of its repetitions is taken. The repetitions of a program
that took turns with others lie in several files, PROGRAM.1.json, PROGRAM.2.json and so on.
A file given by --without names programs that could not be built, or benchmarks that lack their subject (the name up to
the first slash: "Trace_lua"), each with the package it misses: rows that need one of them are left out, and a best_of
does without it.

Exit code: 0, also where goals fail (the summary says so); 1 with --check and a row that does not hold; 2 where a
rows.json is malformed or a benchmark that a row names was not measured.
"""
import argparse
import difflib
import json
import math
import pathlib
import statistics
import sys

import bench_page

OPERATORS = {"<=": lambda a, b: a <= b, "<": lambda a, b: a < b, ">=": lambda a, b: a >= b, ">": lambda a, b: a > b}
NANOSECONDS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
TEXT_KEYS = ("id", "what", "unit", "other_name")


class Missing(Exception):
    """A row names something that was not measured."""


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def measurement_faults(name, spec):
    if not isinstance(spec, dict):
        return [f"'{name}' must be an object"]
    faults = [f"'{name}.{key}' must be a non-empty text" for key in ("program", "benchmark", "field")
              if not (isinstance(spec.get(key), str) and spec[key])]
    if "scale" in spec and not is_number(spec["scale"]):
        faults.append(f"'{name}.scale' must be a number")
    return faults


def row_faults(row):
    """Everything wrong with the form of one row."""
    if not isinstance(row, dict):
        return ["a row must be an object"]
    faults = [f"'{key}' must be a non-empty text" for key in TEXT_KEYS if not (isinstance(row.get(key), str) and row[key])]
    faults += measurement_faults("ours", row.get("ours"))
    other = row.get("other")
    if isinstance(other, dict) and "best_of" in other:
        if not isinstance(other["best_of"], list) or not other["best_of"]:
            faults.append("'other.best_of' must be an array of measurements")
        else:
            faults += [fault for spec in other["best_of"] for fault in measurement_faults("other.best_of", spec)]
    elif isinstance(other, dict) and "constant" in other:
        if not is_number(other["constant"]) or other["constant"] == 0:
            faults.append("'other.constant' must be a number other than 0")
    else:
        faults += measurement_faults("other", other)
    goal = row.get("goal")
    if not isinstance(goal, dict) or goal.get("op") not in OPERATORS or not is_number(goal.get("ratio")):
        faults.append(f"'goal' must be {{\"op\": one of {' '.join(OPERATORS)}, \"ratio\": number}}")
    elif "or_below" in goal and not is_number(goal["or_below"]):
        faults.append("'goal.or_below' must be a number, in the row's unit")
    return faults


def load_rows(paths):
    """(rows, faults): every well-formed row of every file, and a line for everything that is not."""
    rows, faults, seen = [], [], set()
    for path in paths:
        try:
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            faults.append(f"{path}: {error}")
            continue
        if not isinstance(content, list):
            faults.append(f"{path}: must be an array of rows")
            continue
        for index, row in enumerate(content):
            name = row["id"] if isinstance(row, dict) and isinstance(row.get("id"), str) else f"row {index}"
            wrong = row_faults(row)
            if not wrong and row["id"] in seen:
                wrong = ["this id is used twice"]
            faults += [f"{path}: {name}: {fault}" for fault in wrong]
            if not wrong:
                seen.add(row["id"])
                rows.append(row)
    return rows, faults


def load_results(folder):
    """({program: {benchmark: [run, ...]}}, faults) from the JSON files of Google Benchmark in a folder."""
    results, faults = {}, []
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        try:
            runs = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            faults.append(f"{path}: not a result of Google Benchmark: {error!r}")
            continue
        program = results.setdefault(path.stem.split(".")[0], {})
        for run in runs:
            if run.get("run_type", "iteration") == "iteration":
                program.setdefault(run.get("run_name", run["name"]), []).append(run)
    return results, faults


def measured(spec, unit, results):
    """The median of the field over the repetitions, in the row's unit. Raises Missing."""
    program = results.get(spec["program"])
    if program is None:
        raise Missing(f"program {spec['program']} left no results")
    runs = program.get(spec["benchmark"])
    if runs is None:
        near = difflib.get_close_matches(spec["benchmark"], list(program), n=1, cutoff=0)
        hint = f" (nearest: {near[0]})" if near else ""
        raise Missing(f"{spec['program']} has no benchmark {spec['benchmark']}{hint}")
    for run in runs:
        if run.get("error_occurred"):
            raise Missing(f"{spec['benchmark']} ended with an error: {run.get('error_message', '')}")
        if not is_number(run.get(spec["field"])):
            raise Missing(f"{spec['benchmark']} has no field {spec['field']}")
    value = statistics.median(run[spec["field"]] for run in runs)
    wanted = unit.split("/")[0].strip()
    if spec["field"] in ("cpu_time", "real_time"):
        if wanted not in NANOSECONDS:
            raise Missing(f"{spec['field']} cannot be shown in '{unit}': start the unit with ns, us, ms or s")
        value *= NANOSECONDS[runs[0].get("time_unit", "ns")] / NANOSECONDS[wanted]
    return value * spec.get("scale", 1)


def constant(spec, unit):
    """A limit in the row's unit: {"constant": 1, "unit": "us"} is 1000 in ns."""
    wanted, given = unit.split("/")[0].strip(), spec.get("unit", "").split("/")[0].strip()
    if wanted in NANOSECONDS and given in NANOSECONDS:
        return spec["constant"] * NANOSECONDS[given] / NANOSECONDS[wanted]
    return spec["constant"]


def best(spec, unit, results):
    """The smallest of several measurements. Raises Missing."""
    return min(measured(one, unit, results) for one in spec["best_of"])


def other_side(spec, unit, results):
    if "constant" in spec:
        return constant(spec, unit)
    return best(spec, unit, results) if "best_of" in spec else measured(spec, unit, results)


def load_without(path):
    """{program: package} of the lines "PROGRAM PACKAGE" of a file."""
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines() if path else []
    return dict(line.split(maxsplit=1) for line in lines if line.strip())


def needs(spec):
    """What a measurement cannot do without: its program, and what its benchmark is about, the name up to the first slash."""
    return {spec["program"], spec["benchmark"].split("/")[0]}


def possible_rows(rows, without):
    """(rows, notes): the rows that the programs which could be built can fill, and a line for each one left out."""
    kept, notes = [], []
    for row in rows:
        other = row["other"]
        if "best_of" in other:
            left = [spec for spec in other["best_of"] if not needs(spec) & set(without)]
            if len(left) < len(other["best_of"]) and left:
                row = dict(row, other={"best_of": left})
            needed = left[:1] or other["best_of"]
        else:
            needed = [] if "constant" in other else [other]
        missing = sorted(set().union(*(needs(spec) for spec in [row["ours"], *needed])) & set(without))
        if missing:
            notes += [f"{row['id']}: left out: {', '.join(f'{name} needs {without[name]}' for name in missing)}"]
        else:
            kept.append(row)
    return kept, notes


def goal_text(goal, unit):
    return f"{goal['op']} {goal['ratio']:g}" + (f" or ours <= {goal['or_below']:g} {unit}" if "or_below" in goal else "")


def join_row(row, results):
    """One entry of the summary. What was not measured is null, holds is then false, and `note` says why."""
    out = {"id": row["id"], "what": row["what"], "unit": row["unit"], "ours": None, "other": None,
           "other_name": row["other_name"], "ratio": None, "goal": goal_text(row["goal"], row["unit"]), "holds": False}
    notes = []
    try:
        out["ours"] = measured(row["ours"], row["unit"], results)
    except Missing as why:
        notes.append(str(why))
    try:
        out["other"] = other_side(row["other"], row["unit"], results)
    except Missing as why:
        notes.append(str(why))
    if out["ours"] is not None and out["other"]:
        out["ratio"] = out["ours"] / out["other"]
        goal = row["goal"]
        out["holds"] = OPERATORS[goal["op"]](out["ratio"], goal["ratio"]) or out["ours"] <= goal.get("or_below", -math.inf)
    elif not notes:
        notes.append("the other side measured 0: no ratio")
    if notes:
        out["note"] = "; ".join(notes)
    return out


def family(name):
    """("BM_X/{}", 64) for "BM_X/64": the curve a benchmark belongs to. None where it has no single argument."""
    parts = name.split("/")
    numbers = [index for index, part in enumerate(parts) if part.isdigit()]
    if len(numbers) != 1:
        return None
    argument = int(parts[numbers[0]])
    parts[numbers[0]] = "{}"
    return "/".join(parts), argument


def curve(spec, unit, results):
    """[(argument, value), ...] of all the benchmarks that differ from the row's only in their argument."""
    if "benchmark" not in spec or not family(spec["benchmark"]):
        return []
    wanted, points = family(spec["benchmark"])[0], []
    for name in results.get(spec["program"], {}):
        if family(name) and family(name)[0] == wanted:
            try:
                points.append((family(name)[1], measured(dict(spec, benchmark=name), unit, results)))
            except Missing:
                continue
    return sorted(points)


def curves(rows, results):
    """Curves of at least three points, one per family of `ours`, to show how a cost grows."""
    out, seen = [], set()
    for row in rows:
        key = (row["ours"]["program"], (family(row["ours"]["benchmark"]) or [None])[0], row["ours"]["field"])
        ours = curve(row["ours"], row["unit"], results)
        if key in seen or len(ours) < 3:
            continue
        seen.add(key)
        # A batch divided by its size is divided by each point's own size, not by that of the row.
        scaled = "scale" in row["ours"] and math.isclose(row["ours"]["scale"] * family(row["ours"]["benchmark"])[1], 1)
        other = curve(row["other"], row["unit"], results)
        if scaled:
            ours = [(n, value / row["ours"]["scale"] / n) for n, value in ours if n]
            other = [(n, value / row["other"].get("scale", 1) / n) for n, value in other if n]
        out.append({"id": row["id"], "what": row["what"], "unit": row["unit"], "ours": ours,
                    "other": other if len(other) >= 3 else [], "other_name": row["other_name"]})
    return out


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", required=True, help="the rows.json files")
    parser.add_argument("--results", required=True, help="folder of PROGRAM.json files by Google Benchmark")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for summary.json, machine.json and the page")
    parser.add_argument("--machine", type=pathlib.Path, help="a machine.json to show beside the figures")
    parser.add_argument("--without", type=pathlib.Path, help="a file of what could not be had: PROGRAM PACKAGE or BENCHMARK PACKAGE")
    parser.add_argument("--check", action="store_true", help="exit 1 when a row does not hold")
    options = parser.parse_args(arguments)

    rows, faults = load_rows(options.rows)
    rows, left_out = possible_rows(rows, load_without(options.without))
    results, unreadable = load_results(options.results)
    faults += unreadable
    summary = [join_row(row, results) for row in rows]
    faults += [f"{entry['id']}: {entry['note']}" for entry in summary if "note" in entry]

    options.out.mkdir(parents=True, exist_ok=True)
    machine = json.loads(options.machine.read_text(encoding="utf-8")) if options.machine else {}
    (options.out / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (options.out / "machine.json").write_text(json.dumps(machine, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    bench_page.write(options.out, summary, machine, curves(rows, results))

    print(bench_page.console_table(summary))
    for note in left_out:
        print(note, file=sys.stderr)
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    if faults:
        return 2
    return 1 if options.check and not all(entry["holds"] for entry in summary) else 0


if __name__ == "__main__":
    sys.exit(main())
