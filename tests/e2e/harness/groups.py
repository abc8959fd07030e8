"""Members of groups on threads of their own, and who coordinates them."""

import struct
import threading
from collections import Counter

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from harness import wire
from harness.cluster import tolerant
from harness.context import eventually

OFFSETS_TOPIC = "__consumer_offsets"
FIND_COORDINATOR = 10
# What a client is told while a group's coordinator changes.
NOT_NOW = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError._WAIT_COORD,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
)
IMPATIENT = {
    "socket_timeout_ms": 3000,
    "reconnect_backoff_max_ms": 500,
    "topic_metadata_refresh_fast_interval_ms": 100,
}


def coordinator(cx, group, of=None):
    """The node that coordinates a group, as one node says it (FindCoordinator v0)."""

    def found():
        with wire.Connection((of or cx.cluster.running()[0]).port, timeout_s=5) as connection:
            error, node = struct.unpack_from(">hi", connection.request(FIND_COORDINATOR, 0, wire.string(group)))
        return error == 0 and cx.cluster[node]

    return eventually(tolerant(found), f"{group} has a coordinator", timeout_s=60)


def other_than(cx, group, node):
    asked = cx.cluster.others(node)[0]
    found = coordinator(cx, group, asked)
    return found if found is not node else None


def commit(consumer, topic, offset):
    """Commits outside of any generation; the offset that was taken."""
    try:
        return consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)[0].offset
    except KafkaException:
        return None


def committed_offset(cx, group, topic, partition=0):
    """The offset, asked for until a coordinator answers: librdkafka tells whoever asked that it has to look for another one."""
    asking = cx.consumer(group, **IMPATIENT)

    def answered():
        try:
            return asking.committed([TopicPartition(topic, partition)], timeout=20)[0]
        except KafkaException as error:
            assert error.args[0].code() in NOT_NOW, error
            return None

    found = eventually(answered, "a coordinator answers", timeout_s=60)
    asking.close()
    assert found.error is None, found.error
    return found.offset


class Member:
    """A consumer on a thread of its own, which commits what it has read as it goes."""

    def __init__(self, cx, topic, group, **settings):
        settings = {"session_timeout_ms": 10_000, **IMPATIENT, **settings}
        self.consumer = cx.consumer(group, **settings)
        self.topic = topic
        self.seen = set()
        self.assigned = set()
        self.rebalances = 0
        # The highest offset of each partition whose commit was answered.
        self.committed = Counter()
        self.refused = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def run(self):
        self.consumer.subscribe([self.topic], on_assign=self.on_assign, on_revoke=self.on_revoke, on_lost=self.on_revoke)
        while not self.over.is_set():
            messages = self.consumer.consume(500, timeout=0.1)
            good = [message for message in messages if message.error() is None]
            self.seen.update(message.value() for message in good)
            if good:
                self.commit()

    def commit(self):
        try:
            for taken in self.consumer.commit(asynchronous=False):
                if taken.error is None:
                    self.committed[taken.partition] = max(self.committed[taken.partition], taken.offset)
        except KafkaException as error:
            # Not answered, or refused: the next one says the same and more.
            self.refused.append(error)

    def on_assign(self, _, partitions):
        self.rebalances += 1
        self.assigned = {partition.partition for partition in partitions}

    def on_revoke(self, _, __):
        self.assigned = set()

    def finish(self):
        self.over.set()
        self.thread.join(60)
        self.consumer.close()


class Committed:
    """What the members of a group were told is committed."""

    def __init__(self, members, partitions):
        self.members = members
        self.partitions = partitions

    def highest(self):
        highest = Counter()
        for member in self.members:
            for partition, offset in list(member.committed.items()):
                highest[partition] = max(highest[partition], offset)
        return highest

    def go_on(self, when, rounds=1):
        for _ in range(rounds):
            before = self.highest()
            eventually(
                lambda: all(self.highest()[partition] > before[partition] for partition in range(self.partitions)),
                f"{when}, commits are answered in every partition",
                timeout_s=90,
            )
