#!/usr/bin/env python3
"""scripts/bench_summary.py: the join, what it says about missing and malformed input, and the page."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
import xml.dom.minidom

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import bench_page  # noqa: E402
import bench_summary  # noqa: E402


def row(**changes):
    out = {"id": "arenas.bump_64", "what": "allocate 64 B", "unit": "ns/op",
           "ours": {"program": "ours_bench", "benchmark": "BM_Ours/64", "field": "cpu_time"},
           "other": {"program": "peer_bench", "benchmark": "BM_Peer/64", "field": "cpu_time"},
           "other_name": "a peer", "goal": {"op": "<=", "ratio": 0.5}}
    out.update(changes)
    return out


def run(name, cpu_time, time_unit="ns", **more):
    return {"name": name, "run_name": name, "run_type": "iteration", "cpu_time": cpu_time, "real_time": cpu_time,
            "time_unit": time_unit, **more}


class Bench(unittest.TestCase):
    """Runs the program on files in a folder of its own."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        (self.root / "results").mkdir()

    def results(self, program, *runs):
        (self.root / "results" / f"{program}.json").write_text(json.dumps({"context": {}, "benchmarks": runs}))

    def join(self, rows, *arguments):
        path = self.root / "rows.json"
        path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
        self.errors, output = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(self.errors), contextlib.redirect_stdout(output):
            code = bench_summary.main(["--rows", str(path), "--results", str(self.root / "results"),
                                       "--out", str(self.root / "out"), *arguments])
        self.summary = json.loads((self.root / "out" / "summary.json").read_text())
        self.page = (self.root / "out" / "README.md").read_text()
        return code


class Join(Bench):
    def test_a_row_has_exactly_the_published_keys(self):
        self.results("ours_bench", run("BM_Ours/64", 1.0))
        self.results("peer_bench", run("BM_Peer/64", 4.0))
        self.assertEqual(self.join([row()]), 0)
        self.assertEqual(self.summary, [{"id": "arenas.bump_64", "what": "allocate 64 B", "unit": "ns/op", "ours": 1.0,
                                         "other": 4.0, "other_name": "a peer", "ratio": 0.25, "goal": "<= 0.5", "holds": True}])

    def test_median_of_repetitions_and_no_aggregates(self):
        self.results("ours_bench", run("BM_Ours/64", 9.0), run("BM_Ours/64", 1.0), run("BM_Ours/64", 2.0),
                     {"name": "BM_Ours/64_mean", "run_name": "BM_Ours/64", "run_type": "aggregate", "cpu_time": 4.0})
        self.results("peer_bench", run("BM_Peer/64", 4.0))
        self.join([row()])
        self.assertEqual(self.summary[0]["ours"], 2.0)

    def test_times_are_turned_into_the_unit_of_the_row(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0, "us"))
        self.results("peer_bench", run("BM_Peer/64", 0.006, "ms"))
        self.join([row()])
        self.assertAlmostEqual(self.summary[0]["ours"], 3000)
        self.assertAlmostEqual(self.summary[0]["other"], 6000)

    def test_user_counter_and_scale(self):
        ours = {"program": "ours_bench", "benchmark": "BM_Ours/64", "field": "faults"}
        other = {"program": "peer_bench", "benchmark": "BM_Peer/64", "field": "cpu_time", "scale": 0.5}
        self.results("ours_bench", run("BM_Ours/64", 3.0, faults=7))
        self.results("peer_bench", run("BM_Peer/64", 4.0))
        self.join([row(ours=ours, other=other)])
        self.assertEqual((self.summary[0]["ours"], self.summary[0]["other"]), (7, 2.0))

    def test_a_constant_is_a_limit_in_its_own_unit(self):
        self.results("ours_bench", run("BM_Ours/64", 500.0))
        self.join([row(other={"constant": 1, "unit": "us"}, goal={"op": "<=", "ratio": 1})])
        self.assertEqual((self.summary[0]["other"], self.summary[0]["ratio"], self.summary[0]["holds"]), (1000, 0.5, True))


    def test_repetitions_of_rounds_lie_in_several_files(self):
        for number, time in enumerate((1.0, 9.0, 2.0), 1):
            self.results(f"ours_bench.{number}", run("BM_Ours/64", time))
        self.results("peer_bench.1", run("BM_Peer/64", 4.0))
        self.assertEqual(self.join([row()]), 0)
        self.assertEqual(self.summary[0]["ours"], 2.0)

    def test_the_best_of_several_peers(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0))
        self.results("peer_bench", run("BM_Peer/64", 4.0), run("BM_Slow/64", 40.0))
        peers = [dict(row()["other"], benchmark=name) for name in ("BM_Slow/64", "BM_Peer/64")]
        self.assertEqual(self.join([row(other={"best_of": peers})]), 0)
        self.assertEqual(self.summary[0]["other"], 4.0)


