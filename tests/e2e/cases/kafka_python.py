"""kafka-python: a client written without librdkafka or Java, with its own reading of the protocol."""

import threading
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import NewPartitions, NewTopic
from kafka.errors import (
    InvalidTopicError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from harness.context import equal, eventually
from harness.registry import case

# For `poll`, of a member of a group that has no records yet. kafka-python 3.0.12 loses the end of a join for good when `poll`
# runs out of time while SyncGroup is on the wire, and the join was begun because its leader saw other metadata than it had
# assigned by: `_perform_assignment` has made the two equal, `need_rejoin` does not ask whether `_join_task` is under way, and so
# nobody takes the assignment. Heartbeats stay off; the member is removed after its session timeout, and polls on.
# A consumer alone does it too: its first join comes before the metadata of its topic (asked for no sooner than
# `retry_backoff_ms` after those of the bootstrap), gives it nothing, and the second is of that kind.
WITHOUT_END_MS = 3_600_000


@case()
def produce_then_consume(cx):
    topic = cx.topic(partitions=2)
    sent = [(b"%d" % n, b"value %d" % n) for n in range(500)]
    produce(cx, topic, sent)
    got = read(consumer(cx, topic), len(sent))
    equal(sorted((r.key, r.value) for r in got), sorted(sent))


@case()
def every_compression(cx):
    for codec in (None, "gzip"):
        topic = cx.topic()
        sent = [(None, b"again and again " * 50)] * 100
        produce(cx, topic, sent, compression_type=codec, linger_ms=20)
        equal([(r.key, r.value) for r in read(consumer(cx, topic), 100)], sent, codec)


@case()
def headers_nulls_and_times(cx):
    topic = cx.topic()
    producer = KafkaProducer(bootstrap_servers=cx.bootstrap)
    now_ms = int(time.time() * 1000)
    headers = [("a", b"1"), ("a", b"2"), ("empty", b"")]
    producer.send(topic, key=None, value=b"v", headers=headers, timestamp_ms=now_ms).get(20)
    producer.send(topic, key=b"k", value=None).get(20)
    first, second = read(consumer(cx, topic), 2)
    equal((list(first.headers), first.timestamp, first.key), (headers, now_ms, None))
    equal((second.key, second.value), (b"k", None))


@case()
def offsets_by_time_and_seek(cx):
    topic = cx.topic()
    producer = KafkaProducer(bootstrap_servers=cx.bootstrap)
    for n in range(20):
        equal(producer.send(topic, b"%d" % n, timestamp_ms=1_000_000 + n * 10, partition=0).get(20).offset, n)
    partition = TopicPartition(topic, 0)
    reader = KafkaConsumer(bootstrap_servers=cx.bootstrap)
    equal(reader.offsets_for_times({partition: 1_000_055})[partition].offset, 6)
    equal(reader.beginning_offsets([partition])[partition], 0)
    equal(reader.end_offsets([partition])[partition], 20)
    reader.assign([partition])
    reader.seek(partition, 15)
    equal([r.value for r in read(reader, 5)], [b"%d" % n for n in range(15, 20)])
    reader.close()


@case()
def a_group_of_two(cx):
    """Until their first records come the members are in one call of `poll`, see [`WITHOUT_END_MS`]."""
    topic, group = cx.topic(partitions=4), cx.name("group")
    sent = [(b"%d" % n, b"%d" % n) for n in range(400)]
    seen, lock, done = set(), threading.Lock(), threading.Event()
    members = [consumer(cx, topic, group), consumer(cx, topic, group)]

    def read_on(member):
        patience_ms = WITHOUT_END_MS
        while not done.is_set():
            for records in member.poll(patience_ms).values():
                with lock:
                    seen.update(r.value for r in records)
            patience_ms = 100
        member.close(autocommit=True)

    def assigned():
        # Asked for, not counted in callbacks: those tell what is new, not what there is.
        return [len(member.assignment()) for member in members]

    threads = [threading.Thread(target=read_on, args=(member,), daemon=True) for member in members]
    threads[0].start()
    eventually(lambda: assigned() == [4, 0], "the first has all", timeout_s=60)
    threads[1].start()
    eventually(lambda: assigned() == [2, 2], "two partitions each", timeout_s=60)
    produce(cx, topic, sent)
    eventually(lambda: len(seen) == 400, "all is read by the group", timeout_s=60)
    done.set()
    for thread in threads:
        thread.join(30)
    committed = KafkaConsumer(bootstrap_servers=cx.bootstrap, group_id=group)
    equal(sum(committed.committed(TopicPartition(topic, n)) or 0 for n in range(4)), 400)
    committed.close()


@case()
def commit_and_go_on(cx):
    topic, group = cx.topic(), cx.name("group")
    produce(cx, topic, [(None, b"%d" % n) for n in range(30)])
    first = consumer(cx, topic, group)
    read(first, 30)
    partition = TopicPartition(topic, 0)
    first.commit({partition: OffsetAndMetadata(12, "note", -1)})
    first.close(autocommit=False)
    second = consumer(cx, topic, group)
    equal(read(second, 18)[0].offset, 12)
    second.close(autocommit=False)


@case()
def the_life_of_a_topic(cx):
    admin = KafkaAdminClient(bootstrap_servers=cx.bootstrap)
    name = cx.name()
    admin.create_topics([NewTopic(name, 2, 1)])
    eventually(lambda: name in admin.list_topics(), "the topic is listed")
    raises(TopicAlreadyExistsError, lambda: admin.create_topics([NewTopic(name, 2, 1)]))
    raises(InvalidTopicError, lambda: admin.create_topics([NewTopic("no/slash", 1, 1)]))
    admin.create_partitions({name: NewPartitions(4)})
    eventually(lambda: len(admin.describe_topics([name])[0]["partitions"]) == 4, "more partitions")
    admin.delete_topics([name])
    eventually(lambda: name not in admin.list_topics(), "the topic is gone")
    raises(UnknownTopicOrPartitionError, lambda: admin.delete_topics([name]))
    admin.close()


@case()
def delete_records_and_groups(cx):
    topic, group = cx.topic(), cx.name("group")
    produce(cx, topic, [(None, b"v")] * 10)
    admin = KafkaAdminClient(bootstrap_servers=cx.bootstrap)
    partition = TopicPartition(topic, 0)
    admin.delete_records({partition: 4})
    reader = consumer(cx, topic, group)
    equal(read(reader, 6)[0].offset, 4)
    reader.commit()
    reader.close()
    assert any(group == (g["group_id"] if isinstance(g, dict) else g[0]) for g in admin.list_groups())
    admin.delete_groups([group])
    admin.close()


@case()
def too_large_a_record(cx):
    topic = cx.topic()
    producer = KafkaProducer(bootstrap_servers=cx.bootstrap, max_request_size=8 << 20)
    raises(MessageSizeTooLargeError, lambda: producer.send(topic, b"x" * (2 << 20)).get(30))
    producer.close()


@case(settings={"auto.create.topics.enable": "false"})
def an_unknown_topic(cx):
    producer = KafkaProducer(bootstrap_servers=cx.bootstrap, max_block_ms=2000)
    raises((KafkaTimeoutError, UnknownTopicOrPartitionError), lambda: producer.send(cx.name(), b"v").get(20))


def produce(cx, topic, pairs, **settings):
    producer = KafkaProducer(bootstrap_servers=cx.bootstrap, acks="all", **settings)
    waiting = [producer.send(topic, key=key, value=value) for key, value in pairs]
    producer.flush(30)
    for one in waiting:
        one.get(1)
    producer.close()


def consumer(cx, topic, group=None):
    return KafkaConsumer(
        *([topic] if topic else []),
        bootstrap_servers=cx.bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=group is not None,
        heartbeat_interval_ms=200,
        session_timeout_ms=10_000,
        fetch_max_wait_ms=100,
    )


def read(reader, count):
    got = []
    deadline = time.monotonic() + 60
    while len(got) < count:
        left_s = deadline - time.monotonic()
        assert left_s > 0, f"only {len(got)} of {count} records came"
        # All the time there is: see `WITHOUT_END_MS`.
        for records in reader.poll(left_s * 1000).values():
            got.extend(records)
    equal(len(got), count)
    return got


def raises(kind, action):
    try:
        outcome = action()
    except kind:
        return
    raise AssertionError(f"not refused: {outcome!r}")
