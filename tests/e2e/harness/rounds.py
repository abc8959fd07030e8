"""Rounds of faults on one cluster while records flow. After each round everything is looked at: what was sent, acknowledged, seen by
a reader on the way and read afterwards, and what each replica has, byte for byte. At the end all of it is read once more from the
beginning and compared with what it was then, and the files of the stopped nodes with each other.

A seed and a round's number determine what is done to whom, as far as that can be said of processes."""

import random
import time
from array import array
from collections import Counter

from harness import checker, disk, faults, wire
from harness.cluster import tolerant
from harness.context import eventually
from harness.flow import IDEMPOTENT, Flow, Follower, order, read_all, verdict
from harness.network import rack
from harness.outside import FranzGo, Java

PARTITIONS = 3
PER_SECOND = 2000
# Who else produces in a round, beside librdkafka.
GUESTS = (None, None, FranzGo, Java)


class Rounds:
    def __init__(self, cx, seed):
        self.cx = cx
        self.seed = seed
        self.cluster = cx.new_cluster(proxied=True).start()
        self.own = Topic(cx, "librdkafka")
        self.guests = {kind: Topic(cx, kind.name) for kind in (FranzGo, Java)}
        self.topics = [self.own, *self.guests.values()]
        self.flow = Flow(cx, self.own.name, PARTITIONS, per_second=PER_SECOND, **IDEMPOTENT).start()
        self.flow.rest()
        # What of the flow was looked at.
        self.sent, self.acked = 0, 0
        self.totals = Counter()
        self.longest_s = 0.0
        self.deck = []

    def run(self, count):
        """Lives through rounds 1 to `count`. What there is to say of them all."""
        started = time.monotonic()
        for number in range(1, count + 1):
            self.round(number)
        self.flow.finish()
        for topic in self.topics:
            verdict([f"{topic.name}: {finding}" for finding in topic.as_it_was()])
        self.compare_disks()
        return self.sentence(count, time.monotonic() - started)

    def round(self, number):
        started = time.monotonic()
        dice = random.Random(f"{self.seed}-{number}")
        name = self.next_fault(number)
        # Each round in the rack of another node, from whose replicas it reads while they are in sync.
        near = {"client_rack": rack(number % 3 + 1), "socket_timeout_ms": 3000}
        reader = Follower(self.cx, self.own.name, PARTITIONS, self.own.ends(), **near).start()
        guest = self.invite(dice.choice(GUESTS), number)
        self.flow.go_on()
        self.flow.progress(100, f"before {name} records are acknowledged")
        trouble = faults.Trouble(self.cluster, self.own.name, self.flow, dice, f"others-{number}")
        faults.ALL[name](trouble)
        healed_s = self.settle(trouble)
        acked = self.look(reader, trouble.others_acked)
        if guest is not None:
            acked += self.look_at_guest(guest)
        self.totals += trouble.counts
        self.totals["acknowledged"] += acked
        self.longest_s = max(self.longest_s, healed_s)
        with_guest = f" with {guest.name}" if guest else ""
        took_s = time.monotonic() - started
        print(
            f"round {number}{with_guest}: {name} ({trouble.told()}): {acked} records acknowledged, "
            f"whole again after {healed_s:.1f} s, {took_s:.1f} s in all",
            flush=True,
        )

    def next_fault(self, number):
        """All faults before one comes again."""
        if not self.deck:
            self.deck = sorted(faults.ALL)
            random.Random(f"{self.seed}-{number}-deck").shuffle(self.deck)
        return self.deck.pop()

    def invite(self, kind, number):
        if kind is None:
            return None
        guest = kind(self.cx, self.guests[kind].name, prefix=str(number) if kind is Java else f"go{number}")
        guest.start()
        eventually(lambda: len(guest.acked()) > 50, f"{guest.name} is acknowledged at first")
        return guest

    def settle(self, trouble):
        """Waits until all is well. How long that took."""
        started = time.monotonic()
        for node in self.cluster.nodes:
            node.wait_until_ready()
        self.cluster.wait_for_nodes()
        for topic in self.topics:
            self.cluster.wait_in_sync(topic.name)
        self.flow.progress(200, f"after {trouble.told()}, with all nodes back, records are acknowledged")
        return time.monotonic() - started

    def look(self, reader, others_acked):
        """Everything of this round. How many records were acknowledged."""
        self.flow.rest()
        assert not self.flow.errors, self.flow.errors[:5]
        sent, acked = self.flow.sent(self.sent), self.flow.acked[self.acked :]
        self.sent, self.acked = self.flow.count, len(self.flow.acked)
        sent, acked = sent | {value for _, _, value in others_acked}, acked + others_acked
        begins = self.own.ends()
        seen = reader.finish()
        read = self.own.read_more()
        findings = checker.check(acked, read, sent=sent, begins=begins) + order(read)
        findings += checker.check_seen(seen, read, begins)
        if not len(sent) == len(acked) == len(read):
            findings.append(f"{len(sent)} records were sent, {len(acked)} acknowledged, {len(read)} read")
        findings += [f"the reader: {error}" for error in reader.errors[:5]]
        verdict(findings + self.own.replicas_differ(begins))
        assert seen, "the reader has seen nothing"
        self.totals["seen"] += len(seen)
        return len(acked)

    def look_at_guest(self, guest):
        topic = self.guests[type(guest)]
        before = len(guest.acked())
        eventually(lambda: len(guest.acked()) > before + 50, f"at last {guest.name} is acknowledged", timeout_s=90)
        acked = guest.finish()
        begins = topic.ends()
        read = topic.read_more()
        findings = checker.check(acked, read, begins=begins) + guest.order(read)
        if len(acked) != len(read):
            findings.append(f"{len(acked)} records were acknowledged, {len(read)} read")
        verdict([f"{guest.name}: {finding}" for finding in findings + topic.replicas_differ(begins)])
        return len(acked)

    def compare_disks(self):
        ids = {topic.name: disk.topic_id(self.cx, topic.name) for topic in self.topics}
        self.cluster.stop()
        for topic in self.topics:
            # In a short run nobody may have come by.
            if any(topic.ends().values()):
                verdict(disk.on_disks(self.cluster, topic.name, ids[topic.name], PARTITIONS))

    def sentence(self, count, took_s):
        totals = self.totals
        return (
            f"{count} rounds, seed {self.seed}, {took_s:.0f} s: {totals['acknowledged']} records acknowledged, "
            f"{totals['kill -9']} nodes killed, {totals['SIGTERM']} stopped, {totals['SIGSTOP']} held still, "
            f"{totals['network']} faults of the network; whole again after {self.longest_s:.1f} s at most; "
            f"0 lost, 0 doubled, 0 reordered, 0 changed, replicas alike"
        )


