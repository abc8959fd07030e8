"""Tools that write and read records."""

import json
import re
import time

from harness.context import equal, eventually
from harness.records import produce_all
from harness.registry import case
from tools.names import CONSOLE_CONSUMER, CONSOLE_PRODUCER, END_TO_END_LATENCY, REPLICA_VERIFICATION, VERIFIABLE_PRODUCER


def at(cx):
    return ["--bootstrap-server", cx.bootstrap]


@case(timeout_s=180)
def end_to_end_latency(cx):
    topic = cx.topic()
    said = cx.java_tool(
        END_TO_END_LATENCY, *at(cx), "--topic", topic, "--num-records", 200, "--producer-acks", "all", "--record-size", 100,
        timeout_s=150,
    )
    assert re.search(r"^Avg latency: \d+\.\d+ ms$", said, re.MULTILINE), said
    percentiles = re.search(r"^Percentiles: 50th = (\d+), 99th = (\d+), 99\.9th = (\d+)$", said, re.MULTILINE)
    assert percentiles, said


@case(timeout_s=180)
def replicas_verified(cx):
    topic = cx.topic(partitions=2)
    produce_all(cx.producer(), topic, [(None, b"v")] * 10)
    path = cx.directory / "verification.txt"
    with open(path, "wb") as log:
        tool = cx.java_start(
            REPLICA_VERIFICATION, "--broker-list", cx.bootstrap, "--topics-include", topic, "--report-interval-ms", 500, stdout=log
        )
        eventually(lambda: re.search(rf"max lag is 0 for partition {topic}-[01] at offset", path.read_text()), "the replicas agree", timeout_s=60)
        tool.kill()
        tool.wait(10)


@case(timeout_s=180)
def console_consumer_from_an_offset(cx):
    topic = cx.topic(partitions=2)
    produce_all(cx.producer(), topic, [(None, b"%d" % n) for n in range(10)], partition=1)
    said = cx.java_tool(
        CONSOLE_CONSUMER, *at(cx), "--topic", topic, "--partition", 1, "--offset", 6, "--max-messages", 4, "--timeout-ms", 30000
    )
    equal(said.split(), ["6", "7", "8", "9"])


@case(timeout_s=180)
def console_consumer_of_a_pattern(cx):
    prefix = cx.name("pattern")
    for n in range(2):
        topic = cx.topic(name=f"{prefix}-{n}")
        produce_all(cx.producer(), topic, [(None, b"%d" % n)])
    said = cx.java_tool(
        CONSOLE_CONSUMER, *at(cx), "--include", f"{prefix}.*", "--from-beginning", "--max-messages", 2, "--timeout-ms", 60000,
        timeout_s=90,
    )
    equal(sorted(said.split()), ["0", "1"])


@case(timeout_s=180)
def console_consumer_reads_committed_only(cx):
    topic = cx.topic()
    produce_all(cx.producer(), topic, [(None, b"v")] * 3)
    said = cx.java_tool(
        CONSOLE_CONSUMER, *at(cx), "--topic", topic, "--from-beginning", "--isolation-level", "read_committed", "--max-messages", 3,
        "--timeout-ms", 30000,
    )
    equal(said.split(), ["v", "v", "v"])


@case(timeout_s=180)
def console_consumer_gives_up(cx):
    code, said = cx.java_tool(CONSOLE_CONSUMER, *at(cx), "--topic", cx.topic(), "--timeout-ms", 3000, check=False)
    assert "Processed a total of 0 messages" in said, (code, said)


@case(timeout_s=180)
def console_producer_without_waiting(cx):
    topic = cx.topic()
    lines = [f"line {n}" for n in range(500)]
    cx.java_tool(CONSOLE_PRODUCER, *at(cx), "--topic", topic, "--request-required-acks", "0", stdin="\n".join(lines) + "\n")
    said = cx.java_tool(
        CONSOLE_CONSUMER, *at(cx), "--topic", topic, "--from-beginning", "--max-messages", 500, "--timeout-ms", 30000
    )
    equal(said.splitlines(), lines)


@case(timeout_s=180)
def verifiable_producer_at_a_rate(cx):
    topic = cx.topic()
    started = time.monotonic()
    said = cx.java_tool(
        VERIFIABLE_PRODUCER, *at(cx), "--topic", topic, "--max-messages", 100, "--throughput", 50, "--repeating-keys", 3,
        "--value-prefix", 7,
    )
    assert time.monotonic() - started >= 2
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    sent = [event for event in events if event["name"] == "producer_send_success"]
    equal([(event["key"], event["value"]) for event in sent[:4]], [("0", "7.0"), ("1", "7.1"), ("2", "7.2"), ("0", "7.3")])
    equal([event["offset"] for event in sent], list(range(100)))
