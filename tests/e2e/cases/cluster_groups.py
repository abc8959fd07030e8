"""Groups of a cluster: coordinated by the node that leads their partition of the offsets topic, and by another one after it."""

import struct
import threading
from collections import Counter

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from harness import wire
from harness.cluster import tolerant
from harness.context import equal, eventually
from harness.flow import Flow, read_all
from harness.records import consume, produce_all
from harness.registry import case

PARTITIONS = 6
OFFSETS_TOPIC = "__consumer_offsets"
HEARTBEAT, OFFSET_FETCH, FIND_COORDINATOR = 12, 9, 10
NONE, NOT_COORDINATOR, UNKNOWN_MEMBER_ID = 0, 16, 25
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
        return error == NONE and cx.cluster[node]

    return eventually(tolerant(found), f"{group} has a coordinator", timeout_s=60)


@case(nodes=3)
def every_node_names_the_same_coordinator_and_only_that_one_answers(cx):
    group = cx.name("group")
    named = coordinator(cx, group)
    for node in cx.cluster.nodes:
        eventually(lambda: coordinator(cx, group, node) is named, f"node {node.node_id} names node {named.node_id}")
    cx.cluster.wait_in_sync(OFFSETS_TOPIC)
    equal({len(p.replicas) for p in cx.cluster.partitions(OFFSETS_TOPIC).values()}, {3}, "replicas of the offsets topic")
    for node in cx.cluster.nodes:
        wanted = UNKNOWN_MEMBER_ID if node is named else NOT_COORDINATOR
        body = wire.string(group) + struct.pack(">i", 1) + wire.string("nobody")

        def answers():
            with wire.Connection(node.port) as connection:
                return struct.unpack(">h", connection.request(HEARTBEAT, 0, body))[0] == wanted

        eventually(answers, f"node {node.node_id} answers a heartbeat with {wanted}")


@case(nodes=3)
def offsets_survive_their_coordinator(cx):
    """Committed under one coordinator, known to the next one, and to those after all were killed at once."""
    topic, group = cx.topic(partitions=1), cx.name("group")
    produce_all(cx.producer(), topic, [(None, b"%d" % n) for n in range(50)])
    for number in range(1, 4):
        before = coordinator(cx, group)
        committing = cx.consumer(group, **IMPATIENT)
        committed = eventually(lambda: commit(committing, topic, number), "a commit is answered")
        equal(committed, number)
        committing.close()
        before.kill()
        after = eventually(lambda: other_than(cx, group, before), "another node coordinates the group", timeout_s=60)
        equal(committed_offset(cx, group, topic), number, f"as node {after.node_id} knows it")
        before.start()
        cx.cluster.wait_in_sync(OFFSETS_TOPIC)
    for node in cx.cluster.nodes:
        node.process.kill()
    cx.cluster.kill()
    cx.cluster.come_back()
    equal(committed_offset(cx, group, topic), 3, "after all were killed")
    got = consume(cx.consumer(group, **IMPATIENT), topic, 47)
    equal(got[0].offset(), 3)


@case(nodes=3, timeout_s=300)
def a_group_goes_on_while_its_coordinators_die(cx):
    """Three members read and commit while records flow; whoever coordinates them is killed, twice, and stopped once. Nothing is
    left unread, and no commit that was answered is taken back."""
    topic, group = cx.topic(partitions=PARTITIONS), cx.name("group")
    flow = Flow(cx, topic, PARTITIONS, per_second=1500, enable_idempotence=True, linger_ms=5, **IMPATIENT).start()
    members = [Member(cx, topic, group).start() for _ in range(3)]
    eventually(lambda: sum(len(member.assigned) for member in members) == PARTITIONS, "all partitions are assigned", 60)
    committed = Committed(members)
    committed.go_on("at first")
    for end in (kill, kill, stop):
        node = coordinator(cx, group)
        end(node)
        flow.progress(what=f"without node {node.node_id} records are acknowledged")
        committed.go_on(f"without node {node.node_id}")
        node.start()
        cx.cluster.wait_in_sync(topic)
        cx.cluster.wait_in_sync(OFFSETS_TOPIC)
    sent = flow.finish()
    assert not flow.errors, flow.errors[:5]
    eventually(lambda: set().union(*(member.seen for member in members)) >= sent, "all is read by the group", timeout_s=60)
    for member in members:
        member.finish()
    told = committed.highest()
    ends = Counter(partition for partition, _, _ in read_all(cx, topic, PARTITIONS))
    for partition in range(PARTITIONS):
        offset = committed_offset(cx, group, topic, partition)
        assert told[partition] <= offset <= ends[partition], (partition, told[partition], offset, ends[partition])


@case(nodes=3, timeout_s=200)
def members_do_not_notice_a_new_coordinator(cx):
    """The next coordinator knows members and generation: nobody is sent to join again."""
    topic, group = cx.topic(partitions=PARTITIONS), cx.name("group")
    flow = Flow(cx, topic, PARTITIONS, per_second=500, enable_idempotence=True, **IMPATIENT).start()
    members = [Member(cx, topic, group, session_timeout_ms=45_000).start() for _ in range(2)]
    eventually(lambda: all(len(member.assigned) == PARTITIONS // 2 for member in members), "three partitions each", 60)
    rebalances = [member.rebalances for member in members]
    committed = Committed(members)
    node = coordinator(cx, group)
    node.kill()
    eventually(lambda: other_than(cx, group, node), "another node coordinates the group", timeout_s=60)
    committed.go_on(f"without node {node.node_id}", rounds=3)
    equal([member.rebalances for member in members], rebalances, "rebalances")
    flow.finish()
    for member in members:
        member.finish()


def kill(node):
    node.kill()


def stop(node):
    node.stop()


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
        from confluent_kafka import KafkaException

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

    def __init__(self, members):
        self.members = members

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
                lambda: all(self.highest()[partition] > before[partition] for partition in range(PARTITIONS)),
                f"{when}, commits are answered in every partition",
                timeout_s=90,
            )
