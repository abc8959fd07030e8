"""librdkafka: groups, their offsets and their rebalances."""

import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from harness.context import equal, eventually
from harness.records import consume, produce_all
from harness.registry import case


@case()
def a_group_goes_on_where_it_stopped(cx):
    topic, group = cx.topic(partitions=2), cx.name("group")
    produce_all(cx.producer(), topic, [(None, b"%d" % n) for n in range(100)])
    first = cx.consumer(group)
    half = consume(first, topic, 50)
    first.commit(asynchronous=False)
    first.close()
    second = cx.consumer(group)
    rest = consume(second, topic, 50)
    second.close()
    equal(sorted(int(m.value()) for m in half + rest), list(range(100)))


@case()
def committed_offsets_and_their_notes(cx):
    topic, group = cx.topic(partitions=3), cx.name("group")
    consumer = cx.consumer(group)
    offsets = [TopicPartition(topic, 0, 5, "a note"), TopicPartition(topic, 1, 0)]
    consumer.commit(offsets=offsets, asynchronous=False)
    found = consumer.committed([TopicPartition(topic, n) for n in range(3)], timeout=20)
    equal([(p.offset, p.metadata) for p in found], [(5, "a note"), (0, None), (-1001, None)])
    consumer.close()


@case()
def partitions_are_shared_and_handed_over(cx):
    """Three members join, one after the other, and leave again; every record is read by one of them."""
    for strategy in ("range", "roundrobin", "cooperative-sticky"):
        topic, group = cx.topic(partitions=6), cx.name("group")
        members = [Member(cx, group, topic, strategy) for _ in range(3)]
        for member in members:
            member.start()
            eventually(lambda: member.assigned, f"{strategy}: a member gets partitions")
        eventually(lambda: sorted(len(m.assigned) for m in members) == [2, 2, 2], f"{strategy}: two partitions each")
        produce_all(cx.producer(), topic, [(b"%d" % n, b"%d" % n) for n in range(600)])
        eventually(lambda: len(seen(members)) == 600, f"{strategy}: all records are read")
        members[0].leave()
        eventually(lambda: sorted(len(m.assigned) for m in members[1:]) == [3, 3], f"{strategy}: handed over")
        produce_all(cx.producer(), topic, [(b"%d" % n, b"%d" % n) for n in range(600, 900)])
        eventually(lambda: len(seen(members)) == 900, f"{strategy}: all records are read after a member left")
        for member in members[1:]:
            member.leave()


@case()
def a_member_that_dies_is_replaced(cx):
    """A member that stops without a word is put out after its session, and its partitions go to who is left."""
    topic, group = cx.topic(partitions=4), cx.name("group")
    settings = {"session_timeout_ms": 1500, "heartbeat_interval_ms": 200, "max_poll_interval_ms": 2000}
    stays = Member(cx, group, topic, "range", **settings)
    dies = Member(cx, group, topic, "range", **settings)
    for member in (stays, dies):
        member.start()
    eventually(lambda: len(stays.assigned) == 2 and len(dies.assigned) == 2, "two partitions each")
    dies.stop_polling()
    eventually(lambda: len(stays.assigned) == 4, "all partitions go to the one that is left", timeout_s=40)
    stays.leave()


@case()
def a_static_member_comes_back_without_a_rebalance(cx):
    topic, group = cx.topic(partitions=4), cx.name("group")
    other = Member(cx, group, topic, "range", group_instance_id="other", session_timeout_ms=30_000)
    first = Member(cx, group, topic, "range", group_instance_id="one", session_timeout_ms=30_000)
    for member in (other, first):
        member.start()
    eventually(lambda: len(other.assigned) == 2 and len(first.assigned) == 2, "two partitions each")
    before = other.rebalances
    first.leave()
    again = Member(cx, group, topic, "range", group_instance_id="one", session_timeout_ms=30_000)
    again.start()
    eventually(lambda: len(again.assigned) == 2, "the same partitions again")
    equal(sorted(again.assigned), sorted(first.last_assigned))
    equal(other.rebalances, before, "rebalances seen by the other member")
    for member in (other, again):
        member.leave()


@case()
def auto_commit(cx):
    topic, group = cx.topic(), cx.name("group")
    produce_all(cx.producer(), topic, [(None, b"v")] * 20, partition=0)
    consumer = cx.consumer(group, enable_auto_commit=True, auto_commit_interval_ms=100)
    consume(consumer, topic, 20)
    consumer.close()
    checker = cx.consumer(group)
    equal(checker.committed([TopicPartition(topic, 0)], timeout=20)[0].offset, 20)


@case()
def a_commit_from_an_old_generation_is_refused(cx):
    topic, group = cx.topic(partitions=2), cx.name("group")
    member = cx.consumer(group)
    member.subscribe([topic])
    eventually(lambda: (member.poll(0.1), member.assignment())[1], "an assignment")
    stranger = Consumer({"bootstrap.servers": cx.bootstrap, "group.id": group})
    try:
        stranger.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
        raise AssertionError("a stranger committed into a group with members")
    except KafkaException as error:
        assert error.args[0].name() in ("UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION"), error
    member.close()


