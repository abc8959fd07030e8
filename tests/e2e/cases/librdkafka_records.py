"""librdkafka: what goes in comes out, whatever it is made of."""

import time

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from harness.context import equal
from harness.records import consume, deliver, produce_all
from harness.registry import case


@case()
def produce_then_consume(cx):
    topic = cx.topic(partitions=3)
    sent = [(f"key-{n}".encode(), f"value-{n}".encode()) for n in range(1000)]
    produce_all(cx.producer(), topic, sent)
    got = consume(cx.consumer(), topic, len(sent))
    equal(sorted((m.key(), m.value()) for m in got), sorted(sent))
    in_order_per_partition(got)


@case()
def order_within_a_partition(cx):
    topic = cx.topic()
    sent = [(None, b"%d" % n) for n in range(5000)]
    produce_all(cx.producer(linger_ms=5), topic, sent, partition=0)
    got = consume(cx.consumer(), topic, len(sent))
    equal([m.value() for m in got], [value for _, value in sent])
    equal([m.offset() for m in got], list(range(5000)))


@case()
def every_compression(cx):
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = cx.topic()
        sent = [(b"k%d" % n, b"some text that repeats itself %d " % n * 20) for n in range(500)]
        produce_all(cx.producer(compression_type=codec, linger_ms=50), topic, sent)
        got = consume(cx.consumer(), topic, len(sent))
        equal([(m.key(), m.value()) for m in got], sent, codec)


@case()
def headers_keep_order_duplicates_and_nulls(cx):
    topic = cx.topic()
    headers = [("a", b"1"), ("a", b"2"), ("none", None), ("", b""), ("b", b"\x00\xff"), ("a", b"1")]
    deliver(cx.producer(), topic, value=b"v", headers=headers)
    got = consume(cx.consumer(), topic, 1)
    equal(got[0].headers(), headers)


@case()
def null_and_empty_keys_and_values(cx):
    topic = cx.topic()
    sent = [(None, b"v"), (b"k", None), (None, None), (b"", b""), (b"k", b"")]
    produce_all(cx.producer(), topic, sent, partition=0)
    got = consume(cx.consumer(), topic, len(sent))
    equal([(m.key(), m.value()) for m in got], sent)


@case()
def timestamps_are_kept(cx):
    topic = cx.topic()
    now_ms = int(time.time() * 1000)
    stamps = [now_ms - 5000 + n for n in range(10)]
    producer = cx.producer()
    for stamp in stamps:
        producer.produce(topic, b"v", partition=0, timestamp=stamp)
    equal(producer.flush(30), 0)
    got = consume(cx.consumer(), topic, len(stamps))
    equal([m.timestamp() for m in got], [(1, stamp) for stamp in stamps])


@case()
def log_append_time(cx):
    topic = cx.topic(configs={"message.timestamp.type": "LogAppendTime"})
    before_ms = int(time.time() * 1000)
    deliver(cx.producer(), topic, value=b"v", timestamp=before_ms - 86_400_000)
    kind, stamp = consume(cx.consumer(), topic, 1)[0].timestamp()
    equal(kind, 2, "timestamp type")
    assert before_ms - 1000 <= stamp <= time.time() * 1000 + 1000, stamp


@case()
def large_records_within_the_limit(cx):
    topic = cx.topic(configs={"max.message.bytes": str(12 << 20)})
    values = [bytes([n]) * size for n, size in enumerate((900_000, 1 << 20, 3 << 20, 10 << 20))]
    producer = cx.producer(message_max_bytes=11 << 20)
    for value in values:
        deliver(producer, topic, value=value, partition=0)
    got = consume(cx.consumer(fetch_message_max_bytes=1 << 20), topic, len(values))
    assert [m.value() for m in got] == values


@case()
def a_record_over_the_limit_is_refused(cx):
    topic = cx.topic()
    producer = cx.producer(message_max_bytes=5 << 20, linger_ms=0)
    error = deliver(producer, topic, value=b"x" * (2 << 20), fails=True)
    equal(error.code(), KafkaError.MSG_SIZE_TOO_LARGE)
    deliver(producer, topic, value=b"x" * 1000_000)


@case()
def acks_none_one_and_all(cx):
    topic = cx.topic()
    for acks in (0, 1, -1):
        produce_all(cx.producer(acks=acks), topic, [(None, b"%d" % acks)] * 100, partition=0)
    equal(len(consume(cx.consumer(), topic, 300)), 300)


@case()
def idempotent_producer(cx):
    topic = cx.topic(partitions=2)
    sent = [(b"k%d" % n, b"v%d" % n) for n in range(3000)]
    produce_all(cx.producer(enable_idempotence=True, linger_ms=1), topic, sent)
    got = consume(cx.consumer(), topic, len(sent))
    equal(sorted(m.value() for m in got), sorted(value for _, value in sent))


