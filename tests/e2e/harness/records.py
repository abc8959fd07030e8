"""Producing and consuming with librdkafka, to the end and with every error looked at."""

import time

from confluent_kafka import KafkaException


def produce_all(producer, topic, pairs, partition=-1, timeout_s=60):
    """Produces every (key, value) and waits for each to be acknowledged."""
    errors = []

    def delivered(error, _):
        if error is not None:
            errors.append(error)

    for key, value in pairs:
        while True:
            try:
                producer.produce(topic, value, key=key, partition=partition, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    left = producer.flush(timeout_s)
    assert left == 0, f"{left} records are still not acknowledged"
    assert not errors, errors[:3]


def deliver(producer, topic, fails=False, **record):
    """Produces one record. Returns its message, or with `fails` the error it must end in."""
    outcome = []
    producer.produce(topic, on_delivery=lambda error, message: outcome.append((error, message)), **record)
    producer.flush(60)
    assert outcome, "no delivery report"
    error, message = outcome[0]
    if fails:
        assert error is not None, "was delivered"
        return error
    assert error is None, error
    return message


def consume(consumer, topic, count, timeout_s=60):
    """Exactly `count` messages, from a topic subscribed to here or from what is assigned already."""
    if topic is not None:
        consumer.subscribe([topic])
    got = []
    deadline = time.monotonic() + timeout_s
    while len(got) < count:
        assert time.monotonic() < deadline, f"only {len(got)} of {count} records came"
        for message in consumer.consume(min(500, count - len(got)), timeout=0.5):
            if message.error() is not None:
                raise KafkaException(message.error())
            got.append(message)
    return got


def drain(consumer, partitions):
    """Everything in [(partition, end offset)] that the consumer is assigned to: reads until each end is reached."""
    open_partitions = {partition: end for partition, end in partitions if end > 0}
    got = []
    deadline = time.monotonic() + 90
    while open_partitions:
        assert time.monotonic() < deadline, f"not read to the end: {open_partitions}"
        for message in consumer.consume(1000, timeout=0.5):
            if message.error() is not None:
                raise KafkaException(message.error())
            got.append(message)
            if message.offset() + 1 >= open_partitions.get(message.partition(), 1 << 62):
                del open_partitions[message.partition()]
    return got
