"""Apache Kafka's integration tests of its own Java clients. They speak to an interface that stands for a cluster; a class of ours,
first on the class path, gives each test a fresh broker as a process (kafka-clients/src)."""

import json
import os
import subprocess
import xml.etree.ElementTree as xml
from pathlib import Path

from core.outcome import FAIL, SKIP, Outcome

HERE = Path(__file__).resolve().parents[1] / "kafka-clients"
SOURCES = sorted((HERE / "src").rglob("*.java"))

TITLE = "Apache Kafka's client integration tests"
VERSION = xml.parse(HERE / "pom.xml").find("{*}properties/{*}kafka.version").text
ABOUT = (
    "What Apache Kafka tests its own consumer, producer and admin client with, from Maven Central "
    "(`kafka-clients-integration-tests`, classifier `test`). Each test gets one fresh broker in a process of its own, Apache Kafka "
    "too; tests that look at objects inside the broker, or bring a Java class into it, are skipped on both."
)
SETTINGS = {}
PINS = [HERE / "pom.xml", *SOURCES]
# Two minutes of it: the classes whose tests do not wait for time-outs.
SUBSET = [
    f"{name}Test.*"
    for name in (
        "AdminFenceProducers AutoTopicCreation ClientTelemetry ConcurrentListOffsetsRequest ConsumerIntegration DescribeProducersWithBrokerId "
        "ListOffsetsIntegration MetadataVersionIntegration PlaintextConsumer PlaintextConsumerAssign PlaintextConsumerClose "
        "PlaintextConsumerCommit PlaintextConsumerFetch PlaintextConsumerSubscription ProducerSendWhileDeletion"
    ).split()
]

# Classes whose set-up, before every test, looks at objects inside the broker: nothing of them can be asked of another process.
LOOKS_INSIDE = ("ShareConsumerTest.",)

# Below the range that the system takes outgoing ports from, and beside the one of the other suites' brokers. CONFORMANCE_PORTS
# (`FIRST-LAST`) moves it, for two runs on one machine that shall not meet.
FIRST_PORT, LAST_PORT = map(int, os.environ.get("CONFORMANCE_PORTS", "22600-22699").split("-"))
SUITE_TIMEOUT_S = 3 * 3600
# Three minutes for a start of the machine; a test that hangs ends it earlier by itself.
LIST_TIMEOUT_S = 180
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m"]


def prepare(cache):
    lib = cache / "lib"
    maven = ["mvn", "-q", "-B", "-f", HERE / "pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={lib}"]
    subprocess.run(maven, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["javac", "-nowarn", "-d", cache / "classes", "-cp", f"{lib}/*", *SOURCES], check=True)


def tests(cx):
    """Each test is begun and given up at once: how often it is called, and with which settings, only it knows."""
    return [outcome.test for outcome in machine(cx, "list", None, LIST_TIMEOUT_S)]


def run(cx, names):
    """One machine for all of them; when a test hangs and takes it down, another for the rest."""
    for name in names:
        if name.startswith(LOOKS_INSIDE):
            yield Outcome(name, SKIP, 0, "its class looks at objects inside the broker before every test")
    remaining = {name for name in names if not name.startswith(LOOKS_INSIDE)}
    while remaining:
        before = len(remaining)
        for outcome in machine(cx, cx.against, remaining, SUITE_TIMEOUT_S):
            if outcome.test in remaining:
                remaining.discard(outcome.test)
                yield outcome
        if len(remaining) == before:
            for name in sorted(remaining):
                yield Outcome(name, FAIL, 0, "the machine that runs the tests ended without telling of it")
            return


def machine(cx, against, names, timeout_s):
    """Outcomes as a Java machine tells them. Its class path begins with the classes of ours that replace the suite's."""
    arguments = []
    if names is not None:
        (cx.directory / "names").write_text("".join(f"{name}\n" for name in sorted(names)))
        arguments = [cx.directory / "names"]
    settings = {
        "conformance.against": against,
        "conformance.directory": cx.directory,
        "conformance.server": os.environ["E2E_SERVER"],
        "conformance.kafka.path": f"{cx.cache / 'classes'}:{os.environ['E2E_KAFKA_JARS']}/*",
        "conformance.port.first": FIRST_PORT,
        "conformance.port.last": LAST_PORT,
        "log4j2.configurationFile": HERE.parents[1] / "kafka" / "log4j2.properties",
    }
    command = [*JAVA, *(f"-D{key}={value}" for key, value in settings.items())]
    jars = [str(path) for path in sorted((cx.cache / "lib").glob("*.jar"))]
    command += ["-cp", ":".join([str(cx.cache / "classes"), *jars]), "chronik.conformance.Run", *arguments]
    for line in cx.lines(command, timeout_s, log=f"machine-{against}"):
        if line.startswith('{"test":'):
            told = json.loads(line)
            yield Outcome(told["test"], told["outcome"], told["seconds"], told["note"])