class Without(Bench):
    """Programs that could not be built: their rows go, and say why; nothing else may be missing."""

    def join_without(self, rows):
        path = self.root / "benches_without.txt"
        path.write_text("peer_bench libpeer-dev\n\n")
        return self.join(rows, "--without", str(path))

    def test_a_row_without_its_peer_is_left_out_and_said_to_be(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0))
        self.assertEqual(self.join_without([row()]), 0)
        self.assertEqual(self.summary, [])
        self.assertIn("arenas.bump_64: left out: peer_bench needs libpeer-dev", self.errors.getvalue())

    def test_a_best_of_does_without_it(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0))
        self.results("second_bench", run("BM_Peer/64", 6.0))
        peers = [dict(row()["other"], program=name) for name in ("peer_bench", "second_bench")]
        self.assertEqual(self.join_without([row(other={"best_of": peers})]), 0)
        self.assertEqual(self.summary[0]["other"], 6.0)
        self.assertEqual(self.join_without([row(other={"best_of": peers[:1]})]), 0)
        self.assertEqual(self.summary, [])

    def test_a_row_without_the_subject_of_its_benchmark_is_left_out(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0))
        self.results("second_bench", run("BM_Peer/64", 6.0))
        path = self.root / "without.txt"
        path.write_text("BM_Peer lua5.4\n")
        other = dict(row()["other"], program="second_bench")
        self.assertEqual(self.join([row(other=other)], "--without", str(path)), 0)
        self.assertEqual(self.summary, [])
        self.assertIn("arenas.bump_64: left out: BM_Peer needs lua5.4", self.errors.getvalue())

    def test_a_program_that_was_built_must_leave_results(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0))
        self.assertEqual(self.join_without([row(other=dict(row()["other"], program="crashed_bench"))]), 2)


class Goals(Bench):
    def setUp(self):
        super().setUp()
        self.results("ours_bench", run("BM_Ours/64", 3.0))
        self.results("peer_bench", run("BM_Peer/64", 4.0))

    def test_a_failing_goal_stays_in_the_summary_and_on_the_page(self):
        self.assertEqual(self.join([row()]), 0)
        self.assertFalse(self.summary[0]["holds"])
        self.assertIn("**does not hold**", self.page)
        self.assertIn("0 of 1 rows hold", self.page)

    def test_check_makes_a_failing_goal_an_exit_code(self):
        self.assertEqual(self.join([row()], "--check"), 1)
        self.assertEqual(self.join([row(goal={"op": "<=", "ratio": 0.75})], "--check"), 0)

    def test_a_goal_may_be_reached_by_an_absolute_figure(self):
        for below, holds in ((3.0, True), (2.9, False)):
            self.join([row(goal={"op": "<=", "ratio": 0.5, "or_below": below})])
            self.assertEqual(self.summary[0]["holds"], holds)
        self.assertEqual(self.summary[0]["goal"], "<= 0.5 or ours <= 2.9 ns/op")

    def test_operators(self):
        for op, ratio, holds in (("<=", 0.75, True), ("<", 0.75, False), (">=", 0.75, True), (">", 0.75, False), (">", 0.7, True)):
            self.join([row(goal={"op": op, "ratio": ratio})])
            self.assertEqual(self.summary[0]["holds"], holds, op)


class MissingBenchmarks(Bench):
    def assert_missing(self, rows, text):
        self.assertEqual(self.join(rows), 2)
        self.assertFalse(self.summary[0]["holds"])
        self.assertIsNone(self.summary[0]["ratio"])
        self.assertIn(text, self.summary[0]["note"])
        self.assertIn(text, self.errors.getvalue())
        self.assertIn("not measured", self.page)

    def test_missing_program(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0))
        self.assert_missing([row()], "program peer_bench left no results")
        self.assertEqual(self.summary[0]["ours"], 3.0)

    def test_missing_benchmark_names_the_nearest(self):
        self.results("ours_bench", run("BM_Ours/65", 3.0))
        self.results("peer_bench", run("BM_Peer/64", 3.0))
        self.assert_missing([row()], "has no benchmark BM_Ours/64 (nearest: BM_Ours/65)")

    def test_missing_field(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0))
        self.results("peer_bench", run("BM_Peer/64", 3.0))
        self.assert_missing([row(ours=dict(row()["ours"], field="faults"))], "has no field faults")

    def test_a_benchmark_that_ended_with_an_error(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0, error_occurred=True, error_message="no device"))
        self.results("peer_bench", run("BM_Peer/64", 3.0))
        self.assert_missing([row()], "no device")

    def test_other_side_measured_zero(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0))
        self.results("peer_bench", run("BM_Peer/64", 0.0))
        self.assert_missing([row()], "no ratio")

    def test_time_in_a_row_without_a_time_unit(self):
        self.results("ours_bench", run("BM_Ours/64", 3.0))
        self.results("peer_bench", run("BM_Peer/64", 3.0))
        self.assert_missing([row(unit="faults")], "cannot be shown in 'faults'")