@case()
def subscription_by_pattern(cx):
    prefix = cx.name("pattern")
    one = cx.topic(name=f"{prefix}-one")
    consumer = cx.consumer(topic_metadata_refresh_interval_ms=300)
    produce_all(cx.producer(), one, [(None, b"1")])
    equal(len(consume(consumer, f"^{prefix}-.*", 1)), 1)
    consumer.commit(asynchronous=False)
    two = cx.topic(name=f"{prefix}-two")
    produce_all(cx.producer(), two, [(None, b"2")])
    equal(consume(consumer, None, 1)[0].topic(), two)
    consumer.close()


@case()
def groups_are_listed_described_and_deleted(cx):
    topic, group = cx.topic(partitions=2), cx.name("group")
    consumer = cx.consumer(group, client_id="the-client")
    produce_all(cx.producer(), topic, [(None, b"v")] * 4)
    consume(consumer, topic, 4)
    consumer.commit(asynchronous=False)
    admin = cx.admin()
    assert group in {g.group_id for g in admin.list_consumer_groups().result(20).valid}
    described = admin.describe_consumer_groups([group])[group].result(20)
    equal(described.state.name, "STABLE")
    equal([m.client_id for m in described.members], ["the-client"])
    equal(sorted(p.partition for p in described.members[0].assignment.topic_partitions), [0, 1])
    refused(admin.delete_consumer_groups([group])[group], "NON_EMPTY_GROUP")
    consumer.close()
    eventually(lambda: admin.describe_consumer_groups([group])[group].result(20).state.name == "EMPTY", "the group is empty")
    admin.delete_consumer_groups([group])[group].result(20)
    refused(admin.delete_consumer_groups([group])[group], "GROUP_ID_NOT_FOUND")


@case(fresh=True)
def offsets_survive_a_kill(cx):
    topic, group = cx.topic(partitions=2), cx.name("group")
    consumer = cx.consumer(group)
    consumer.commit(offsets=[TopicPartition(topic, 0, 11, "kept"), TopicPartition(topic, 1, 22)], asynchronous=False)
    consumer.close()
    cx.broker.kill()
    cx.broker.start()
    reader = cx.consumer(group)
    found = eventually(lambda: committed(reader, topic), "the group's coordinator is back")
    equal([(p.offset, p.metadata) for p in found], [(11, "kept"), (22, None)])


def committed(consumer, topic):
    """The offsets of two partitions; nothing while the coordinator is still loading."""
    try:
        return consumer.committed([TopicPartition(topic, n) for n in range(2)], timeout=30)
    except KafkaException as error:
        assert error.args[0].name() in ("NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS", "_TIMED_OUT"), error
        return None


def refused(future, name):
    try:
        future.result(20)
    except KafkaException as error:
        equal(error.args[0].name(), name)
        return
    raise AssertionError(f"not refused with {name}")


def seen(members):
    return set().union(*(member.seen for member in members))


class Member:
    """A consumer of a group on a thread of its own: polls, notes what it reads and what it is assigned, commits."""

    def __init__(self, cx, group, topic, strategy, **settings):
        defaults = {"heartbeat_interval_ms": 200, "session_timeout_ms": 10_000}
        self.consumer = cx.consumer(group, partition_assignment_strategy=strategy, **{**defaults, **settings})
        self.topic = topic
        self.cooperative = strategy.startswith("cooperative")
        self.assigned = set()
        self.last_assigned = set()
        self.rebalances = 0
        self.seen = set()
        self.leaving = threading.Event()
        self.deaf = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()

    def leave(self):
        self.leaving.set()
        self.thread.join(60)
        assert not self.thread.is_alive(), "a member does not leave"

    def stop_polling(self):
        self.deaf.set()

    def run(self):
        self.consumer.subscribe([self.topic], on_assign=self.on_assign, on_revoke=self.on_revoke)
        while not self.leaving.is_set():
            if self.deaf.is_set():
                time.sleep(0.05)
                continue
            message = self.consumer.poll(0.05)
            if message is not None and message.error() is None:
                self.seen.add(message.value())
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException:
            pass  # nothing to commit, or a rebalance is under way: others read it again
        self.consumer.close()

    def on_assign(self, _, partitions):
        numbers = {p.partition for p in partitions}
        self.rebalances += 1
        self.assigned = self.assigned | numbers if self.cooperative else numbers
        self.last_assigned = set(self.assigned)

    def on_revoke(self, consumer, partitions):
        try:
            consumer.commit(asynchronous=False)
        except KafkaException:
            pass
        self.assigned = self.assigned - {p.partition for p in partitions}
