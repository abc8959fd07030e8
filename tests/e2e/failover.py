"""How long a client waits when a leader is killed or stopped: three nodes, one producer, again and again.

Called by `cargo xtask bench failover`, which names the server in E2E_SERVER and Apache Kafka in E2E_KAFKA_JARS.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402
from harness import wire  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from harness.probe import Probe  # noqa: E402

TOPIC = "failover"
# Records per second of the producer: how finely a wait can be told.
RATE = 500
# How long it goes on after each end of a leader, at least.
SETTLE_S = 1.0
# What is measured, and how often at most: a JVM takes its time to come back.
RUNS = [("chronik", "kill", 30), ("chronik", "stop", 30), ("kafka", "kill", 10)]
# Apache Kafka's own defaults, which the harness shortens otherwise.
SETTINGS = {"chronik": {}, "kafka": {"broker.session.timeout.ms": "9000", "broker.heartbeat.interval.ms": "2000"}}
ENDS = {"kill": "kill -9", "stop": "SIGTERM"}


def until(condition, timeout_s=60):
    """When the condition came true."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            if condition():
                return time.monotonic()
        except (OSError, EOFError):
            pass
        time.sleep(0.005)
    raise AssertionError("it never came true")


class Writer:
    """Asks the nodes one after the other to take a record for the partition (acks=all) until one of them does, and again: when
    nobody does, there is no leader that can be written to. No client's intervals are in this."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.taken = [time.monotonic()]
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(30)

    def run(self):
        body = wire.produce_body(TOPIC, 0, wire.batch([b"writer"]), timeout_ms=1000)
        node = self.cluster.nodes[0]
        connection = None
        while not self.ended.is_set():
            try:
                connection = connection or wire.Connection(node.port, timeout_s=2)
                error, _ = wire.produce_error(connection.request(wire.PRODUCE, 3, body))
                if error == 0:
                    self.taken.append(time.monotonic())
                    continue
            except (OSError, EOFError):
                pass
            if connection is not None:
                connection.close()
            node, connection = self.cluster[node.node_id % len(self.cluster.nodes) + 1], None
            time.sleep(0.001)

    def longest_gap_ms(self, since):
        moments = [moment for moment in self.taken if moment >= since]
        edges = [since, *moments, time.monotonic()]
        return max(later - earlier for earlier, later in zip(edges, edges[1:])) * 1000


def end_and_watch(cluster, client, victim, how, was_metadata_leader):
    """Milliseconds from the end of a leader: until another leads the metadata, until another leads the partition, how long nobody
    could be written to, and the producer's wait."""
    survivor = cluster.others(victim)[0]
    with Writer(cluster) as writer:
        until(lambda: len(writer.taken) > 10)
        began = time.monotonic()
        victim.process.kill() if how == "kill" else victim.ask_to_stop()
        elected = None
        if was_metadata_leader:
            elected = until(lambda: wire.metadata_leader(survivor.port, 1) not in (None, victim.node_id))
        moved = until(lambda: cluster.partitions(TOPIC, survivor)[0].leader not in (-1, victim.node_id))
        until(lambda: client.acknowledged and client.acknowledged[-1][0] > moved and writer.taken[-1] > moved)
        victim.wait_until_stopped()
        time.sleep(SETTLE_S)
        gap = writer.longest_gap_ms(began)
    return {
        "metadata_ms": elected and (elected - began) * 1000,
        "partition_ms": (moved - began) * 1000,
        "not_writable_ms": gap,
        "client_ms": client.longest_wait_ms(began, time.monotonic()),
    }


def measure(against, how, count):
    with tempfile.TemporaryDirectory(prefix="chronik-failover-") as directory:
        cluster = Cluster(against, Path(directory), SETTINGS[against], 3)
        try:
            cluster.start()
            admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
            admin.create_topics([NewTopic(TOPIC, 1, 3)])[TOPIC].result()
            cluster.wait_in_sync(TOPIC)
            # With its default settings but these: one record at a time is due, on one partition.
            producer = Producer({"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True, "linger.ms": 0})
            client = Probe(producer, TOPIC, per_second=RATE).start()
            rounds = []
            for number in range(count):
                until(lambda: client.acknowledged)
                # In turns whoever leads the partition, and whoever leads the metadata too when they are one.
                victim = cluster.leader(TOPIC)
                both = cluster.metadata_leader() is victim
                rounds.append({"both": both, **end_and_watch(cluster, client, victim, how, both)})
                print(f"  {number + 1}: {describe(rounds[-1])}", flush=True)
                victim.start()
                cluster.wait_for_nodes()
                cluster.wait_in_sync(TOPIC)
            offsets = [offset for _, offset, _ in client.finish()]
            assert len(offsets) == client.sent == len(set(offsets)), "each record is acknowledged once, at a place of its own"
            return rounds, client.sent
        finally:
            cluster.kill()


def describe(outcome):
    metadata = f"metadata led again after {outcome['metadata_ms']:.0f} ms, " if outcome["both"] else ""
    return (
        f"{metadata}partition led again after {outcome['partition_ms']:.0f} ms, not writable for {outcome['not_writable_ms']:.0f} ms, "
        f"the producer waited {outcome['client_ms']:.0f} ms"
    )


def summary(values):
    values = sorted(value for value in values if value is not None)
    if not values:
        return None
    # The smallest value that 99 of 100 do not exceed: of thirty, the largest.
    p99 = values[-(-len(values) * 99 // 100) - 1]
    return {"count": len(values), "median": statistics.median(values), "p99": p99, "max": values[-1]}


MEASURED = {
    "metadata_ms": "another leads the metadata",
    "partition_ms": "another leads the partition",
    "not_writable_ms": "nobody can be written to",
    "client_ms": "the producer's longest wait",
}


def run(against, how, count):
    print(f"{against}, {ENDS[how]}, {count} times", flush=True)
    rounds, sent = measure(against, how, count)
    result = {"against": against, "how": ENDS[how], "times": count, "records": sent}
    for name, what in MEASURED.items():
        found = result[name] = summary(one[name] for one in rounds)
        if found:
            print(f"{what}: median {found['median']:.0f} ms, longest {found['max']:.0f} ms, of {found['count']}")
    print(f"{sent} records sent, each acknowledged once", flush=True)
    return {**result, "rounds": rounds}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, help="how often, at most; 30 unless told, and 10 of Apache Kafka")
    parser.add_argument("--how", choices=ENDS, help="only this end of a leader; both unless told")
    parser.add_argument("--against", choices=SETTINGS, help="only this server; both unless told")
    parser.add_argument("--commit", default="")
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    chosen = [
        (against, how, min(count, arguments.kills or count))
        for against, how, count in RUNS
        if arguments.against in (None, against) and arguments.how in (None, how)
    ]
    if not chosen:
        parser.error(f"of {arguments.against} {arguments.how} is not measured")
    result = {
        "what": "three nodes on one machine, the end of a partition's leader, milliseconds",
        "commit": arguments.commit,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "runs": [run(*one) for one in chosen],
    }
    if arguments.results:
        arguments.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
