"""A follower that was away for a million records has them again, while its leader goes on serving: out of the leader's memory, out
of its segments, and after the follower's log had to be cut first.

Each case prints how long producers waited at most, and how quickly the follower caught up."""

import time

from confluent_kafka import TopicPartition

from harness import disk
from harness.context import equal, eventually
from harness.flow import IDEMPOTENT, Flow, verdict
from harness.load import bench
from harness.probe import Probe
from harness.registry import case

MILLION = 1_000_000
# What a node keeps in memory of what is in segments already, over all partitions (`recent_bytes_max`).
RECENT_BYTES = 48 << 20
SEGMENT_BYTES = 16 << 20


@case(nodes=3, only_chronik=True, timeout_s=400)
def from_memory(cx):
    """It stands still, and wakes up: all that it lacks is young."""
    size = 16
    stage = Stage(cx)
    follower = stage.follower()
    stage.probe.start()
    follower.pause()
    stage.without(follower)
    bulk_bytes = stage.bulk(MILLION, size)
    assert bulk_bytes < RECENT_BYTES / 2, f"{bulk_bytes} bytes may not all be in memory"
    read = stage.comes_back(follower, follower.resume)
    assert read < bulk_bytes / 10, f"{read} bytes came from files, of {bulk_bytes}"
    stage.look_at_everything()


@case(nodes=3, only_chronik=True, timeout_s=400)
def from_segments(cx):
    """It was killed, and most of what it lacks lies in segments only."""
    size = 120
    stage = Stage(cx)
    follower = stage.follower()
    stage.probe.start()
    follower.kill()
    stage.without(follower)
    bulk_bytes = stage.bulk(MILLION, size)
    eventually(lambda: stage.in_segments() > MILLION * 3 / 4, "what was sent is in segments")
    read = stage.comes_back(follower, follower.start)
    assert read > bulk_bytes / 3, f"{read} bytes came from files, of {bulk_bytes}"
    stage.look_at_everything()


@case(nodes=3, only_chronik=True, timeout_s=400)
def after_its_log_diverged(cx):
    """It led, alone, and took records that nobody else has; then the others went on without it."""
    size = 120
    stage = Stage(cx)
    former = stage.leader()
    others = cx.cluster.others(former)
    stage.bulk(10_000, size)
    for node in others:
        node.kill()
    alone = Flow(cx, stage.topic, 1, prefix="alone", acks=1, linger_ms=0).start()
    eventually(lambda: len(alone.acked) > 5000, "records are taken by a leader that is alone")
    former.kill()
    alone.abandon()
    cx.cluster.come_back(others)
    eventually(lambda: stage.leader() is not former, "another node leads", timeout_s=60)
    stage.without(former)
    stage.probe.start()
    bulk_bytes = stage.bulk(MILLION, size)
    stage.comes_back(former, former.start)
    said = former.log_path.read_text()
    assert "records that the leader does not have are cut off" in said, f"nothing was cut:\n{said[-2000:]}"
    print(f"{len(alone.acked)} records that only the former leader had were cut off, of {bulk_bytes} bytes that came instead")
    stage.look_at_everything(never={value for _, _, value in alone.acked})


class Stage:
    """A topic of one partition, with a producer that waits for all replicas in sync, from `probe.start()` on."""

    def __init__(self, cx):
        self.cx = cx
        cx.new_cluster().start()
        self.topic = cx.topic(partitions=1, configs={"segment.bytes": str(SEGMENT_BYTES), "min.insync.replicas": "2"})
        cx.cluster.wait_in_sync(self.topic)
        self.topic_id = disk.topic_id(cx, self.topic)
        self.probe = Probe(cx.producer(**{**IDEMPOTENT, "linger_ms": 0}), self.topic, per_second=200)
        self.bulk_records = 0

    def leader(self):
        return self.cx.cluster.leader(self.topic)

    def follower(self):
        """One that does not lead the metadata, so that nothing else changes with its absence."""
        return next(node for node in self.cx.cluster.others(self.leader()) if node is not self.cx.cluster.metadata_leader())

    def without(self, node):
        """Waits until the others are in sync, and the node is not."""
        others = sorted(other.node_id for other in self.cx.cluster.others(node))

        def known():
            return sorted(self.cx.cluster.partitions(self.topic, self.leader())[0].in_sync) == others

        eventually(known, f"node {node.node_id} is not in sync any more", timeout_s=60)

    def bulk(self, records, size):
        """So many records more, committed. Their values' bytes."""
        shape = ["--topic", self.topic, "--records", records, "--record-size", size, "--batch", 500, "--warmup", "0ms"]
        started = time.monotonic()
        result = bench(self.leader().bootstrap, "produce", *shape)
        equal(result["produced"]["records"], records, "records of the load")
        self.bulk_records += records
        print(f"{records} records of {size} bytes sent in {time.monotonic() - started:.1f} s")
        return records * size

    def comes_back(self, node, come_back):
        """Lets the node come back, until all replicas are in sync. The bytes that its leader read from files meanwhile."""
        leader = self.leader()
        assert leader is not node, "whoever was away leads nothing"
        acknowledged = len(self.probe.acknowledged)
        eventually(lambda: len(self.probe.acknowledged) > acknowledged, "the probe is acknowledged")
        read_before, started = bytes_read(leader), time.monotonic()
        come_back()
        self.cx.cluster.wait_in_sync(self.topic)
        ended = time.monotonic()
        read = bytes_read(leader) - read_before
        equal(self.leader().node_id, leader.node_id, "who leads")
        wait_ms = self.probe.longest_wait_ms(started, ended)
        print(
            f"node {node.node_id} lacked {self.bulk_records} records: in sync again after {ended - started:.1f} s, "
            f"{read >> 20} MiB read from files; the longest wait of a producer meanwhile {wait_ms:.0f} ms"
        )
        return read

    def in_segments(self):
        """The offset up to which, at least, the leader has written segments."""
        files = disk.directory(self.leader(), self.topic, self.topic_id, 0).glob("*.log")
        return max(int(path.stem) for path in files)

    def look_at_everything(self, never=()):
        """What was acknowledged is where it was said, nothing else is there, and all disks have the same."""
        acked = self.probe.finish()
        count, kept = read_sparsely(self.cx, self.topic, lambda value: value.startswith((b"probe-", b"alone-")))
        equal(count, self.bulk_records + len(acked), "records in the log")
        equal([entry for entry in kept if entry[2] in never], [], "records that were cut off")
        equal(kept, sorted(acked, key=lambda entry: entry[1]), "records of the probe")
        verdict(disk.stopped(self.cx, self.topic, 1))


def bytes_read(node):
    """What the process has read from files since it began."""
    with open(f"/proc/{node.pid}/io") as counters:
        return int(dict(line.split(": ") for line in counters.read().splitlines())["rchar"])


def read_sparsely(cx, topic, keep):
    """Reads a topic of one partition, each offset once: how many records there are, and those whose value is to be kept, as
    [(partition, offset, value)]."""
    consumer = cx.consumer(fetch_wait_max_ms=50)
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=60)
    consumer.assign([TopicPartition(topic, 0, 0)])
    count, kept = 0, []
    deadline = time.monotonic() + 120
    while count < end:
        assert time.monotonic() < deadline, f"only {count} of {end} records came"
        for message in consumer.consume(10_000, timeout=0.5):
            assert message.error() is None, message.error()
            equal(message.offset(), count, "the next offset")
            count += 1
            if keep(message.value()):
                kept.append((0, message.offset(), message.value()))
    consumer.close()
    return count, kept
