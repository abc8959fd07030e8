"""librdkafka's own tests, those that want a broker: one process for each test number, never in the quick mode (it makes most
sub-tests pass without doing anything)."""

import os
import re
import subprocess
import time
from pathlib import Path

from core import npm
from core.outcome import FAIL, PASS, SKIP, Outcome

TITLE = "librdkafka"
VERSION = "2.15.1"
ABOUT = (
    "The client library in C under confluent-kafka, kcat and others; its sources come with the npm package "
    "`@confluentinc/kafka-javascript`. Not run: its tests without a broker, those that emulate a bad network, and those marked as manual. "
    "Two tests of groups run with Kafka's own delay of a first rebalance."
)
PACKAGE = "@confluentinc/kafka-javascript@1.10.1"
SETTINGS = {}
# Those that take seconds. What a test does is in its number's file.
SUBSET = [
    f"{number}_*"
    for number in (
        "0001 0002 0003 0005 0007 0008 0011 0012 0013 0014 0015 0016 0017 0019 0020 0021 0022 0029 0031 0034 0035 0036 0039 0040 0042 "
        "0044 0048 0051 0054 0056 0057 0059 0060 0063 0064 0065 0067 0070 0073 0082 0083 0085 0099 0112 0130 0140"
    ).split()
] + [
    f"0081_admin/do_test_{what}"
    for what in (
        "CreateTopics DeleteTopics CreatePartitions DescribeConfigs DeleteRecords DeleteGroups DescribeTopics DescribeCluster ListOffsets "
        "DeleteConsumerGroupOffsets AlterConsumerGroupOffsets"
    ).split()
]
PINS = [npm.__file__]

# Its own harness doubles the time limits of the tests.
TIMEOUT_MULTIPLIER = 2
PROCESS_TIMEOUT_S = 900
# Features are asked for and not guessed, so that the same tests are there on every machine.
FEATURES = ["--disable-gssapi", "--disable-curl", "--disable-zstd", "--disable-syslog", "--disable-debug-symbols"]
FLAGS = ["--CFLAGS=-O1 -w", "--CXXFLAGS=-O1 -w"]

DECLARED = re.compile(r"^\s+_TEST\((\w+),(.*?)(?=^\s+_TEST\(|\{NULL\})", re.MULTILINE | re.DOTALL)
# Tests of which a part lies outside what is served: each sub-test counts by itself, and gets a process of its own.
# Their names are texts that the sub-test's description contains; None for all functions with sub-tests in the file.
PARTS = {
    "0055_producer_latency": [
        "standard settings",
        "low linger.ms (0ms)",
        "microsecond linger.ms (0.001ms)",
        "high linger.ms (3000ms)",
        "linger.ms < 1000 (500ms)",
        "no acks (0ms)",
        "idempotence (10ms)",
        "transactions (35ms)",
    ],
    "0061_consumer_lag": ["without transactions", "with transactions"],
    "0081_admin": None,
    "0137_barrier_batch_consume": None,
}

# They count on members that start together to be in one generation: Kafka's own delay, not none as for the rest.
GATHERING = ("0113", "0118")
INITIAL_REBALANCE_DELAY_MS = "3000"

NOT_RUN = re.compile(r"TEST_F_(LOCAL|SOCKEM|MANUAL)")
# The last declaration before a sub-test begins names it.
FUNCTION = re.compile(
    r"^static void\s+(do_test_\w+)\((?:(?!^static void\s|SUB_TEST).)*^\s+SUB_TEST(?:_QUICK)?\(", re.MULTILINE | re.DOTALL
)
PART_RAN = re.compile(r"\[ \w+:\d+(: .*)? \]$", re.MULTILINE)
SCENARIO = re.compile(r'\.scenario\s*=\s*"([^"]+)"')
SUMMARY = re.compile(r"^\|\s*(\w+)\s+\|\s+(PASSED|FAILED|SKIPPED|RUNNING|NOT RUN)\s+\|\s+([\d.]+)s\s*\|(.*)$", re.MULTILINE)
FAILED = re.compile(r'^### Test "[^"]*" failed at .*\n(.*)$', re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def prepare(cache):
    source = npm.unpack(PACKAGE, "deps/librdkafka", cache)
    subprocess.run(["./configure", *FLAGS, *FEATURES], cwd=source, check=True, capture_output=True)
    make = ["make", "--silent", f"-j{os.cpu_count()}"]
    subprocess.run([*make, "libs"], cwd=source, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*make, "-C", "tests", "build"], cwd=source, check=True, stdout=subprocess.DEVNULL)


def sources_in(cache):
    """Where the sources lie, built."""
    return cache / "package" / "deps" / "librdkafka"


def sources(cx):
    return sources_in(cx.cache)


def tests(cx):
    return [name for name, _ in declared(cx)]


