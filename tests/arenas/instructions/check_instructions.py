#!/usr/bin/env python3
"""Counts the instructions of the arenas' hot paths exactly, and fails when one differs from the checked-in number.

The probe runs each path twice under valgrind's callgrind, 1,000 and 9,000 times; the difference is free of start-up and
shutdown. It is kept per 1,000 operations, loop included, so that nothing is rounded. The counts depend on the compiler
and its flags, so they are compared only for the configuration that expected.json names; elsewhere the test is skipped
(exit code 77), with the reason.

A change that costs or saves instructions on purpose updates expected.json: run with --update, and say why in the commit.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from instruction_count import check_paths  # noqa: E402

if __name__ == "__main__":
    sys.exit(check_paths(__doc__))
