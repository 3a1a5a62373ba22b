#!/usr/bin/env python3
"""Counts the instructions of one empty frame exactly, and fails when the number differs from the checked-in one.

The probe runs twice under valgrind's callgrind with different numbers of frames; the difference, per frame, is free of
start-up and shutdown. The count depends on the compiler and its flags, so it is compared only for the configuration
that expected.json names; elsewhere the test is skipped (exit code 77), with the reason.

A change that costs or saves instructions on purpose updates expected.json: run with --update, and say why in the commit.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from instruction_count import count_instructions, prepare, write_expected  # noqa: E402

FEW_FRAMES = 1_000
MANY_FRAMES = 11_000


def main():
    arguments, expected, valgrind = prepare(__doc__)

    few = count_instructions(valgrind, arguments.probe, FEW_FRAMES)
    many = count_instructions(valgrind, arguments.probe, MANY_FRAMES)
    # A handful of data-dependent branches (a new longest frame) differ between runs: far less than half an
    # instruction per frame, so rounding is exact.
    exact = (many - few) / (MANY_FRAMES - FEW_FRAMES)
    per_frame = round(exact)
    print(f"{per_frame} instructions per empty frame (unrounded {exact:.3f}), expected {expected['empty_frame']}")
    if arguments.update:
        expected["empty_frame"] = per_frame
        write_expected(arguments, expected)
        return 0
    if per_frame != expected["empty_frame"]:
        print("an empty frame has changed; if that is meant, run this script with --update and say why in the commit")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
