"""What is committed: the lists, the causes, the page."""

import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2] / "e2e")]

from core import gate, lists, page, registry  # noqa: E402


class Tree(unittest.TestCase):
    def setUp(self):
        self.suites = registry.load()
        self.explanations = lists.explanations()
        self.lists = {name: lists.both(name) for name in self.suites if all(lists.both(name))}

    def test_there_are_suites(self):
        self.assertGreaterEqual(len(self.lists), 2)

    def test_every_difference_is_explained(self):
        for name, (on_kafka, on_ours) in self.lists.items():
            self.assertEqual(gate.explained(name, on_kafka, on_ours, self.explanations), [])

    def test_nothing_speaks_of_a_suite_that_there_is_not(self):
        named = {entry.suite for entry in (*self.explanations.differences, *self.explanations.unsteady)}
        named |= {path.name.split(".")[0] for path in lists.LISTS.iterdir()}
        self.assertEqual(named - set(self.suites), set())

    def test_enough_passes(self):
        totals = [gate.counts(name, *both, self.explanations) for name, both in self.lists.items()]
        self.assertEqual(gate.enough(totals), [])

    def test_every_pattern_of_a_subset_chooses_something(self):
        for name, suite in self.suites.items():
            if name not in self.lists:
                continue
            for pattern in ("*",) if suite.SUBSET is None else suite.SUBSET:
                on_ours = self.lists[name][1]
                chosen = registry.subset(suite, [test for test in on_ours if lists.matches(pattern, test)], on_ours)
                self.assertTrue(chosen, f"{name}: {pattern}")

    def test_the_page_is_up_to_date(self):
        self.assertEqual(page.PAGE.read_text(), page.text(self.suites, self.explanations), "cargo xtask conformance --page")


if __name__ == "__main__":
    unittest.main()
