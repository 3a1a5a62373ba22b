#!/usr/bin/env python3
"""Prints, as JSON, what a benchmark figure depends on: machine, compiler, flags, versions, commit, command."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import subprocess

PACKAGES = ["libmimalloc2.0", "libbenchmark1debian", "libc6", "libstdc++6", "libvulkan1", "mesa-vulkan-drivers",
            "libjemalloc2", "libtcmalloc-minimal4", "libllvm14", "libboost-dev", "libfoonathan-memory0.7.2", "libprotobuf32",
            "libapr1", "libconcurrentqueue-dev", "libabsl20220623", "libbullet3.24", "lua5.4", "sqlite3", "crawl"]


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def first(pattern, path):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return ""
    return found.group(1).strip().strip('"') if found else ""


def versions():
    installed = {}
    for package in PACKAGES:
        version = output("dpkg-query", "-W", "-f=${Version}", package)
        if version:
            installed[package] = version
    return installed


def describe(build, command):
    cache = pathlib.Path(build) / "CMakeCache.txt"
    compiler = first(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache) or "c++"
    kind = first(r"^CMAKE_BUILD_TYPE:\w+=(.*)$", cache)
    flags = [first(r"^CMAKE_CXX_FLAGS:\w+=(.*)$", cache), first(rf"^CMAKE_CXX_FLAGS_{kind.upper()}:\w+=(.*)$", cache)]
    commit = output("git", "rev-parse", "--short=12", "HEAD")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "commit": commit + (" with local changes" if commit and output("git", "status", "--porcelain") else "") if commit else "none",
        "cpu": first(r"^model name\s*:\s*(.*)$", "/proc/cpuinfo") or platform.processor(),
        "cores": os.cpu_count(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        # Only the kernel's version: what a distributor appends says nothing about speed.
        "system": ", ".join([first(r"^PRETTY_NAME=(.*)$", "/etc/os-release"), "kernel " + platform.release().split("-")[0],
                             platform.machine()]),
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
        "compiler": (output(compiler, "--version").splitlines() or [compiler])[0],
        "build": " ".join(part for part in [kind, *flags] if part),
        "assertions": first(r"^STADIAL_ASSERT_LEVEL:\w+=(.*)$", cache),
        "versions": versions(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="the build folder, for compiler and flags")
    parser.add_argument("--command", required=True, help="the command that made the figures")
    options = parser.parse_args()
    print(json.dumps(describe(options.build, options.command), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
