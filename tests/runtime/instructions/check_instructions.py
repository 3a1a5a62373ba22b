#!/usr/bin/env python3
"""Counts the instructions of one empty frame exactly, and fails when the number differs from the checked-in one.

The probe runs twice under valgrind's callgrind with different numbers of frames; the difference, per frame, is free of
start-up and shutdown. The count depends on the compiler and its flags, so it is compared only for the configuration
that expected.json names; elsewhere the test is skipped (exit code 77), with the reason.

A change that costs or saves instructions on purpose updates expected.json: run with --update, and say why in the commit.
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
FEW_FRAMES = 1_000
MANY_FRAMES = 11_000


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def count_instructions(valgrind, probe, frames):
    with tempfile.TemporaryDirectory() as folder:
        command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.out", str(probe), str(frames)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}:\n{run.stdout}{run.stderr}")
    collected = re.search(r"Collected\s*:\s*(\d+)", run.stderr)
    if collected is None:
        sys.exit(f"callgrind printed no count:\n{run.stderr}")
    return int(collected.group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", type=pathlib.Path, required=True)
    parser.add_argument("--expected", type=pathlib.Path, required=True)
    parser.add_argument("--configuration", required=True, help="compiler, version, build type, assertion level")
    parser.add_argument("--update", action="store_true", help="write the measured number to the expected file")
    arguments = parser.parse_args()

    expected = json.loads(arguments.expected.read_text(encoding="utf-8"))
    if arguments.configuration != expected["configuration"]:
        skip(f"the number holds for '{expected['configuration']}', this is '{arguments.configuration}'")
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        skip("valgrind is not installed")

    few = count_instructions(valgrind, arguments.probe, FEW_FRAMES)
    many = count_instructions(valgrind, arguments.probe, MANY_FRAMES)
    # A handful of data-dependent branches (a new longest frame) differ between runs: far less than half an
    # instruction per frame, so rounding is exact.
    exact = (many - few) / (MANY_FRAMES - FEW_FRAMES)
    per_frame = round(exact)
    print(f"{per_frame} instructions per empty frame (unrounded {exact:.3f}), expected {expected['empty_frame']}")
    if arguments.update:
        expected["empty_frame"] = per_frame
        arguments.expected.write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")
        return 0
    if per_frame != expected["empty_frame"]:
        print("an empty frame has changed; if that is meant, run this script with --update and say why in the commit")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
