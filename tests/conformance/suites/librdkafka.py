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
    "`@confluentinc/kafka-javascript`. Not run: its tests without a broker, those that emulate a bad network, and those marked as manual."
)
PACKAGE = "@confluentinc/kafka-javascript@1.10.1"
SETTINGS = {}
SUBSET = None
PINS = [npm.__file__]

# Its own harness doubles the time limits of the tests.
TIMEOUT_MULTIPLIER = 2
PROCESS_TIMEOUT_S = 900
# Features are asked for and not guessed, so that the same tests are there on every machine.
FEATURES = ["--disable-gssapi", "--disable-curl", "--disable-zstd", "--disable-syslog", "--disable-debug-symbols"]
FLAGS = ["--CFLAGS=-O1 -w", "--CXXFLAGS=-O1 -w"]

DECLARED = re.compile(r"^\s+_TEST\((\w+),(.*?)(?=^\s+_TEST\(|\{NULL\})", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"TEST_F_(LOCAL|SOCKEM|MANUAL)")
SCENARIO = re.compile(r'\.scenario\s*=\s*"([^"]+)"')
SUMMARY = re.compile(r"^\|\s*(\w+)\s+\|\s+(PASSED|FAILED|SKIPPED|RUNNING|NOT RUN)\s+\|\s+([\d.]+)s\s*\|(.*)$", re.MULTILINE)
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
    return list(scenarios(cx))


def scenarios(cx):
    """The tests that want a broker, and the scenario that each runs in."""
    text = (sources(cx) / "tests" / "test.c").read_text()
    table = text[text.index("struct test tests[] = {") :]
    found = {}
    for name, rest in DECLARED.findall(table):
        if not NOT_RUN.search(rest):
            scenario = SCENARIO.search(rest)
            found[name] = scenario.group(1).split(",")[0] if scenario else "default"
    return found


def run(cx, names):
    chosen = {name: scenario for name, scenario in scenarios(cx).items() if name in names}
    home = kafka_home(cx.directory / "kafka")
    for scenario in sorted(set(chosen.values())):
        broker = None
        numbers = sorted({name.split("_")[0] for name in chosen if chosen[name] == scenario})
        for number in numbers:
            if broker is None or not broker.running():
                settings = {"auto.create.topics.enable": "false"} if scenario == "noautocreate" else {}
                broker = cx.start_broker(settings)
            wanted = [name for name in chosen if name.startswith(number + "_") and chosen[name] == scenario]
            yield from one_number(cx, broker, home, number, scenario, wanted)
        cx.stop_broker(broker)


def one_number(cx, broker, home, number, scenario, wanted):
    """One process; the outcomes of those of its tests that were asked for."""
    configuration = cx.directory / "test.conf"
    configuration.write_text(
        f"bootstrap.servers={broker.bootstrap}\ntest.topic.random=true\ntest.timeout.multiplier={TIMEOUT_MULTIPLIER}\n"
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
    command = ["env", "--unset=CI", "./test-runner", "-p1", "-E", "-L", "-s", scenario]
    started = time.monotonic()
    code, output = cx.execute(
        command, PROCESS_TIMEOUT_S, log=f"{number}-{scenario}", environment=environment, cwd=source / "tests"
    )
    summary = {name: rest for name, *rest in SUMMARY.findall(COLOUR.sub("", output))}
    for name in wanted:
        yield outcome(name, summary.get(name), code, time.monotonic() - started)


def outcome(name, summary, code, seconds):
    if summary is None:
        return Outcome(name, FAIL, seconds, "still running" if code is None else f"no summary, exit code {code}")
    state, duration, note = summary
    if state == "PASSED" and code != 0:
        return Outcome(name, FAIL, float(duration), f"passed, and the process ended with {code}")
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
