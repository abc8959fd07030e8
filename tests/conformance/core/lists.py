"""The files that say what is expected: for each suite what passes on Apache Kafka and what passes on ours, and why the two differ.

A list has one line for each test, `outcome` and name, sorted by name. Nothing in it changes from run to run.
"""

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from core.outcome import FAIL, PASS, SKIP, UNSTEADY

HERE = Path(__file__).resolve().parents[1]
LISTS = HERE / "lists"
DIFFERENCES = HERE / "differences.toml"

# What one node of this kind is not asked for (yet): tests of it do not count in the share. The texts stand in the page.
OUTSIDE = {
    "transactions": "transactions",
    "kip-848": "the consumer group protocol of KIP-848",
    "share-groups": "share groups (KIP-932)",
    "security": "TLS, SASL and ACLs",
    "several-brokers": "more than one broker",
}
# What counts against us.
INSIDE = {
    "not-served-yet": "a request or setting that is not served yet",
    "by-design": "the contrary of a decision of ours",
    "bug-in-test": "an accident of Kafka's",
}


@dataclass(frozen=True)
class Difference:
    """Why tests that pass on Apache Kafka do not pass on ours. `pattern` as in a shell."""

    suite: str
    pattern: str
    category: str
    cause: str

    def covers(self, suite, test):
        return self.suite == suite and matches(self.pattern, test)

    @property
    def outside(self):
        return self.category in OUTSIDE


@dataclass(frozen=True)
class Unsteady:
    """A test whose outcome differs from run to run, on Apache Kafka too. It is run and not judged."""

    suite: str
    pattern: str
    cause: str

    def covers(self, suite, test):
        return self.suite == suite and matches(self.pattern, test)


@dataclass(frozen=True)
class Explanations:
    differences: tuple = ()
    unsteady: tuple = ()


class Malformed(Exception):
    """A file that cannot be read as what it should be."""


def matches(pattern, test):
    """Shell patterns, in which brackets mean themselves: parameters of tests are often written in them."""
    return fnmatchcase(test, pattern.replace("[", "[[]"))


def path_of(suite, against):
    return LISTS / f"{suite}.{against}.txt"


def read(path):
    """Outcome by test. A list that is not there is empty."""
    expected = {}
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        outcome, _, test = line.partition(" ")
        if outcome not in (PASS, FAIL, SKIP, UNSTEADY) or not test:
            raise Malformed(f"{path.name}:{number}: not an outcome and a test: {line}")
        if test in expected:
            raise Malformed(f"{path.name}:{number}: named twice: {test}")
        expected[test] = outcome
    return expected


def both(suite):
    """The lists of a suite, of Apache Kafka's and of ours: two empty ones for a suite that nobody has measured."""
    return [read(path_of(suite, against)) for against in ("kafka", "chronik")]


def write(path, expected):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{expected[test]} {test}\n" for test in sorted(expected)))


def explanations(path=DIFFERENCES):
    """What differences.toml holds, in its order."""
    text = tomllib.loads(path.read_text()) if path.exists() else {}
    strange = set(text) - {"difference", "unsteady"}
    if strange:
        raise Malformed(f"{path.name}: unknown: {', '.join(sorted(strange))}")
    return Explanations(
        tuple(entry(Difference, table, path) for table in text.get("difference", [])),
        tuple(entry(Unsteady, table, path) for table in text.get("unsteady", [])),
    )


def entry(kind, table, path):
    try:
        return kind(**table)
    except TypeError as error:
        raise Malformed(f"{path.name}: {table}: {error}") from None
