"""`kill -9` in the middle of producing, round after round, on the same data."""

import os
import subprocess
import time

from harness import checker
from harness.context import equal, eventually
from harness.flow import Flow, order, read_all, verdict
from harness.registry import case

ROUNDS = int(os.environ.get("E2E_CRASH_ROUNDS", "10"))
PARTITIONS = 3


@case(fresh=True, timeout_s=400)
def idempotent_librdkafka_producer(cx):
    """Records flow all the time; the broker is killed and comes back; nothing is lost, doubled, reordered."""
    topic = cx.topic(partitions=PARTITIONS)
    flow = Flow(cx, topic, PARTITIONS, enable_idempotence=True, linger_ms=1, retry_backoff_ms=20, reconnect_backoff_max_ms=200)
    flow.start()
    kill_rounds(cx, lambda: len(flow.acked))
    sent = flow.finish()
    assert not flow.errors, flow.errors[:5]
    equal(len(flow.acked), len(sent))
    read = read_all(cx, topic, PARTITIONS)
    verdict(checker.check(flow.acked, read, sent=sent) + order(read))
    equal(len(read), len(sent), "records in the log")


@case(fresh=True, timeout_s=400)
def plain_librdkafka_producer(cx):
    """Without idempotence a retry may double a record; still nothing acknowledged is lost or changed."""
    topic = cx.topic(partitions=PARTITIONS)
    flow = Flow(cx, topic, PARTITIONS, linger_ms=1, retry_backoff_ms=20, reconnect_backoff_max_ms=200)
    flow.start()
    kill_rounds(cx, lambda: len(flow.acked), rounds=max(3, ROUNDS // 2))
    sent = flow.finish()
    read = read_all(cx, topic, PARTITIONS)
    verdict([f for f in checker.check(flow.acked, read, sent=sent) if not f.startswith("doubled")])


@case(fresh=True, timeout_s=400)
def idempotent_franz_go_producer(cx):
    topic = cx.topic(partitions=PARTITIONS)
    count = 400_000
    path = cx.directory / "acked.txt"
    with open(path, "wb") as out:
        command = [os.environ["E2E_GO_CASES"], cx.bootstrap, "produce-until", topic, "go", str(count)]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        kill_rounds(cx, lambda: path.stat().st_size // 20, go_on=lambda: process.poll() is None)
        _, complaints = process.communicate(timeout=200)
    equal(process.returncode, 0, complaints.decode()[-2000:])
    acked = []
    for line in path.read_bytes().splitlines():
        _, partition, offset, value = line.split()
        acked.append((int(partition), int(offset), value))
    equal(len(acked), count)
    read = read_all(cx, topic, PARTITIONS)
    verdict(checker.check(acked, read) + order(read))
    equal(len(read), count)


@case(fresh=True, timeout_s=300)
def a_new_producer_each_round(cx):
    """Each round has its own producers, cut off with the broker: what they had acknowledged is there."""
    topic = cx.topic(partitions=PARTITIONS)
    acked, sent = [], set()
    for number in range(ROUNDS):
        flow = Flow(cx, topic, PARTITIONS, prefix=f"round{number}", enable_idempotence=True, linger_ms=0)
        flow.start()
        eventually(lambda: len(flow.acked) > 200, "records are acknowledged")
        cx.broker.kill()
        sent |= flow.abandon()
        acked += flow.acked
        cx.broker.start()
    read = read_all(cx, topic, PARTITIONS)
    verdict(checker.check(acked, read, sent=sent) + order(read))


@case(fresh=True, timeout_s=300)
def killed_while_starting(cx):
    """A start that is cut short, at whatever point, leaves a directory that starts."""
    topic = cx.topic(partitions=PARTITIONS)
    flow = Flow(cx, topic, PARTITIONS, enable_idempotence=True, linger_ms=1)
    flow.start()
    eventually(lambda: len(flow.acked) > 5000, "records are acknowledged")
    cx.broker.kill()
    sent = flow.abandon()
    for delay_ms in (0, 1, 2, 5, 10, 20, 40, 80, 160, 320):
        cx.broker.launch()
        time.sleep(delay_ms / 1000)
        cx.broker.kill()
    cx.broker.start()
    verdict(checker.check(flow.acked, read_all(cx, topic, PARTITIONS), sent=sent))


@case(fresh=True, timeout_s=300)
def a_clean_stop_and_start(cx):
    topic = cx.topic(partitions=PARTITIONS)
    flow = Flow(cx, topic, PARTITIONS, enable_idempotence=True, linger_ms=1, retry_backoff_ms=20, reconnect_backoff_max_ms=200)
    flow.start()
    for _ in range(3):
        before = len(flow.acked)
        eventually(lambda: len(flow.acked) > before + 1000, "records are acknowledged")
        cx.broker.stop()
        cx.broker.start()
    sent = flow.finish()
    read = read_all(cx, topic, PARTITIONS)
    verdict(checker.check(flow.acked, read, sent=sent) + order(read))
    equal(len(read), len(sent))


def kill_rounds(cx, acknowledged, rounds=None, go_on=lambda: True):
    """Kills the broker again and again, each time after something more was acknowledged."""
    for number in range(rounds or ROUNDS):
        before = acknowledged()
        eventually(lambda: acknowledged() > before or not go_on(), f"round {number}: records are acknowledged", timeout_s=60)
        if not go_on():
            break
        # Somewhere in the flow, not always at its start.
        time.sleep(0.05 * (number % 5))
        cx.broker.kill()
        cx.broker.start()