@case()
def many_small_batches_in_flight(cx):
    topic = cx.topic(partitions=4)
    producer = cx.producer(enable_idempotence=True, batch_num_messages=1, max_in_flight=5)
    sent = [(None, b"%d" % n) for n in range(2000)]
    produce_all(producer, topic, sent)
    got = consume(cx.consumer(), topic, len(sent))
    equal(sorted(m.value() for m in got), sorted(value for _, value in sent))
    in_order_per_partition(got)


@case()
def seek_by_time(cx):
    topic = cx.topic()
    base_ms = int(time.time() * 1000) - 100_000
    producer = cx.producer(linger_ms=0, batch_num_messages=10)
    for n in range(100):
        producer.produce(topic, b"%d" % n, partition=0, timestamp=base_ms + n * 100)
        if n % 10 == 9:
            producer.flush(30)
    consumer = cx.consumer()

    def offset_at(stamp):
        return consumer.offsets_for_times([TopicPartition(topic, 0, stamp)], timeout=20)[0].offset

    equal(offset_at(base_ms - 1), 0)
    equal(offset_at(base_ms), 0)
    equal(offset_at(base_ms + 5001), 51)
    equal(offset_at(base_ms + 9900), 99)
    equal(offset_at(base_ms + 9901), -1, "after the last record: the end")
    consumer.assign([TopicPartition(topic, 0, offset_at(base_ms + 4200))])
    equal(consume(consumer, None, 1)[0].value(), b"42")


@case()
def watermarks_and_partition_end(cx):
    topic = cx.topic(partitions=2)
    produce_all(cx.producer(), topic, [(None, b"v")] * 7, partition=1)
    consumer = cx.consumer(enable_partition_eof=True)
    equal(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20), (0, 0))
    equal(consumer.get_watermark_offsets(TopicPartition(topic, 1), timeout=20), (0, 7))
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(20)
    equal(message.error().code(), KafkaError._PARTITION_EOF)


@case()
def an_offset_out_of_range_is_reset_or_told(cx):
    topic = cx.topic()
    produce_all(cx.producer(), topic, [(None, b"%d" % n) for n in range(10)], partition=0)
    consumer = cx.consumer(auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0, 10_000)])
    equal(consume(consumer, None, 10)[0].offset(), 0)
    strict = cx.consumer(auto_offset_reset="error")
    strict.assign([TopicPartition(topic, 0, 10_000)])
    message = strict.poll(20)
    equal(message.error().code(), KafkaError._AUTO_OFFSET_RESET)


@case()
def a_consumer_that_waits_gets_what_comes_later(cx):
    topic = cx.topic()
    consumer = cx.consumer(fetch_wait_max_ms=2000, auto_offset_reset="latest")
    consumer.assign([TopicPartition(topic, 0, 0)])
    equal(consumer.poll(0.5), None)
    deliver(cx.producer(), topic, value=b"later", partition=0)
    equal(consume(consumer, None, 1)[0].value(), b"later")


@case()
def one_hundred_partitions(cx):
    topic = cx.topic(partitions=100)
    producer = cx.producer()
    for partition in range(100):
        for n in range(5):
            producer.produce(topic, b"%d-%d" % (partition, n), partition=partition)
    equal(producer.flush(60), 0)
    got = consume(cx.consumer(), topic, 500)
    in_order_per_partition(got)
    equal(len({m.value() for m in got}), 500)


@case()
def auto_created_by_a_producer(cx):
    topic = cx.name()
    produce_all(cx.producer(), topic, [(None, b"v")] * 10)
    equal(len(consume(cx.consumer(), topic, 10)), 10)
    equal(len(cx.admin().list_topics(topic, timeout=20).topics[topic].partitions), 4)


@case(settings={"auto.create.topics.enable": "false"})
def an_unknown_topic_is_not_created(cx):
    topic = cx.name()
    error = deliver(cx.producer(message_timeout_ms=4000, topic_metadata_propagation_max_ms=500), topic, value=b"v", fails=True)
    assert error.code() in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART), error
    assert topic not in cx.admin().list_topics(timeout=20).topics


@case()
def an_invalid_topic_name_is_refused(cx):
    for name in ("a b", "tö", "x" * 250, ".", ".."):
        try:
            cx.topic(name=name)
            raise AssertionError(f"{name!r} was created")
        except KafkaException as error:
            equal(error.args[0].code(), KafkaError.TOPIC_EXCEPTION, name)
    error = deliver(cx.producer(message_timeout_ms=4000), "a b", value=b"v", fails=True)
    assert error.code() in (KafkaError._MSG_TIMED_OUT, KafkaError.TOPIC_EXCEPTION), error


@case()
def a_partition_that_does_not_exist(cx):
    topic = cx.topic(partitions=2)
    error = deliver(cx.producer(message_timeout_ms=4000), topic, value=b"v", partition=7, fails=True)
    equal(error.code(), KafkaError._UNKNOWN_PARTITION)


def in_order_per_partition(messages):
    last = {}
    for message in messages:
        previous = last.get(message.partition(), -1)
        assert message.offset() > previous, (message.partition(), previous, message.offset())
        last[message.partition()] = message.offset()