def declared(cx):
    """The tests that want a broker, each with the scenario that it runs in."""
    directory = sources(cx) / "tests"
    text = (directory / "test.c").read_text()
    for test, rest in DECLARED.findall(text[text.index("struct test tests[] = {") :]):
        # Some that bring a broker of their own are not marked as local.
        if NOT_RUN.search(rest) or test.endswith("_mock"):
            continue
        scenario = SCENARIO.search(rest)
        scenario = scenario.group(1).split(",")[0] if scenario else "default"
        for name in [f"{test}/{part}" for part in parts(directory, test)] or [test]:
            yield name, scenario


def parts(directory, test):
    if test not in PARTS:
        return []
    if PARTS[test]:
        return PARTS[test]
    (source,) = directory.glob(test.replace("_", "-", 1) + ".c")
    return FUNCTION.findall(source.read_text())


def run(cx, names):
    home = kafka_home(cx.directory / "kafka")
    chosen = [(name, scenario) for name, scenario in declared(cx) if name in names]
    brokers = {}
    for (scenario, number, part), wanted in processes(chosen).items():
        settings = settings_of(scenario, number)
        broker = brokers.get(str(settings))
        if broker is None or not broker.running():
            broker = brokers[str(settings)] = cx.start_broker(settings)
        yield from one_process(cx, broker, home, number, part, scenario, wanted)


def settings_of(scenario, number):
    settings = {"auto.create.topics.enable": "false"} if scenario == "noautocreate" else {}
    if number in GATHERING:
        settings["group.initial.rebalance.delay.ms"] = INITIAL_REBALANCE_DELAY_MS
    return settings


def processes(chosen):
    """What runs in one process: all tests of a scenario and number, or one part of a test."""
    found = {}
    for name, scenario in chosen:
        test, _, part = name.partition("/")
        found.setdefault((scenario, test.split("_")[0], part), []).append(name)
    return found


def one_process(cx, broker, home, number, part, scenario, wanted):
    """The outcomes of those of its tests that were asked for."""
    configuration = cx.directory / "test.conf"
    configuration.write_text(
        f"bootstrap.servers={broker.bootstrap}\ntest.topic.random=true\ntest.timeout.multiplier={TIMEOUT_MULTIPLIER * cx.patience}\n"
    )
    source = sources(cx)
    environment = {
        "TESTS": number,
        "RDKAFKA_TEST_CONF": str(configuration),
        "TEST_KAFKA_VERSION": cx.kafka_version,
        "LD_LIBRARY_PATH": f"{source / 'src'}:{source / 'src-cpp'}",
        "KAFKA_PATH": str(home),
        "BROKERS": broker.bootstrap,
    }
    if part:
        # A sub-test is described as "function:line: text".
        environment["SUBTESTS"] = f"{part}:" if PARTS[wanted[0].partition("/")[0]] is None else part
    command = ["env", "--unset=CI", "./test-runner", "-p1", "-E", "-L", "-s", scenario]
    log = "-".join([number, scenario, re.sub(r"\W+", "_", part)]).rstrip("-")
    started = time.monotonic()
    code, output = cx.execute(command, PROCESS_TIMEOUT_S * cx.patience, log=log, environment=environment, cwd=source / "tests")
    output = COLOUR.sub("", output)
    summary = {name: rest for name, *rest in SUMMARY.findall(output)}
    said = FAILED.findall(output)
    if part and not PART_RAN.search(output):
        said.append("no such sub-test ran")
        code = code or 1
    for name in wanted:
        yield outcome(name, summary.get(name.partition("/")[0]), code, time.monotonic() - started, "; ".join(said))


def outcome(name, summary, code, seconds, said):
    """A process that failed as a whole has failed in all its tests but those that it says failed or were skipped."""
    if code is None or summary is None:
        return Outcome(name, FAIL, seconds, f"{'still running' if code is None else f'exit code {code}'}: {said}")
    state, duration, note = summary
    if state == "PASSED" and code != 0:
        return Outcome(name, FAIL, float(duration), f"exit code {code}: {said}")
    return Outcome(name, {"PASSED": PASS, "SKIPPED": SKIP}.get(state, FAIL), float(duration), note.strip())


def kafka_home(home):
    """What tests expect of an installation of Apache Kafka: scripts over the jars that are here already."""
    scripts = {
        "kafka-topics.sh": 'org.apache.kafka.tools.TopicCommand "$@"',
        "kafka-acls.sh": 'kafka.admin.AclCommand "$@"',
        "kafka-run-class.sh": '"$@"',
    }
    (home / "bin").mkdir(parents=True)
    (home / "libs").symlink_to(os.environ["E2E_KAFKA_JARS"])
    logging = Path(__file__).resolve().parents[2] / "kafka" / "log4j2.properties"
    for name, rest in scripts.items():
        script = home / "bin" / name
        java = f'java -Xmx256m -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile={logging} -cp "$CLASSPATH:{home}/libs/*"'
        script.write_text(f"#!/bin/sh\nexec {java} {rest}\n")
        script.chmod(0o755)
    return home
