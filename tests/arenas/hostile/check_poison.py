#!/usr/bin/env python3
"""Shows that MemorySanitizer and valgrind's memcheck see what arenas hand out and take back.

Compiles the arenas and a probe for the tool, then runs the probe once for each deed: the clean program must not be
reported, every other one must be. The same programs without the tool's knowledge of arenas are the control: there the
tool must see nothing wrong in the stale read, or the test would not show that it is we who told it. Skipped (exit code
77), with the reason, where the tool is not installed.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
FLAGS = ["-std=c++20", "-O0", "-g1", "-fno-omit-frame-pointer", "-pthread"]
# What the probe needs of arenas/src.
SOURCES = ("abort_line", "arena", "arena_checks", "arena_core", "arena_growth", "assert", "byte_text", "code_address", "frame_ptr", "lanes",
           "poison", "quarantine", "region", "result", "segment", "virtual_memory", "virtual_memory_posix")


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


class Tool:
    """How to build the probe for a tool, how to run it, and what a report looks like."""

    def __init__(self, name, compilers):
        self.flags, self.control_flags, self.command, self.report = [], [], [], ""
        if name == "msan":
            self.compiler = next((found for found in map(shutil.which, compilers) if found and self.can_msan(found)), None)
            if self.compiler is None:
                skip(f"none of {', '.join(compilers)} can build for MemorySanitizer")
            self.flags = ["-fsanitize=memory", "-fno-sanitize-recover=all", "-DSTADIAL_ASSERT_LEVEL=1"]
            # Another name for the macro that poison.h looks at: as if it knew nothing of the tool.
            self.control_flags = self.flags + ["-DSTADIAL_MEMORY_SANITIZER=0"]
            self.report = "use-of-uninitialized-value"
            # It reports what is not initialised, not what is out of bounds.
            self.deeds = ("uninitialized", "stale")
        else:
            self.compiler = compilers[0]
            valgrind = shutil.which("valgrind")
            if valgrind is None or not pathlib.Path("/usr/include/valgrind/memcheck.h").exists():
                skip("valgrind or its header memcheck.h is not installed")
            self.flags = ["-DSTADIAL_VALGRIND=1", "-DSTADIAL_ASSERT_LEVEL=2"]
            self.control_flags = ["-DSTADIAL_ASSERT_LEVEL=2"]
            self.command = [valgrind, "--quiet", "--error-exitcode=99"]
            self.report = "uninitialised value|Invalid (read|write)"
            self.deeds = ("uninitialized", "stale", "overrun")

    @staticmethod
    def can_msan(compiler):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "try.cpp")
            source.write_text("#include <source_location>\nint main() { return int(std::source_location::current().line()) - 2; }\n")
            built = subprocess.run([compiler, "-std=c++20", "-fsanitize=memory", str(source), "-o", f"{folder}/try"],
                                   capture_output=True, check=False)
            return built.returncode == 0 and subprocess.run([f"{folder}/try"], capture_output=True, check=False).returncode == 0


def build(tool, flags, root, folder):
    folder.mkdir()
    sources = [root / "arenas/src" / f"{name}.cpp" for name in SOURCES]
    sources.append(root / "tests/arenas/hostile/poison_probe.cpp")

    # One translation unit: most of what these files cost to compile, they share.
    together = folder / "together.cpp"
    together.write_text("".join(f'#include "{source}"\n' for source in sources))
    program = folder / "probe"
    built = subprocess.run([tool.compiler, *FLAGS, *flags, f"-I{root}/arenas/include", f"-I{root}/arenas/src", str(together),
                            "-o", str(program)], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        sys.exit(f"the probe does not build:\n{built.stderr}")
    return program


def is_reported(tool, program, deed):
    run = subprocess.run([*tool.command, str(program), deed], capture_output=True, text=True, check=False)
    if run.returncode in (2, 90, 91, 92):
        sys.exit(f"the probe failed at '{deed}' with {run.returncode}:\n{run.stderr}")
    if run.returncode != 0:
        print(f"--- {deed}: exit code {run.returncode}\n{run.stderr[:2000]}")
    return run.returncode != 0 and re.search(tool.report, run.stderr) is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", choices=("msan", "valgrind"), required=True)
    parser.add_argument("--compiler", action="append", required=True, help="tried in this order")
    parser.add_argument("--root", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    tool = Tool(arguments.tool, arguments.compiler)
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        program = build(tool, tool.flags, arguments.root, pathlib.Path(folder, "told"))
        if is_reported(tool, program, "clean"):
            wrong.append("the clean program is reported")
        wrong += [f"'{deed}' goes unnoticed" for deed in tool.deeds if not is_reported(tool, program, deed)]
        control = build(tool, tool.control_flags, arguments.root, pathlib.Path(folder, "control"))
        if is_reported(tool, control, "stale"):
            wrong.append("the control notices the stale read too, so the test shows nothing")
    print("\n".join(wrong) if wrong else f"{arguments.tool}: clean is clean, {', '.join(tool.deeds)} are reported")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
