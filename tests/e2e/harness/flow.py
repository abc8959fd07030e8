"""Records that flow while something happens to the brokers, and what must be true of them afterwards."""

import threading
import time
from collections import Counter

from confluent_kafka import KafkaException, Producer, TopicPartition

from harness import checker
from harness.cluster import tolerant
from harness.context import equal, eventually
from harness.records import drain

# A client that finds out soon that nobody is there any more.
IMPATIENT = {
    "socket_timeout_ms": 3000,
    "retry_backoff_ms": 50,
    "retry_backoff_max_ms": 200,
    "reconnect_backoff_max_ms": 500,
    "topic_metadata_refresh_fast_interval_ms": 100,
}
IDEMPOTENT = {"enable_idempotence": True, "linger_ms": 2, **IMPATIENT}


class Flow:
    """A producer on a thread of its own that never pauses, and notes what was acknowledged where."""

    def __init__(self, cx, topic, partitions, prefix="p", per_second=None, **settings):
        self.producer = cx.producer(message_timeout_ms=200_000, **settings)
        self.topic = topic
        self.partitions = partitions
        self.prefix = prefix.encode()
        self.per_second = per_second
        self.acked = []
        self.acked_in = Counter()
        self.errors = []
        self.count = 0
        self.over = threading.Event()
        self.resting = threading.Event()
        self.rests = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def run(self):
        while not self.over.is_set():
            if self.resting.is_set():
                self.rests.set()
                self.producer.poll(0.02)
                continue
            value = b"%s-%d" % (self.prefix, self.count)
            try:
                self.producer.produce(self.topic, value, partition=self.count % self.partitions, on_delivery=self.delivered)
                self.count += 1
            except BufferError:
                self.producer.poll(0.05)
            except KafkaException as error:
                # It has given up for good: what it was told contradicts what it was told before.
                self.errors.append(error)
                return
            if self.count % 50 == 0:
                self.producer.poll(0)
                if self.per_second:
                    time.sleep(50 / self.per_second)
            if len(self.producer) > 2000:
                self.producer.poll(0.02)

    def delivered(self, error, message):
        if error is None:
            self.acked.append((message.partition(), message.offset(), message.value()))
            self.acked_in[message.partition()] += 1
        else:
            self.errors.append(error)

    def progress(self, more=1, what="records are acknowledged", timeout_s=60):
        """Waits until `more` records have been acknowledged in every partition; how long that took."""
        started = time.monotonic()
        before = Counter(self.acked_in)
        partitions = range(self.partitions)

        def has_come():
            assert self.over.is_set() or self.thread.is_alive(), f"the producer has given up: {self.errors[-3:]}"
            return all(self.acked_in[partition] >= before[partition] + more for partition in partitions)

        eventually(
            has_come,
            f"{what} in every partition: {dict(before)}, then {dict(self.acked_in)}",
            timeout_s,
        )
        return time.monotonic() - started

    def rest(self):
        """Sends nothing more until `go_on`, and lets everything be acknowledged."""
        self.rests.clear()
        self.resting.set()
        assert self.rests.wait(30), "the producer's thread does not come to rest"
        equal(self.producer.flush(120), 0, "records left without an answer")

    def go_on(self):
        self.resting.clear()

    def finish(self):
        """Lets everything be acknowledged. All values that were sent."""
        self.over.set()
        self.thread.join(30)
        equal(self.producer.flush(120), 0, "records left without an answer")
        return self.sent()

    def abandon(self):
        """Stops without waiting for answers; what is not acknowledged now never counts as acknowledged."""
        self.over.set()
        self.thread.join(30)
        self.producer.poll(0)
        self.producer.purge()
        return self.sent()

    def sent(self, since=0):
        return {b"%s-%d" % (self.prefix, n) for n in range(since, self.count)}


class Follower:
    """A consumer on a thread of its own that reads a topic from its beginning while it flows, and notes what it saw: an offset
    that somebody has read may never hold something else, and never go away."""

    def __init__(self, cx, topic, partitions, begins=None, **settings):
        """`begins`: where in each partition, if not at its beginning."""
        self.consumer = cx.consumer(fetch_wait_max_ms=50, auto_offset_reset="error", **settings)
        self.consumer.assign([TopicPartition(topic, n, (begins or {}).get(n, 0)) for n in range(partitions)])
        self.seen = []
        self.errors = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def run(self):
        while not self.over.is_set():
            for message in self.consumer.consume(500, timeout=0.2):
                if message.error() is None:
                    self.seen.append((message.partition(), message.offset(), message.value()))
                else:
                    self.errors.append(message.error())

    def finish(self):
        self.over.set()
        self.thread.join(30)
        self.consumer.close()
        return self.seen


def taken_without(cluster, topic, partitions, node, prefix, each=20):
    """Waits until nodes other than this one lead all of a topic, as they know it, and has a client that knows only them send records,
    of which all have to be acknowledged: (partition, offset, value)."""
    others = cluster.others(node)

    def led():
        known = [cluster.partitions(topic, other) for other in others]
        return all(len(k) == partitions and all(p.leader not in (-1, node.node_id) for p in k.values()) for k in known)

    eventually(tolerant(led), f"without node {node.node_id} {topic} is led", timeout_s=60)
    acked, errors = [], []

    def delivered(error, message):
        errors.append(error) if error else acked.append((message.partition(), message.offset(), message.value()))

    bootstrap = ",".join(other.bootstrap for other in others)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "message.timeout.ms": 60_000})
    for number in range(each * partitions):
        producer.produce(topic, f"{prefix}-{number}".encode(), partition=number % partitions, on_delivery=delivered)
    equal(producer.flush(90), 0, f"records that are left without an answer, without node {node.node_id}")
    assert not errors, errors[:3]
    return acked


def read_all(cx, topic, partitions, begins=None):
    """The whole topic as (partition, offset, value), or what of it comes after `begins`."""
    consumer = cx.consumer(fetch_wait_max_ms=50)
    wanted = [TopicPartition(topic, n, (begins or {}).get(n, 0)) for n in range(partitions)]
    ends = [(p.partition, consumer.get_watermark_offsets(p, timeout=60)[1]) for p in wanted]
    ends = [(p.partition, end) for p, (_, end) in zip(wanted, ends) if end > p.offset]
    consumer.assign(wanted)
    read = [(m.partition(), m.offset(), m.value()) for m in drain(consumer, ends)]
    consumer.close()
    return read


def order(read):
    return checker.check_order(read, lambda v: v.rsplit(b"-", 1)[0], lambda v: int(v.rsplit(b"-", 1)[1]))


def verdict(findings):
    assert not findings, f"{len(findings)} findings:\n" + "\n".join(findings[:20])
