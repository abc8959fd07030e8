"""The gate itself: what it lets through, and each thing that it must not."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import gate, lists  # noqa: E402
from core.lists import Difference, Explanations, Unsteady  # noqa: E402

KAFKA = {"a": "pass", "b": "pass", "c": "fail", "d": "skip"}
OURS = {"a": "pass", "b": "fail", "c": "fail", "d": "skip"}
CAUSE = Difference("s", "b", "not-served-yet", "no such request")


class Judge(unittest.TestCase):
    def findings(self, seen, wanted=("a", "b", "c", "d")):
        return gate.judge("s", OURS, seen, wanted)

    def test_what_is_listed_is_let_through(self):
        self.assertEqual(self.findings(OURS), [])

    def test_a_failure_that_is_not_listed(self):
        self.assertEqual(self.findings({**OURS, "a": "fail"}), ["s: a: fail; its list says pass"])

    def test_a_skip_in_place_of_a_pass(self):
        self.assertEqual(self.findings({**OURS, "a": "skip"}), ["s: a: skip; its list says pass"])

    def test_fewer_tests_than_expected(self):
        self.assertEqual(self.findings({"b": "fail", "c": "fail"}), ["s: a: not run; its list says pass"])
        self.assertEqual(len(self.findings({})), 3)

    def test_a_test_that_nobody_has_listed(self):
        self.assertEqual(len(self.findings({**OURS, "new": "pass"})), 1)

    def test_a_failure_that_has_gone(self):
        (finding,) = self.findings({**OURS, "b": "pass"})
        self.assertIn("passes now", finding)

    def test_only_what_was_asked_for_has_to_run(self):
        self.assertEqual(self.findings({"a": "pass"}, wanted=["a"]), [])

    def test_what_is_unsteady_is_not_judged(self):
        for outcome in ("pass", "fail"):
            self.assertEqual(gate.judge("s", {"u": "unsteady"}, {"u": outcome}, ["u"]), [])


class Explained(unittest.TestCase):
    def findings(self, *differences, unsteady=(), kafka=KAFKA, ours=OURS):
        return gate.explained("s", kafka, ours, Explanations(differences, tuple(unsteady)))

    def test_each_difference_has_its_cause(self):
        self.assertEqual(self.findings(CAUSE), [])

    def test_a_difference_without_cause(self):
        self.assertEqual(len(self.findings()), 1)
        self.assertEqual(len(self.findings(Difference("other", "b", "not-served-yet", "…"))), 1)
        self.assertEqual(len(self.findings(Difference("s", "b", "not-served-yet", "  "))), 1)

    def test_a_test_that_ours_does_not_have_is_a_difference(self):
        self.assertEqual(len(self.findings(CAUSE, ours={"b": "fail"})), 1)

    def test_two_causes(self):
        self.assertEqual(len(self.findings(CAUSE, Difference("s", "*", "by-design", "…"))), 1)

    def test_a_cause_that_explains_nothing_any_more(self):
        (finding,) = self.findings(CAUSE, ours={**OURS, "b": "pass"})
        self.assertIn("not (any more)", finding)

    def test_an_unknown_category(self):
        self.assertEqual(len(self.findings(Difference("s", "b", "bad-luck", "…"))), 1)

    def test_unsteady_is_declared_and_listed(self):
        lists_of_u = {"kafka": {"u": "unsteady"}, "ours": {"u": "unsteady"}}
        self.assertEqual(self.findings(unsteady=[Unsteady("s", "u", "timing")], **lists_of_u), [])
        self.assertEqual(len(self.findings(**lists_of_u)), 2)
        self.assertTrue(self.findings(unsteady=[Unsteady("s", "gone", "timing")], **lists_of_u))


class Share(unittest.TestCase):
    def test_what_lies_outside_does_not_count(self):
        inside, outside = CAUSE, Difference("s", "b", "transactions", "…")
        self.assertEqual(gate.counts("s", KAFKA, OURS, Explanations((inside,))), (2, 2, 1))
        self.assertEqual(gate.counts("s", KAFKA, OURS, Explanations((outside,))), (2, 1, 1))

    def test_a_passing_test_counts_whatever_a_pattern_says(self):
        explanations = Explanations((Difference("s", "*", "transactions", "…"),))
        self.assertEqual(gate.counts("s", KAFKA, OURS, explanations), (2, 1, 1))

    def test_the_bound(self):
        self.assertEqual(gate.enough([(100, 100, 97)]), [])
        self.assertEqual(len(gate.enough([(100, 100, 96)])), 1)
        self.assertEqual(gate.enough([(10, 10, 9), (90, 90, 90)]), [])


class Files(unittest.TestCase):
    def test_a_list_comes_back_as_it_was_written(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "s.kafka.txt"
            lists.write(path, {"b [x] y": "fail", "a": "pass"})
            self.assertEqual(path.read_text(), "pass a\nfail b [x] y\n")
            self.assertEqual(lists.read(path), {"a": "pass", "b [x] y": "fail"})
            self.assertEqual(lists.read(Path(directory) / "none"), {})

    def test_a_malformed_list_is_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "s.kafka.txt"
            for text in ("passed a\n", "pass\n", "pass a\nfail a\n"):
                path.write_text(text)
                self.assertRaises(lists.Malformed, lists.read, path)

    def test_a_misspelt_explanation_is_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "differences.toml"
            for text in ("[[diference]]\n", "[[difference]]\nsuite = 's'\n"):
                path.write_text(text)
                self.assertRaises(lists.Malformed, lists.explanations, path)

    def test_brackets_of_a_pattern_mean_themselves(self):
        self.assertTrue(lists.matches("f[x-*]", "f[x-1]"))
        self.assertFalse(lists.matches("f[x]", "fx"))


if __name__ == "__main__":
    unittest.main()
