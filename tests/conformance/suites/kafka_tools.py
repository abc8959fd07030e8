"""Apache Kafka's command-line tools, each use of one a test with what it has to print: a process for each, on one broker."""

import runpy
import sys
import time
from pathlib import Path

from core import pins
from core.outcome import FAIL, PASS, Outcome

TITLE = "Kafka's tools"
VERSION = pins.kafka_version()
ABOUT = "The classes behind Kafka's `bin/*.sh`, from Maven Central; what they have to print was written here, and holds for Apache Kafka itself."
SETTINGS = {"advertised.listeners": "the one listener"}
# A start of a tool each, of many kinds. Those named java_tools are cases of `cargo xtask test` already.
SUBSET = [
    "cluster::quorum_*", "cluster::features_described", "cluster::producers_described", "cluster::election_of_*", "cluster::reassignment_called_off",
    "cluster::log_dirs_of_all_topics", "groups::all_groups_described", "records::replicas_verified", "records::console_consumer_of_a_pattern",
    "topics::topics_with_overrides", "topics::records_that_cannot_be_deleted",
]

TOOLS = Path(__file__).resolve().parents[1] / "tools"


def prepare(cache):
    """The jars are the reference's own."""


def cases():
    return runpy.run_path(str(TOOLS / "__main__.py"), run_name="tools")["load"]()


def tests(cx):
    return sorted(cases())


def run(cx, names):
    found = cases()
    shared = cx.bootstrap.rsplit(":")[-1]
    for name in names:
        case = found[name]
        directory = cx.directory / name.replace("::", "-")
        directory.mkdir()
        port = [] if case.fresh or case.settings else [shared]
        started = time.monotonic()
        command = [sys.executable, TOOLS, name, cx.against, directory, *port]
        code, said = cx.execute(command, case.timeout_s * cx.patience, log=directory.name)
        lines = said.strip().splitlines() or [""]
        note = "" if code == 0 else "still running" if code is None else lines[-1][:300]
        yield Outcome(name, PASS if code == 0 else FAIL, time.monotonic() - started, note)
