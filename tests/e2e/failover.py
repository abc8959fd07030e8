"""How long a client waits when a leader is killed: three nodes, one producer, `kill -9` again and again.

Called by `cargo xtask bench failover`, which names the server in E2E_SERVER.
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

TOPIC = "failover"
# Records per second of the producer: how finely a wait can be told.
RATE = 500
# How long it goes on after each kill, at least.
SETTLE_S = 1.0


class Client:
    """A librdkafka producer with its default settings, idempotent, acks=all: one record at a time is due, on one partition."""

    def __init__(self, bootstrap):
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 0})
        self.acknowledged = []
        self.failed = []
        self.sent = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        due = time.monotonic()
        while not self.ended.is_set():
            self.producer.produce(TOPIC, b"%d" % self.sent, partition=0, on_delivery=self.told)
            self.sent += 1
            due += 1 / RATE
            self.producer.poll(max(0, due - time.monotonic()))
        self.producer.flush(60)

    def told(self, error, message):
        if error:
            self.failed.append(str(error))
        else:
            self.acknowledged.append((time.monotonic(), message.offset()))

    def longest_wait(self, since, until):
        """The longest time without an acknowledgement, in milliseconds."""
        moments = [moment for moment, _ in list(self.acknowledged) if since <= moment <= until]
        edges = [since, *moments, until]
        return max(later - earlier for earlier, later in zip(edges, edges[1:])) * 1000

    def end(self):
        self.ended.set()
        self.thread.join(90)


def until(condition, timeout_s=30):
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


def kill_and_watch(cluster, client, victim, was_metadata_leader):
    """Milliseconds from the kill: until another leads the metadata, until another leads the partition, and the producer's wait."""
    survivor = cluster.others(victim)[0]
    killed = time.monotonic()
    victim.kill()
    elected = None
    if was_metadata_leader:
        elected = until(lambda: wire.metadata_leader(survivor.port, 1) not in (None, victim.node_id))
    moved = until(lambda: cluster.partitions(TOPIC, survivor)[0].leader not in (-1, victim.node_id))
    until(lambda: client.acknowledged and client.acknowledged[-1][0] > moved)
    time.sleep(SETTLE_S)
    wait = client.longest_wait(killed, time.monotonic())
    return {
        "metadata_ms": elected and (elected - killed) * 1000,
        "partition_ms": (moved - killed) * 1000,
        "client_ms": wait,
    }


def measure(kills):
    with tempfile.TemporaryDirectory(prefix="chronik-failover-") as directory:
        cluster = Cluster("chronik", Path(directory), {}, 3)
        try:
            cluster.start()
            admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
            admin.create_topics([NewTopic(TOPIC, 1, 3)])[TOPIC].result()
            cluster.wait_in_sync(TOPIC)
            client = Client(cluster.bootstrap)
            rounds = []
            for number in range(kills):
                until(lambda: client.acknowledged)
                # In turns whoever leads the partition, and whoever leads the metadata too when they are one.
                victim = cluster.leader(TOPIC)
                metadata_leader = cluster.metadata_leader()
                outcome = kill_and_watch(cluster, client, victim, metadata_leader is victim)
                rounds.append({"both": metadata_leader is victim, **outcome})
                print(f"  {number + 1}: {describe(rounds[-1])}", flush=True)
                victim.start()
                cluster.wait_for_nodes()
                cluster.wait_in_sync(TOPIC)
            client.end()
            offsets = [offset for _, offset in client.acknowledged]
            assert not client.failed, client.failed[:3]
            assert len(offsets) == client.sent == len(set(offsets)), "each record is acknowledged once, at a place of its own"
            return rounds, client.sent
        finally:
            cluster.kill()


def describe(outcome):
    metadata = f"metadata led again after {outcome['metadata_ms']:.0f} ms, " if outcome["both"] else ""
    return f"{metadata}partition led again after {outcome['partition_ms']:.0f} ms, the producer waited {outcome['client_ms']:.0f} ms"


def summary(values):
    values = sorted(value for value in values if value is not None)
    if not values:
        return None
    return {"count": len(values), "median": statistics.median(values), "max": values[-1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--commit", default="")
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    rounds, sent = measure(arguments.kills)
    result = {
        "what": "three nodes on one machine, kill -9 of the partition's leader, milliseconds",
        "commit": arguments.commit,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "records": sent,
        "metadata_ms": summary(one["metadata_ms"] for one in rounds),
        "partition_ms": summary(one["partition_ms"] for one in rounds),
        "client_ms": summary(one["client_ms"] for one in rounds),
        "rounds": rounds,
    }
    for name, what in [
        ("metadata_ms", "another leads the metadata"),
        ("partition_ms", "another leads the partition"),
        ("client_ms", "the producer's longest wait"),
    ]:
        if found := result[name]:
            print(f"{what}: median {found['median']:.0f} ms, longest {found['max']:.0f} ms, of {found['count']} kills")
    print(f"{sent} records sent, each acknowledged once")
    if arguments.results:
        arguments.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
