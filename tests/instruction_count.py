"""What the instruction gates share: their command line, their reasons to skip, and the count of one run. Imported by the
check_instructions.py of each layer."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
# Operations of a path: as many digits each, because reading them costs the same.
FEW = 1_000
MANY = 9_000


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def prepare(description):
    """The arguments, the expected file's content and valgrind's path; ends the script where the numbers do not hold."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", type=pathlib.Path, required=True)
    parser.add_argument("--expected", type=pathlib.Path, required=True)
    parser.add_argument("--configuration", required=True, help="compiler, version, build type, assertion level")
    parser.add_argument("--update", action="store_true", help="write what was measured to the expected file")
    arguments = parser.parse_args()

    expected = json.loads(arguments.expected.read_text(encoding="utf-8"))
    if arguments.configuration != expected["configuration"]:
        skip(f"the numbers hold for '{expected['configuration']}', this is '{arguments.configuration}'")
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        skip("valgrind is not installed")
    return arguments, expected, valgrind


def count_instructions(valgrind, probe, *probe_arguments):
    with tempfile.TemporaryDirectory() as folder:
        command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.out", str(probe),
                   *map(str, probe_arguments)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}:\n{run.stdout}{run.stderr}")
    collected = re.search(r"Collected\s*:\s*(\d+)", run.stderr)
    if collected is None:
        sys.exit(f"callgrind printed no count:\n{run.stderr}")
    return int(collected.group(1))


def write_expected(arguments, expected):
    arguments.expected.write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


def measure(valgrind, probe, paths):
    """Instructions per 1,000 operations of each path."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        runs = {(path, operations): pool.submit(count_instructions, valgrind, probe, path, operations)
                for path in paths for operations in (FEW, MANY)}
        return {path: (runs[path, MANY].result() - runs[path, FEW].result()) * 1_000 / (MANY - FEW) for path in paths}


def check_paths(description):
    """Of a probe with `--list` and `PATH COUNT`: every path's count against expected["instructions_per_1000"]."""
    arguments, expected, valgrind = prepare(description)
    listed = subprocess.run([str(arguments.probe), "--list"], capture_output=True, text=True, check=True)
    measured = measure(valgrind, arguments.probe, listed.stdout.split())

    wanted = expected["instructions_per_1000"]
    different = [path for path in sorted(set(measured) | set(wanted)) if measured.get(path) != wanted.get(path)]
    for path, instructions in measured.items():
        print(f"{path}: {instructions / 1_000:.3f} instructions, expected {wanted.get(path, 0) / 1_000:.3f}")
    if arguments.update:
        expected["instructions_per_1000"] = measured
        write_expected(arguments, expected)
        return 0
    if different:
        print(f"changed: {', '.join(different)}; if that is meant, run this script with --update and say why in the "
              "commit")
        return 1
    return 0