class Topic:
    """A topic, and what it held when it was last looked at."""

    def __init__(self, cx, name):
        self.cx = cx
        self.name = cx.topic(partitions=PARTITIONS, name=name)
        cx.cluster.wait_in_sync(self.name)
        # For each partition the values' hashes, by offset.
        self.held = [array("q") for _ in range(PARTITIONS)]

    def ends(self):
        return {partition: len(held) for partition, held in enumerate(self.held)}

    def read_more(self):
        """What has come since it was last looked at: [(partition, offset, value)]."""
        read = read_all(self.cx, self.name, PARTITIONS, self.ends())
        for partition, _, value in sorted(read):
            self.held[partition].append(hash(value))
        return read

    def as_it_was(self):
        """Reads all of it again, and finds what is not as it was."""
        findings = []
        counts = Counter()
        for partition, offset, value in read_all(self.cx, self.name, PARTITIONS):
            counts[partition] += 1
            held = self.held[partition]
            if offset >= len(held) or held[offset] != hash(value):
                findings.append(f"{partition}@{offset} was something else before {checker.show(value)}")
        for partition, end in self.ends().items():
            if counts[partition] != end:
                findings.append(f"partition {partition} had {end} records, and has {counts[partition]}")
        return findings

    def replicas_differ(self, begins):
        """Asks each node for what has come since `begins`, and finds where they do not have the same bytes."""
        findings = []
        for partition, end in self.ends().items():
            begin = begins[partition]
            if begin < end:
                logs = {node.node_id: self.replica(node, partition, begin, end) for node in self.cx.cluster.nodes}
                findings += [f"partition {partition}: {finding}" for finding in disk.compare(logs)]
                lengths = {node: len(log) for node, log in logs.items()}
                if len(set(lengths.values())) > 1:
                    findings.append(f"partition {partition}: from {begin} to {end} nodes have {lengths} batches")
        return findings

    def replica(self, node, partition, begin, end):
        """The batches that a node has between two offsets."""

        def knows_all():
            error, high_watermark, _ = wire.fetch_from_replica(node.port, self.name, partition, begin, max_bytes=1)
            return error == 0 and high_watermark >= end

        eventually(tolerant(knows_all), f"node {node.node_id} knows all of {self.name}-{partition} up to {end}")
        found, offset = [], begin
        while offset < end:
            error, _, raw = wire.fetch_from_replica(node.port, self.name, partition, offset)
            assert error == 0, f"node {node.node_id} answers with error {error}"
            batches = list(disk.split(raw))
            assert batches, f"node {node.node_id} has nothing of {self.name}-{partition} at {offset}"
            found += batches
            offset = disk.end_of(batches[-1])
        return found
