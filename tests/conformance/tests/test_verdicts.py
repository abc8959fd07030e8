"""How the words of a suite become outcomes: nothing passes for want of a word to the contrary."""

import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2] / "e2e")]

from suites import librdkafka, rust_rdkafka  # noqa: E402


class Librdkafka(unittest.TestCase):
    SUMMARY = "| 0001_multiobj    |     PASSED |   1.408s |\n| 0002_x | SKIPPED |   0.000s | not today\n"

    def outcome(self, output, code, name="0001_multiobj"):
        found = {name: rest for name, *rest in librdkafka.SUMMARY.findall(output)}
        return librdkafka.outcome(name, found.get(name), code, 1.0, "").outcome

    def test_a_pass_is_a_pass_of_the_whole_process(self):
        self.assertEqual(self.outcome(self.SUMMARY, 0), "pass")
        self.assertEqual(self.outcome(self.SUMMARY, 1), "fail")
        self.assertEqual(self.outcome(self.SUMMARY, None), "fail")

    def test_a_skip_is_a_skip(self):
        self.assertEqual(self.outcome(self.SUMMARY, 0, "0002_x"), "skip")

    def test_a_test_without_a_word_has_failed(self):
        self.assertEqual(self.outcome("", 0), "fail")

    def test_a_filter_that_chooses_no_sub_test_is_seen(self):
        self.assertIsNone(librdkafka.PART_RAN.search("[0081_admin  /  0.1s] Sub tests : do_test_X:\n"))
        self.assertIsNotNone(librdkafka.PART_RAN.search("[0081_admin  /  0.1s] [ do_test_X:48: with a queue ]\n"))

    def test_sub_tests_are_found_by_their_functions(self):
        with tempfile.TemporaryDirectory() as directory:
            source = (
                "static void do_test_One(int a,\n    int b) {\n  int c;\n\n  SUB_TEST_QUICK(\"%d\", a);\n}\n"
                "static void helper(void) {\n}\nstatic void do_test_two(void) {\n  SUB_TEST();\n}\n"
                "static void do_test_none(void) {\n}\n"
            )
            (Path(directory) / "0081-admin.c").write_text(source)
            self.assertEqual(librdkafka.parts(Path(directory), "0081_admin"), ["do_test_One", "do_test_two"])
            self.assertEqual(librdkafka.parts(Path(directory), "0001_multiobj"), [])

    def test_tests_of_one_number_share_a_process_and_parts_have_their_own(self):
        chosen = [("0045_a", "default"), ("0045_b", "default"), ("0045_c", "noautocreate"), ("0081_admin/x", "default")]
        wanted = {
            ("default", "0045", ""): ["0045_a", "0045_b"],
            ("noautocreate", "0045", ""): ["0045_c"],
            ("default", "0081", "x"): ["0081_admin/x"],
        }
        self.assertEqual(librdkafka.processes(chosen), wanted)


class RustRdkafka(unittest.TestCase):
    def outcome(self, code, output):
        return rust_rdkafka.verdict("t", code, output, 1.0)[0]

    def test_one_test_must_have_run(self):
        self.assertEqual(self.outcome(0, "test t ... ok\n\ntest result: ok. 1 passed; 0 failed"), "pass")
        self.assertEqual(self.outcome(0, "test result: ok. 0 passed; 0 failed"), "fail")
        self.assertEqual(self.outcome(101, "test result: FAILED. 0 passed; 1 failed"), "fail")
        self.assertEqual(self.outcome(None, "test result: ok. 1 passed"), "fail")
        self.assertEqual(self.outcome(0, "test t ... ignored\n\ntest result: ok. 0 passed; 0 failed"), "skip")


if __name__ == "__main__":
    unittest.main()
