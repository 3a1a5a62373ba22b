#!/usr/bin/env python3
"""What the documents say must be true of the tree: the hello program they show, the files and flags they name.

With --update, README.md is given the present text of hello instead.
"""
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HELLO = "examples/hello/hello.cpp"
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def documents():
    pages = [path for path in ROOT.glob("*.md")]
    for folder in ("arenas", "runtime", "graph", "gpu", "bench", "examples", "tests", "tools"):
        pages += (ROOT / folder).rglob("*.md")
    return sorted(pages)


class Hello(unittest.TestCase):
    def test_readme_shows_the_program_that_is_tested(self):
        blocks = [body for language, body in CODE_BLOCK.findall(read("README.md")) if language == "cpp"]
        self.assertEqual(len(blocks), 1)
        self.assertTrue(blocks[0] == read(HELLO), f"README.md must show {HELLO} as it is: run tests/scripts/docs_test.py --update")

    def test_at_most_60_lines(self):
        self.assertLessEqual(len(read(HELLO).splitlines()), 60)


class Documents(unittest.TestCase):
    def test_links_lead_somewhere(self):
        self.assertGreaterEqual(len(documents()), 3)
        for page in documents():
            text = page.read_text(encoding="utf-8")
            for target in LINK.findall(text):
                if not re.match(r"[a-z]+:", target):
                    self.assertTrue((page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}")

    def test_named_scripts_exist(self):
        for page in documents():
            for name in re.findall(r"(?<![\w/])scripts/[\w/]+\.(?:sh|py)\b", page.read_text(encoding="utf-8")):
                self.assertTrue((ROOT / name).exists(), f"{page.relative_to(ROOT)} names {name}")

    def test_the_options_are_in_the_readme(self):
        options = re.findall(r"^(?:option|set)\((STADIAL_\w+)", read("CMakeLists.txt"), re.MULTILINE)
        self.assertGreaterEqual(len(options), 5)
        for option in options:
            self.assertIn(f"`{option}`", read("README.md"))

    def test_changelog_has_the_version_of_the_project(self):
        version = re.search(r"project\(stadial VERSION ([\d.]+)", read("CMakeLists.txt")).group(1)
        self.assertRegex(read("CHANGELOG.md"), rf"(?m)^## \[{re.escape(version)}\]")


SUFFIXES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "ns": 1, "µs": 10**3, "ms": 10**6, "s": 10**9}


def headers():
    paths = [path for layer in ("arenas", "runtime", "graph", "gpu") for path in (ROOT / layer / "include").rglob("*.h")]
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(paths))


def code_value(expression, code):
    """The number that a default member initializer such as `std::size_t{16} << 20` stands for."""
    expression = re.sub(r"std::\w+\{([^}]*)\}", r"\1", expression.replace("'", ""))
    expression = re.sub(r"\b(\d+)_(KiB|MiB|GiB)\b", lambda m: str(int(m[1]) * SUFFIXES[m[2]]), expression)
    expression = re.sub(r"\b(\d+)(?:u|l|ul|ull)\b", r"\1", expression, flags=re.IGNORECASE)
    for name in re.findall(r"\bk[A-Z]\w*", expression):
        constant = re.search(rf"constexpr [\w:]+ {name}\s*=\s*([^;]+);", code)
        if constant is None:
            raise ValueError(f"no constant {name} in the headers")
        expression = expression.replace(name, f"({code_value(constant.group(1), code)})")
    if not re.fullmatch(r"[\d\s()*+<-]+", expression):
        raise ValueError(f"not a number: {expression}")
    return eval(expression)  # digits and operators only, as checked above


def written_value(text):
    """The number a person writes as `64 KiB`, `1,024` or `10 s`; None for a formula."""
    found = re.fullmatch(r"([\d,]+)(?: (KiB|MiB|GiB|ns|µs|ms|s))?", text)
    return int(found[1].replace(",", "")) * SUFFIXES.get(found[2], 1) if found else None


class Capacities(unittest.TestCase):
    """The table of capacities in ARCHITECTURE.md must say what the headers say."""

    def test_defaults_are_those_of_the_code(self):
        code = headers()
        rows = re.findall(r"^\| [^|]+ \| `(\w+)::(\w+)` \| ([^|]+) \|", read("ARCHITECTURE.md"), re.MULTILINE)
        self.assertGreaterEqual(len(rows), 30)
        for struct, field, default in rows:
            with self.subTest(option=f"{struct}::{field}"):
                body = re.search(rf"^struct {struct} \{{\n(.*?)^\}};", code, re.MULTILINE | re.DOTALL)
                self.assertIsNotNone(body, f"no struct {struct}")
                member = re.search(rf"\b{field}\s*=\s*([^;]+);", body.group(1))
                self.assertIsNotNone(member, f"{struct} has no {field} with a default")
                written = written_value(default.strip())
                self.assertEqual(code_value(member.group(1), code), 0 if written is None else written)

    def test_fixed_bounds_are_those_of_the_code(self):
        code = headers()
        rows = re.findall(r"^\| [^|]+ \| `(k\w+)` \| ([^|]+) \|", read("ARCHITECTURE.md"), re.MULTILINE)
        self.assertGreaterEqual(len(rows), 8)
        for name, value in rows:
            with self.subTest(constant=name):
                self.assertEqual(code_value(name, code), written_value(value.strip()))

    def test_no_capacity_is_left_out(self):
        # These describe one object that is being made; they are not capacities of ours.
        single_objects = {"SegmentOptions", "DecommitOptions", "GrowthOptions", "ArenaOptions", "LaneOptions", "BufferOptions",
                          "ImageOptions", "ComputePipelineOptions", "FrameHistoryOptions"}
        page = read("ARCHITECTURE.md")
        for struct, body in re.findall(r"^struct (\w*(?:Options|Sizing)) \{\n(.*?)^\};", headers(), re.MULTILINE | re.DOTALL):
            for field in re.findall(r"^\s+[\w:]+\s+(\w+(?:Max|Bytes|Capacity))\s*=", body, re.MULTILINE):
                if struct not in single_objects:
                    self.assertIn(f"`{struct}::{field}`", page)

    def test_the_evaluator(self):
        code = "inline constexpr std::size_t kThing = 1'024;"
        for expression, value in (("std::size_t{16} << 20", 16 << 20), ("64_GiB", 64 << 30), ("8ull << 20", 8 << 20),
                                  ("10'000'000'000", 10**10), ("64 * 1024", 65536), ("kThing", 1024)):
            self.assertEqual(code_value(expression, code), value)
        self.assertEqual([written_value(text) for text in ("64 KiB", "1,024", "10 s", "nodesMax × 4")], [65536, 1024, 10**10, None])


class Scripts(unittest.TestCase):
    def test_each_script_explains_itself(self):
        for name in ("run", "test", "bench", "lint"):
            shown = subprocess.run(["bash", str(ROOT / "scripts" / f"{name}.sh"), "--help"], capture_output=True, text=True, check=True)
            self.assertIn(f"usage: scripts/{name}.sh", shown.stdout)


def update():
    page = CODE_BLOCK.sub(lambda found: f"```cpp\n{read(HELLO)}```" if found[1] == "cpp" else found[0], read("README.md"))
    (ROOT / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        update()
    else:
        unittest.main()
