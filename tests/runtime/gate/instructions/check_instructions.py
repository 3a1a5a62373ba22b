#!/usr/bin/env python3
"""Counts the instructions of a malloc and its free through the gate exactly, and fails when a number differs from the
checked-in one.

As tests/arenas/instructions/check_instructions.py does. What the gate adds is the difference to the path that calls
mimalloc; mimalloc's own part depends on the installed library, so elsewhere than on the library that expected.json was
made with, all paths differ by the same.

A change that costs or saves instructions on purpose updates expected.json: run with --update, and say why in the commit.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3]))
from instruction_count import check_paths  # noqa: E402

if __name__ == "__main__":
    sys.exit(check_paths(__doc__))
