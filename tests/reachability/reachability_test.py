"""The walk finds what is planted for it, with its chain, and nothing else. Run with the C++ compiler as argument."""
import contextlib
import functools
import io
import os
import subprocess
import sys
import tempfile
import unittest

import reachability
import reviewed_list

HERE = os.path.dirname(os.path.abspath(__file__))
COMPILER = "g++"
OBJECTS = tempfile.TemporaryDirectory()

LIST = """
entry planted::Frame(planted::Node&)
  because the frame of this test

indirect planted::Frame(planted::Node&)
  calls planted::%::Area() const
  because shapes are made in Setup
"""


class ReachabilityTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    @staticmethod
    @functools.cache
    def compile(*flags, sections=True):
        path = os.path.join(OBJECTS.name, f"planted{''.join(flags)}{sections}.o")
        command = [COMPILER, "-std=c++20", "-O2", "-fPIC", "-c", os.path.join(HERE, "planted.cpp"), "-o", path, *flags]
        subprocess.run(command + (["-ffunction-sections", "-fdata-sections"] if sections else []), check=True)
        return path

    def walk(self, path, text=LIST, *arguments):
        """(exit status, what it prints)"""
        file = os.path.join(self.folder, "list.txt")
        with open(file, "w", encoding="utf-8") as out:
            out.write(text)
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = reachability.main(["--list", file, *arguments, path])
        return status, output.getvalue()

    def assert_chain(self, output, *names):
        lines = [line.strip().removeprefix("-> ") for line in output.splitlines()]
        start = lines.index(names[0])
        self.assertEqual(lines[start:start + len(names)], list(names), output)

    def test_control_passes(self):
        status, output = self.walk(self.compile())
        self.assertEqual(status, 0, output)
        self.assertIn("0 findings", output)
        self.assertIn("1 entry points, 1 indirect calls", output)  # the switch is none

    def test_malloc_three_deep(self):
        status, output = self.walk(self.compile("-DPLANT_DEEP"))
        self.assertEqual(status, 1, output)
        self.assertIn("malloc is reachable from a frame, and it allocates", output)
        self.assertIn("free is reachable from a frame, and it frees", output)
        self.assertIn("-> planted::Third(int)\n     -> malloc\n", output)
        self.assertIn("  planted::Frame(planted::Node&)\n     -> planted::Choose(int)\n", output)

    def test_new_behind_a_vtable(self):
        status, output = self.walk(self.compile("-DPLANT_VIRTUAL"))
        self.assertEqual(status, 1, output)
        self.assert_chain(output, "planted::Frame(planted::Node&)", "planted::Square::Area() const",
                          "planted::Square::Scratch() const", "operator new(unsigned long)")

    def test_throw(self):
        status, output = self.walk(self.compile("-DPLANT_THROW"))
        self.assertEqual(status, 1, output)
        self.assertIn("__cxa_throw is reachable from a frame", output)
        self.assertIn("planted::Third(int)\n     -> __cxa_throw", output)

    def test_unknown_indirect_call(self):
        status, output = self.walk(self.compile("-DPLANT_CALLBACK"))
        self.assertEqual(status, 1, output)
        self.assertIn("calls through a pointer (2 at", output)
        self.assertIn("1 of them reviewed", output)
        status, output = self.walk(self.compile("-DPLANT_CALLBACK"),
                                   LIST.replace("  because shapes", "  sites 2\n  because shapes"))
        self.assertEqual(status, 0, output)

    def test_unreviewed_virtual_call(self):
        status, output = self.walk(self.compile(), "entry planted::Frame%\n  because x\n")
        self.assertEqual(status, 1, output)
        self.assertIn("none reviewed", output)

    def test_cut_and_its_reason(self):
        text = LIST + "cut planted::Third(int)\n  calls malloc\n  calls free\n  because this test says so\n"
        status, output = self.walk(self.compile("-DPLANT_DEEP"), text)
        self.assertEqual(status, 0, output)
        status, output = self.walk(self.compile(), text)
        self.assertEqual(status, 1, output)
        self.assertIn("nothing in a frame needs 'malloc' any more", output)

    def test_a_list_cannot_allow_an_allocator(self):
        status, output = self.walk(self.compile("-DPLANT_DEEP"), LIST + "allow malloc free\n  because I like it\n")
        self.assertEqual(status, 1, output)
        self.assertIn("malloc is reachable", output)

    def test_stale_entries(self):
        for stale, word in (("allow getpid\n  because x\n", "getpid"),
                            ("indirect planted::Third(int)\n  calls planted::First(int)\n  because x\n", "Third"),
                            ("entry planted::Gone()\n  because x\n", "Gone")):
            status, output = self.walk(self.compile(), LIST + stale)
            self.assertEqual(status, 1, output)
            self.assertIn(word, output)

    def test_setup_may_allocate_until_it_is_an_entry(self):
        status, output = self.walk(self.compile(), LIST, "--entry", "planted::Setup(bool)")
        self.assertEqual(status, 1, output)
        self.assertIn("operator new(unsigned long) is reachable", output)

    def test_objects_that_hide_calls_are_refused(self):
        status, output = self.walk(self.compile(sections=False))
        self.assertEqual(status, 2, output)
        self.assertIn("compile with -ffunction-sections", output)
        status, output = self.walk(os.path.join(HERE, "planted.cpp"))
        self.assertEqual(status, 2, output)

    def test_malformed_lists(self):
        for text in ("entry a\n", "indirect a\n  because x\n", "allow a\n  calls b\n  because x\n", "permit a\n",
                     "  because x\n", "entry\n", "indirect a\n  calls b\n  sites many\n  because x\n"):
            with self.assertRaises(reviewed_list.ListError, msg=text):
                reviewed_list.parse(text, "list")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        COMPILER = sys.argv.pop(1)
    unittest.main()
