"""One producer or one member of a group, with the client that is named, as a process of its own:

    clients.py librdkafka|kafka-python produce BOOTSTRAP TOPIC SIZE COUNT PER_SECOND
    clients.py librdkafka|kafka-python consume BOOTSTRAP TOPIC SIZE GROUP

A producer sends so many records, prints `PARTITION OFFSET VALUE` for each that is acknowledged, and ends with 0 when all of them were; a
consumer prints the same for each record that it reads, and ends when its standard input does. Values begin with the client's name and a number, and are
filled up to SIZE; the filling is checked by whoever reads, and not printed."""

import sys
import threading
import time

FILLING = b"."


def main():
    client, what, bootstrap, topic, size, *rest = sys.argv[1:]
    sys.exit(CLIENTS[client, what](bootstrap, topic, int(size), *rest))


def numbers(count, per_second):
    """As many numbers, each when it is due."""
    began = time.monotonic()
    for number in range(int(count)):
        if number % 100 == 0:
            time.sleep(max(0, began + number / int(per_second) - time.monotonic()))
        yield number


def value(client, number, size):
    return b"%s-%d" % (client, number) + FILLING * (size - len(client) - 1 - len(str(number)))


def name_of(value, size):
    """The value without what fills it up."""
    name = value.rstrip(FILLING)
    assert len(value) == size and name + FILLING * (size - len(name)) == value, f"a value of {len(value)} bytes: {value[:60]!r}"
    return name.decode()


class Lines:
    """What is printed, in large pieces."""

    def __init__(self):
        self.lines = []
        self.lock = threading.Lock()

    def add(self, partition, offset, name):
        with self.lock:
            self.lines.append(f"{partition} {offset} {name}\n")
            if len(self.lines) < 500:
                return
        self.flush()

    def flush(self):
        with self.lock:
            sys.stdout.write("".join(self.lines))
            sys.stdout.flush()
            self.lines.clear()


def input_ended():
    over = threading.Event()

    def wait():
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    return over


def librdkafka_produce(bootstrap, topic, size, count, per_second):
    from confluent_kafka import Producer

    settings = {"enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 300_000, "socket.timeout.ms": 5000}
    producer = Producer({"bootstrap.servers": bootstrap, **settings})
    lines, failed = Lines(), []

    def told(error, message):
        if error is not None:
            failed.append(error)
        else:
            lines.add(message.partition(), message.offset(), name_of(message.value(), size))

    for number in numbers(count, per_second):
        while True:
            try:
                producer.produce(topic, value(b"librdkafka", number, size), partition=number % 3, on_delivery=told)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    left = producer.flush(300)
    lines.flush()
    print(*failed[:3], f"{left} left", file=sys.stderr)
    return 1 if failed or left else 0


def librdkafka_consume(bootstrap, topic, size, group):
    from confluent_kafka import Consumer

    settings = {"auto.offset.reset": "earliest", "auto.commit.interval.ms": 1000, "socket.timeout.ms": 5000, "session.timeout.ms": 30_000}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "partition.assignment.strategy": "range", **settings})
    consumer.subscribe([topic])
    lines, over = Lines(), input_ended()
    while not over.is_set():
        messages = consumer.consume(1000, timeout=0.2)
        for message in messages:
            if message.error() is None:
                lines.add(message.partition(), message.offset(), name_of(message.value(), size))
            else:
                print(message.error(), file=sys.stderr)
        if not messages:
            lines.flush()
    consumer.close()
    lines.flush()
    return 0


def python_produce(bootstrap, topic, size, count, per_second):
    from kafka import KafkaProducer

    producer = KafkaProducer(
        bootstrap_servers=bootstrap.split(","),
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        batch_size=128 << 10,
        request_timeout_ms=5000,
        delivery_timeout_ms=300_000,
        max_block_ms=300_000,
        retry_backoff_ms=50,
    )
    lines, failed = Lines(), []
    acked = [0]

    def told(metadata, name):
        acked[0] += 1
        lines.add(metadata.partition, metadata.offset, name)

    for number in numbers(count, per_second):
        sent = producer.send(topic, value(b"kafka-python", number, size), partition=number % 3)
        sent.add_callback(told, name=f"kafka-python-{number}").add_errback(failed.append)
    producer.flush(300)
    producer.close()
    lines.flush()
    print(*failed[:3], f"{int(count) - acked[0]} left", file=sys.stderr)
    return 1 if failed or acked[0] != int(count) else 0


def python_consume(bootstrap, topic, size, group):
    from kafka import KafkaConsumer
    from kafka.coordinator.assignors.range import RangePartitionAssignor

    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap.split(","),
        group_id=group,
        auto_offset_reset="earliest",
        auto_commit_interval_ms=1000,
        partition_assignment_strategy=[RangePartitionAssignor],
        session_timeout_ms=30_000,
        request_timeout_ms=35_000,
    )
    lines, over = Lines(), input_ended()
    while not over.is_set():
        polled = consumer.poll(timeout_ms=200, max_records=1000)
        for messages in polled.values():
            for message in messages:
                lines.add(message.partition, message.offset, name_of(message.value, size))
        if not polled:
            lines.flush()
    consumer.close()
    lines.flush()
    return 0


CLIENTS = {
    ("librdkafka", "produce"): librdkafka_produce,
    ("librdkafka", "consume"): librdkafka_consume,
    ("kafka-python", "produce"): python_produce,
    ("kafka-python", "consume"): python_consume,
}

if __name__ == "__main__":
    main()
