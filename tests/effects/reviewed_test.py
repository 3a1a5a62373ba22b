"""Every STADIAL_EFFECTS_REVIEWED stands in reviewed.txt, with its reason: what the compiler cannot judge does not grow
unnoticed. Run with the root of the repository as argument; --update writes the list anew."""
import pathlib
import re
import sys

LAYERS = ("arenas", "runtime", "graph", "gpu", "examples")
USE = re.compile(r'STADIAL_EFFECTS_REVIEWED\(\s*((?:"(?:[^"\\]|\\.)*"\s*)*)')


def uses(root):
    """Sorted "FILE: REASON" lines; a use without a reason has an empty one."""
    found = []
    for layer in LAYERS:
        for path in sorted((root / layer).rglob("*")):
            if path.suffix not in (".h", ".cpp") or path.name == "effects.h":
                continue
            for match in USE.finditer(path.read_text(encoding="utf-8")):
                reason = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match.group(1)))
                found.append(f"{path.relative_to(root).as_posix()}: {reason}")
    return sorted(found)


def compare(found, listed):
    faults = [f"{line.split(':')[0]}: STADIAL_EFFECTS_REVIEWED without a reason" for line in found
              if line.endswith(": ")]
    for line in sorted(set(found) | set(listed)):
        more = found.count(line) - listed.count(line)
        if more > 0:
            faults.append(f"not in the list ({more} times): {line}")
        elif more < 0:
            faults.append(f"in the list, no longer in the code ({-more} times): {line}")
    return faults


def self_test():
    """The comparison must be able to fail."""
    assert compare(["a: x"], ["a: x"]) == []
    assert compare(["a: x", "a: x"], ["a: x"]) and compare([], ["a: x"]) and compare(["a: "], ["a: "])
    assert USE.search('STADIAL_EFFECTS_REVIEWED(\n    "two "\n    "halves", f())').group(1).count('"') == 4


def main(arguments):
    self_test()
    root = pathlib.Path(arguments[0])
    path = pathlib.Path(__file__).with_name("reviewed.txt")
    found = uses(root)
    if "--update" in arguments:
        head = "# Where a person has judged what -Wfunction-effects cannot: FILE: REASON, one line a use.\n"
        path.write_text(head + "".join(line + "\n" for line in found), encoding="utf-8")
    lines = path.read_text(encoding="utf-8").splitlines()
    faults = compare(found, [line for line in lines if line and not line.startswith("#")])
    for fault in faults:
        print(fault)
    if faults:
        print("review the use; then write the list anew: python3 tests/effects/reviewed_test.py . --update")
    print(f"{len(found)} reviewed uses, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
