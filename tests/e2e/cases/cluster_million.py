"""Many records of 1 KiB through librdkafka and kafka-python, read by a group of three, while the leader of partition 0 is killed and
another node is stopped: what was sent is what is read. A million with `E2E_WHOLE`."""

import os
import sys
import time
from pathlib import Path

from harness import checker, disk
from harness.context import equal, eventually
from harness.flow import verdict
from harness.outside import Outside
from harness.registry import case

WHOLE = bool(os.environ.get("E2E_WHOLE"))
RECORDS = 1_000_000 if WHOLE else 40_000
# Of each producer, so that none is done before anything has happened.
PER_SECOND = 6000 if WHOLE else 2000
SIZE = 1024
PARTITIONS = 3
CLIENTS = ("librdkafka", "kafka-python")
# The group: one of its members is of the other client.
MEMBERS = ("librdkafka", "librdkafka", "kafka-python")


@case(nodes=3, timeout_s=1800 if WHOLE else 300)
def all_that_was_sent_is_read_once_through_a_kill_and_a_stop(cx):
    started = time.monotonic()
    topic, group = cx.topic(partitions=PARTITIONS), cx.name("group")
    cluster = cx.cluster
    cluster.wait_in_sync(topic)
    members = [Client(cx, kind, "consume", topic, number, group) for number, kind in enumerate(MEMBERS)]
    producers = [Client(cx, kind, "produce", topic, 0, RECORDS // len(CLIENTS), PER_SECOND) for kind in CLIENTS]
    for client in members + producers:
        client.start()

    def reached(share):
        """So much is acknowledged, by each of them."""
        for producer in producers:
            wanted = RECORDS // len(CLIENTS) * share
            eventually(lambda: len(producer.acked()) >= wanted, f"{producer.name} has {wanted:.0f} acknowledged", timeout_s=600)

    reached(0.25)
    killed = cluster.leader(topic, 0)
    killed.kill()
    reached(0.5)
    killed.start()
    cluster.wait_in_sync(topic)
    stopped = cluster.others(killed)[0]
    equal(stopped.stop(), cluster.stopped_with, "a node that was asked to stop")
    reached(0.75)
    stopped.start()
    acked = []
    for producer in producers:
        producer.wait()
        acked += producer.acked()
    equal(len(acked), RECORDS, "records acknowledged")
    cluster.wait_in_sync(topic)
    # A group reads what it has not committed again after a rebalance: that is the same record at the same place.
    places = eventually(lambda: all_places(members, len(acked)), "all is read by the group", timeout_s=120)
    for member in members:
        member.finish()
    read = sorted((partition, offset, value) for (partition, offset), value in all_places(members, 0).items())
    seen = sum(len(member.acked()) for member in members)
    verdict(checker.check(acked, read, sent={value for _, _, value in acked}) + order(read))
    equal(len(read), RECORDS, "places read")
    verdict(disk.stopped(cx, topic, PARTITIONS))
    print(
        f"{RECORDS} records of {SIZE} bytes sent and read in {time.monotonic() - started:.0f} s: {len(acked)} acknowledged, "
        f"{len(places)} read, {seen - len(read)} of them twice at the same place after a rebalance; "
        f"node {killed.node_id} killed, node {stopped.node_id} stopped; 0 lost, 0 doubled, 0 reordered"
    )


def all_places(members, wanted):
    """What the group has read, by place, once there are so many."""
    lines = [member.acked() for member in members]
    if sum(map(len, lines)) < wanted:
        return None
    places = {}
    for line in lines:
        for partition, offset, value in line:
            found = places.setdefault((partition, offset), value)
            assert found == value, f"{partition}@{offset} was read as {found} and as {value}"
    return places if len(places) >= wanted else None


def order(read):
    """Each producer's records are in the order in which it sent them."""
    return checker.check_order(read, lambda value: value.rsplit(b"-", 1)[0], lambda value: int(value.rsplit(b"-", 1)[1]))


class Client(Outside):
    """`clients.py` in a process of its own."""

    good = (0,)
    prefix = ""

    def __init__(self, cx, kind, what, topic, number, *arguments):
        self.name = f"{kind}-{what}-{number}"
        self.kind, self.what, self.arguments = kind, what, arguments
        super().__init__(cx, topic)

    def command(self):
        program = Path(__file__).resolve().parents[1] / "clients.py"
        return [sys.executable, program, self.kind, self.what, self.cx.bootstrap, self.topic, str(SIZE), *map(str, self.arguments)]

    def parse(self, line):
        partition, offset, value = line.split()
        return int(partition), int(offset), value

    def end(self):
        self.process.stdin.close()

    def wait(self):
        """Waits until it has ended by itself."""
        code = self.process.wait(900)
        complaints = Path(f"{self.path}.complaints.txt").read_text()
        assert code == 0, f"{self.name} ended with {code}: {complaints[-2000:]}"