class Malformed(Bench):
    def setUp(self):
        super().setUp()
        self.results("ours_bench", run("BM_Ours/64", 1.0))
        self.results("peer_bench", run("BM_Peer/64", 4.0))

    def assert_fault(self, rows, text):
        self.assertEqual(self.join(rows), 2)
        self.assertIn(text, self.errors.getvalue())

    def test_each_wrong_form_is_named(self):
        self.assert_fault([row(unit="")], "'unit' must be a non-empty text")
        self.assert_fault([row(ours=None)], "'ours' must be an object")
        self.assert_fault([row(ours={"program": "p", "benchmark": 3, "field": "cpu_time"})], "'ours.benchmark'")
        self.assert_fault([row(other={"constant": "fast"})], "'other.constant'")
        self.assert_fault([row(other={"constant": 0})], "'other.constant'")
        self.assert_fault([row(goal={"op": "==", "ratio": 1})], "'goal' must be")
        self.assert_fault([row(goal={"op": "<=", "ratio": True})], "'goal' must be")
        self.assert_fault([row(goal={"op": "<=", "ratio": 1, "or_below": "0.8"})], "'goal.or_below'")
        self.assert_fault([row(other={"best_of": []})], "'other.best_of'")
        self.assert_fault([row(other={"best_of": [{"program": "p"}]})], "'other.best_of.benchmark'")
        self.assert_fault(["text"], "a row must be an object")
        self.assert_fault({"id": 1}, "must be an array of rows")
        self.assert_fault("[{,]", "rows.json")

    def test_an_id_used_twice(self):
        self.assert_fault([row(), row()], "this id is used twice")

    def test_the_good_rows_are_joined_all_the_same(self):
        self.assert_fault([row(id=""), row()], "'id' must be")
        self.assertEqual([entry["id"] for entry in self.summary], ["arenas.bump_64"])
        self.assertTrue(self.summary[0]["holds"])

    def test_results_that_are_no_results(self):
        (self.root / "results" / "broken_bench.json").write_text("{")
        self.assert_fault([row()], "broken_bench.json: not a result")


class Page(Bench):
    def test_plots_are_well_formed_and_shown(self):
        self.results("ours_bench", *[run(f"BM_Ours/{n}", n * 0.1) for n in (64, 1024, 4096)])
        self.results("peer_bench", *[run(f"BM_Peer/{n}", n * 1.0) for n in (64, 1024, 4096)])
        self.join([row(what="a < b & \"c\" | d")])
        plots = sorted((self.root / "out" / "plots").glob("*.svg"))
        self.assertEqual([path.name for path in plots], ["arenas.bump_64.svg", "arenas.svg"])
        for path in plots:
            xml.dom.minidom.parse(str(path))
            self.assertIn(f"(plots/{path.name})", self.page)
        self.assertIn('a < b & "c" \\| d', self.page)

    def test_stale_plots_go(self):
        (self.root / "out" / "plots").mkdir(parents=True)
        (self.root / "out" / "plots" / "old.svg").write_text("")
        self.join([row()])
        self.assertFalse((self.root / "out" / "plots" / "old.svg").exists())

    def test_a_curve_of_batches_is_divided_by_each_size(self):
        self.results("ours_bench", *[run(f"BM_Ours/{n}", n * 2.0) for n in (10, 100, 1000)])
        spec = {"program": "ours_bench", "benchmark": "BM_Ours/100", "field": "cpu_time", "scale": 0.01}
        rows = [row(ours=spec, other={"constant": 4})]
        results, _ = bench_summary.load_results(self.root / "results")
        for _, value in bench_summary.curves(rows, results)[0]["ours"]:
            self.assertAlmostEqual(value, 2.0)

    def test_numbers(self):
        for value, shown in ((None, "–"), (0, "0"), (0.3712, "0.371"), (12.34, "12.3"), (1234.5, "1,234"), (99.99, "100"),
                             (3.2e8, "3.20e+08")):
            self.assertEqual(bench_page.number(value), shown)


if __name__ == "__main__":
    unittest.main()
