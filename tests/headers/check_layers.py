#!/usr/bin/env python3
"""Checks that one layer knows only the layers below it.

Reads every #include of the layer's headers and sources, and asks the compiler for everything that all of its
public headers pull in together. Below gpu, neither may hold a Vulkan header.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ORDER = ["arenas", "runtime", "graph", "gpu"]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
VULKAN = re.compile(r"(^|/)(vulkan/|vk_video/|volk\.[hc]$|vk_icd\.h$)")


def may_include(layer, path):
    """Whether a file of `layer` may include `path` (as written, or as the compiler resolved it)."""
    owner = re.search(r"(^|/)stadial/(arenas|runtime|graph|gpu)/", path)
    if owner and ORDER.index(owner.group(2)) > ORDER.index(layer):
        return False
    return layer == "gpu" or not VULKAN.search(path)


def written_faults(root, layer):
    """Faults among the #include lines: (file, what it includes)."""
    faults = []
    for path in sorted((root / layer).rglob("*")):
        if path.suffix in (".h", ".cpp", ".c", ".inl"):
            for included in INCLUDE.findall(path.read_text(encoding="utf-8")):
                if not may_include(layer, included):
                    faults.append((str(path.relative_to(root)), included))
    return faults


def public_headers(root, layer):
    base = root / layer / "include"
    return [str(path.relative_to(base)) for path in sorted(base.rglob("*.h"))]


def pulled_in(headers, compiler, includes):
    """Every file that the headers pull in, by the compiler's own account."""
    with tempfile.NamedTemporaryFile("w", suffix=".cpp") as source:
        source.write("".join(f'#include "{header}"\n' for header in headers))
        source.flush()
        command = [compiler, "-std=c++20", "-M", *[f"-I{folder}" for folder in includes], source.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"the headers do not preprocess:\n{done.stderr}")
    return done.stdout.replace("\\\n", " ").split()[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layer", choices=ORDER, required=True)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--includes", required=True, help="folders, separated by '|'")
    options = parser.parse_args()

    headers = public_headers(options.root, options.layer)
    if not headers:
        sys.exit(f"{options.layer} has no public headers: nothing was checked")
    faults = written_faults(options.root, options.layer)
    files = pulled_in(headers, options.compiler, options.includes.split("|"))
    faults += [("the public headers together", path) for path in files if not may_include(options.layer, path)]
    # The control: if gpu's headers show no Vulkan, this check is blind.
    if options.layer == "gpu" and not any(VULKAN.search(path) for path in files):
        faults.append(("gpu's public headers", "no Vulkan header at all: the check sees nothing"))
    for where, what in faults:
        print(f"{where}: includes {what}, which {options.layer} may not know")
    print(f"{options.layer}: {len(headers)} public headers, {len(files)} files pulled in, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
