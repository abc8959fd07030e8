"""What the log does behind the scenes, provoked from outside."""

import struct

from harness import wire
from harness.context import equal, eventually
from harness.records import consume, produce_all
from harness.registry import case
from harness.wire import Connection

DELETE_TOPICS = 20
KAFKA_STORAGE_ERROR = 56
# 100 KiB that no compression would change the meaning of.
BATCH = wire.batch([b"v" * 1000] * 100)


@case(fresh=True, timeout_s=240)
def deleted_while_it_is_being_stored(cx):
    """A topic goes while its records are on their way from the write-ahead log to segments."""
    for number in range(10):
        topic = topic_that_serves(cx)
        with Connection(cx.port) as connection:
            produce(connection, topic, 600 + 40 * number)
            remove(connection, topic)
    assert cx.broker.running(), cx.broker.log_tail()


@case(fresh=True, timeout_s=240)
def more_than_the_write_ahead_log_holds(cx):
    """Hundreds of megabytes through a log of which little is kept in memory; all of it is read back."""
    topic = cx.topic(partitions=2)
    with Connection(cx.port) as connection:
        for partition in range(2):
            produce(connection, topic, 2000, partition)
        for partition in range(2):
            equal(count(connection, topic, partition), 200_000, f"records in partition {partition}")
    cx.broker.kill()
    cx.broker.start()
    with Connection(cx.port) as connection:
        for partition in range(2):
            equal(count(connection, topic, partition), 200_000, f"records in partition {partition} after a kill")


@case(fresh=True, settings={"log.retention.check.interval.ms": "300"})
def small_segments_and_retention(cx):
    """Old segments go, whole; what is left is read from the new start of the log."""
    configs = {"segment.bytes": "1048576", "retention.bytes": "3145728"}
    topic = cx.topic(configs=configs)
    produce_all(cx.producer(), topic, [(None, b"%d" % n) for n in range(100)])
    with Connection(cx.port) as connection:
        produce(connection, topic, 199)

        def start():
            return cx.consumer().get_watermark_offsets(topic_partition(topic), timeout=20)[0]

        # Kafka's retention.bytes: segments go while the rest is at least that large, so what is left in the end is
        # less than retention.bytes and one segment of ten batches.
        first = eventually(lambda: start() >= 20_000 - 41 * 100 and start(), "old segments are gone", timeout_s=60)
        assert first % 100 == 0, first
        equal(count(connection, topic, 0, first), 20_000 - first)


@case(fresh=True, only_chronik=True, timeout_s=240)
def a_full_disk(cx):
    """Producers are told so and may try again; readers and administrators go on; space that returns is used."""
    broker = cx.use(cx.new_broker("small", storage={"disk_reserve": "16MiB"}, disk_mib=500).start())
    large, small = topic_that_serves(cx), topic_that_serves(cx)
    with Connection(cx.port) as connection:
        taken = 0
        while True:
            error, _ = wire.produce_error(connection.request(wire.PRODUCE, 3, wire.produce_body(large, 0, BATCH)))
            if error:
                break
            taken += 1
            assert taken < 6000, "the disk never fills up"
        equal(error, KAFKA_STORAGE_ERROR, "a retriable error")
        equal(count(connection, large, 0, 1), taken * 100, "records that are read from a full disk")
        remove(connection, large)

        def taken_again():
            body = wire.produce_body(small, 0, BATCH)
            return wire.produce_error(connection.request(wire.PRODUCE, 3, body))[0] == 0

        eventually(taken_again, "there is space again", timeout_s=60)
        equal(count(connection, small, 0, 1), 100)
    assert broker.running(), broker.log_tail()


@case(fresh=True)
def one_topic_is_deleted_another_lives(cx):
    gone, lives = cx.topic(), cx.topic()
    with Connection(cx.port) as connection:
        produce(connection, gone, 100)
        produce_all(cx.producer(), lives, [(None, b"%d" % n) for n in range(100)])
        remove(connection, gone)
    cx.broker.kill()
    cx.broker.start()
    equal(len(consume(cx.consumer(), lives, 100)), 100)
    assert gone not in cx.admin().list_topics(timeout=20).topics


def topic_that_serves(cx):
    """A topic whose partition takes records by now: a new one may say for a moment that it has no leader."""
    topic = cx.topic()
    produce_all(cx.producer(), topic, [(None, b"first")])
    return topic


def remove(connection, topic):
    answer = connection.request(DELETE_TOPICS, 1, struct.pack(">i", 1) + wire.string(topic) + struct.pack(">i", 10_000))
    equal(struct.unpack(">h", answer[-2:])[0], 0, "error code of the deletion")


def produce(connection, topic, batches, partition=0, in_flight=4):
    """Raw batches of a hundred records, some in flight at a time, each of which must be taken."""
    body = wire.produce_body(topic, partition, BATCH)
    sent = 0
    for answered in range(batches):
        while sent < batches and sent - answered < in_flight:
            connection.send_request(wire.PRODUCE, 3, body)
            sent += 1
        error, _ = wire.produce_error(connection.response()[1])
        equal(error, 0, "error code")


def count(connection, topic, partition, offset=0):
    """Reads a partition to its end by following the headers of its batches; how many records there were."""
    first = offset
    while True:
        answer = connection.request(wire.FETCH, 4, wire.fetch_body(topic, partition, offset, 4 << 20))
        at = 4 + 4 + 2 + len(topic) + 4 + 4
        error, high_watermark = struct.unpack_from(">hq", answer, at)
        equal(error, 0, "error code")
        if offset == high_watermark:
            return offset - first
        aborted = struct.unpack_from(">i", answer, at + 18)[0]
        equal(max(aborted, 0), 0)
        at += 26
        before = offset
        while at + 61 <= len(answer):
            base, length = struct.unpack_from(">qi", answer, at)
            if at + 12 + length > len(answer):
                break
            equal(base, offset, "base offset")
            assert answer[at + 61 : at + 12 + length] == BATCH[61:], f"the batch at {base} has changed"
            offset = base + struct.unpack_from(">i", answer, at + 23)[0] + 1
            at += 12 + length
        assert offset > before, f"nothing came at {offset}, the high watermark is {high_watermark}"


def topic_partition(topic):
    from confluent_kafka import TopicPartition

    return TopicPartition(topic, 0)
