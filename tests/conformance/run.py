"""Runs suites that others wrote, against our broker or Apache Kafka, and compares with what their lists say.

Called by `cargo xtask conformance`, which prepares what the environment variables name:
E2E_SERVER, E2E_KAFKA_JARS, CONFORMANCE_CACHE. One line of JSON for each test on standard output; the rest on standard error.
"""

import argparse
import concurrent.futures
import fcntl
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

from core import gate, lists, page, registry  # noqa: E402
from core.context import BROKERS, Suite, end_everything  # noqa: E402
from core.outcome import FAIL, PASS, SKIP, UNSTEADY, Outcome  # noqa: E402

# Open files whose locks are held.
LOCKS = []


def main():
    suites = registry.load()
    arguments = parse(suites)
    chosen = {name: suites[name] for name in arguments.suites or suites}
    if arguments.page:
        page.PAGE.write_text(page.text(suites, lists.explanations()))
        return 0
    signal.signal(signal.SIGTERM, break_off)
    signal.signal(signal.SIGINT, break_off)
    return Run(arguments, suites, chosen).all()


def break_off(number, _):
    """Stopped from outside, in whatever it does."""
    end_everything()
    os._exit(128 + number)


def parse(suites):
    parser = argparse.ArgumentParser(prog="cargo xtask conformance", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="SUITE|TEST", help=f"suites ({', '.join(suites)}) and patterns of tests")
    parser.add_argument("--against", choices=BROKERS, default="chronik")
    parser.add_argument("--subset", action="store_true", help="the short run that belongs to the gate")
    parser.add_argument("--record", action="store_true", help="write what was seen into the lists, and the page anew")
    parser.add_argument("--page", action="store_true", help="write docs/compatibility.md from the lists, and nothing else")
    parser.add_argument("--list", action="store_true", help="name the tests")
    parser.add_argument("--quiet", action="store_true", help="no line for each test")
    parser.add_argument("--jobs", type=int, default=1, help="how many suites at a time")
    arguments = parser.parse_intermixed_args()
    arguments.suites = [word for word in arguments.words if word in suites]
    arguments.tests = [word for word in arguments.words if word not in suites]
    return arguments


class Run:
    def __init__(self, arguments, suites, chosen):
        self.arguments = arguments
        self.suites = suites
        self.chosen = chosen
        self.explanations = lists.explanations()
        self.lock = threading.Lock()

    def all(self):
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(self.arguments.jobs) as pool:
            results = list(pool.map(self.one, self.chosen))
        findings = [finding for found, _ in results for finding in found]
        if self.arguments.list:
            return 1 if findings else 0
        seen = [outcome for _, outcomes in results for outcome in outcomes.values()]
        if self.arguments.tests and not seen:
            findings.append(f"no test is called {' or '.join(self.arguments.tests)}")
        if self.arguments.record:
            page.PAGE.write_text(page.text(self.suites, self.explanations))
        if self.arguments.against == "chronik":
            findings += self.standing()
        for finding in findings:
            self.say(f"finding: {finding}")
        self.say(f"conformance against {self.arguments.against}: {time.monotonic() - started:.0f} s")
        self.say(f"conformance: {numbers(seen)}; {len(findings)} findings")
        return 1 if findings else 0

    def standing(self):
        """What must hold of the lists, whatever was run."""
        findings, totals = [], []
        for name in self.suites:
            on_kafka, on_ours = lists.both(name)
            if name in self.chosen:
                findings += gate.explained(name, on_kafka, on_ours, self.explanations)
            totals.append(gate.counts(name, on_kafka, on_ours, self.explanations))
        return findings + gate.enough(totals)

    def one(self, name):
        """One suite, from fetching to judgement: findings, and outcomes by test."""
        try:
            return self.suite(name, self.chosen[name])
        except Exception:
            self.say(f"{name}:\n{traceback.format_exc()}")
            return [f"{name}: broke off: {traceback.format_exc().strip().splitlines()[-1]}"], {}

    def suite(self, name, module):
        if self.arguments.subset and not all(lists.both(name)):
            self.say(f"{name}: not measured yet, and no part of the short run")
            return [], {}
        if self.arguments.subset and module.SUBSET == []:
            self.say(f"{name}: no part of the short run")
            return [], {}
        cache = registry.prepare(name, self.suites, self.say)
        directory = Path(os.environ["CONFORMANCE_CACHE"]) / "runs" / f"{name}.{self.arguments.against}"
        if not self.arguments.list:
            alone(directory)
            shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
        context = Suite(name, module, self.arguments.against, cache, directory)
        try:
            names = list(module.tests(context))
            selected = self.selected(name, module, names)
            if self.arguments.list:
                self.say("\n".join(f"{name} {test}" for test in selected))
                return [], {}
            return self.judge(name, module, names, selected, self.collect(context, module, selected))
        finally:
            context.close()
            for broker in directory.glob("broker-*/data"):
                shutil.rmtree(broker, ignore_errors=True)

    def selected(self, name, module, names):
        if self.arguments.subset:
            names = registry.subset(module, names, lists.read(lists.path_of(name, "chronik")))
        if self.arguments.tests:
            names = [test for test in names if any(lists.matches(part, test) or part in test for part in self.arguments.tests)]
        return names

    def collect(self, context, module, selected):
        """Runs the tests and tells of each as it ends."""
        seen = {}
        if not selected:
            return seen
        started = time.monotonic()
        self.say(f"{context.name}: {len(selected)} tests against {self.arguments.against}")
        with open(context.directory / "outcomes.jsonl", "w") as file:
            for outcome in module.run(context, selected):
                assert isinstance(outcome, Outcome) and outcome.outcome in (PASS, FAIL, SKIP), outcome
                if outcome.test in seen:
                    raise ValueError(f"{outcome.test} has two outcomes")
                seen[outcome.test] = outcome.outcome
                line = outcome.line(context.name, self.arguments.against)
                file.write(line + "\n")
                file.flush()
                if not self.arguments.quiet:
                    with self.lock:
                        print(line, flush=True)
        self.say(f"{context.name}: {numbers(seen.values())} ({time.monotonic() - started:.0f} s)")
        return seen

    def judge(self, name, module, names, selected, seen):
        path = lists.path_of(name, self.arguments.against)
        expected = lists.read(path)
        if self.arguments.record:
            self.record(name, path, expected, selected, names, seen)
            return [f"{name}: {test}: not run, and so not recorded" for test in selected if test not in seen], seen
        # Chosen from the list, not from what the suite says it has: a test that is gone is missed.
        return gate.judge(name, expected, seen, self.selected(name, module, list(expected))), seen

    def record(self, name, path, expected, selected, names, seen):
        kept = {} if set(selected) == set(names) else expected
        for test, outcome in seen.items():
            declared = any(unsteady.covers(name, test) for unsteady in self.explanations.unsteady)
            kept[test] = UNSTEADY if declared else outcome
        lists.write(path, kept)

    def say(self, text):
        with self.lock:
            print(text, file=sys.stderr, flush=True)


def alone(directory):
    """Two runs of one suite against one kind of broker would take away each other's data. Holds until this process ends."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = open(directory.with_name(directory.name + ".lock"), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(f"another run is under way in {directory}") from None
    LOCKS.append(lock)


def numbers(outcomes):
    outcomes = list(outcomes)
    counted = {outcome: outcomes.count(outcome) for outcome in (PASS, FAIL, SKIP)}
    return f"{counted[PASS]} passed, {counted[FAIL]} failed, {counted[SKIP]} skipped"


if __name__ == "__main__":
    sys.exit(main())
