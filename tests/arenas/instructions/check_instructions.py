#!/usr/bin/env python3
"""Counts the instructions of the arenas' hot paths exactly, and fails when one differs from the checked-in number.

The probe runs each path twice under valgrind's callgrind, 1,000 and 9,000 times; the difference is free of start-up and
shutdown. It is kept per 1,000 operations, loop included, so that nothing is rounded. The counts depend on the compiler
and its flags, so they are compared only for the configuration that expected.json names; elsewhere the test is skipped
(exit code 77), with the reason.

A change that costs or saves instructions on purpose updates expected.json: run with --update, and say why in the commit.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from instruction_count import count_instructions, prepare, write_expected  # noqa: E402

# As many digits each: reading them costs the same.
FEW = 1_000
MANY = 9_000


def measure(valgrind, probe, paths):
    """Instructions per 1,000 operations of each path."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        runs = {(path, operations): pool.submit(count_instructions, valgrind, probe, path, operations)
                for path in paths for operations in (FEW, MANY)}
        return {path: (runs[path, MANY].result() - runs[path, FEW].result()) * 1_000 / (MANY - FEW) for path in paths}


def main():
    arguments, expected, valgrind = prepare(__doc__)
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


if __name__ == "__main__":
    sys.exit(main())
