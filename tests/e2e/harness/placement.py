"""Who leads and keeps what, as each of Kafka's answers tells it."""

import json
import struct
import subprocess

from harness import wire
from harness.wire import Connection, Reader, compact_string, frame, header, uvarint

DESCRIBE_LOG_DIRS, DESCRIBE_CLUSTER, DESCRIBE_TOPIC_PARTITIONS = 35, 60, 75
NO_TAGS = b"\0"


def flexible(port, key, version, body, timeout_s=10):
    """The answer's body to a request with header v2; its header v1 is taken off."""
    with Connection(port, timeout_s) as connection:
        connection.correlation_id += 1
        connection.send(frame(header(key, version, connection.correlation_id) + NO_TAGS + body))
        answer = Reader(connection.answer())
    assert answer.int8() == 0, "tags in the header"
    return answer


def compact(answer, element):
    return [element() for _ in range(max(answer.uvarint() - 1, 0))]


def text(answer):
    length = answer.uvarint()
    return None if length == 0 else answer.bytes(length - 1).decode()


def brokers(port):
    """DescribeCluster v2, fenced brokers too: {id: is fenced}."""
    answer = flexible(port, DESCRIBE_CLUSTER, 2, b"\0\1\1" + NO_TAGS)
    answer.int32()
    assert answer.int16() == 0
    text(answer)
    answer.int8()
    text(answer)
    answer.int32()

    def broker():
        number = answer.int32()
        text(answer)
        answer.int32()
        text(answer)
        fenced = answer.int8() == 1
        answer.uvarint()
        return number, fenced

    return dict(compact(answer, broker))


def topic_partitions(port, topic):
    """DescribeTopicPartitions v0: {partition: (leader, replicas, in sync, offline)}."""
    body = uvarint(2) + compact_string(topic) + NO_TAGS + struct.pack(">ib", 2000, -1) + NO_TAGS
    answer = flexible(port, DESCRIBE_TOPIC_PARTITIONS, 0, body)
    answer.int32()
    assert answer.uvarint() == 2, "one topic"
    assert answer.int16() == 0
    text(answer)
    answer.bytes(17)

    def partition():
        answer.int16()
        index, leader = answer.int32(), answer.int32()
        answer.int32()
        replicas, in_sync, _, _, offline = (compact(answer, answer.int32) for _ in range(5))
        answer.uvarint()
        return index, (leader, replicas, sorted(in_sync), offline)

    return dict(compact(answer, partition))


def kept(port):
    """DescribeLogDirs v1 for everything: {(topic, partition): bytes} of the node that is asked."""
    with Connection(port, 10) as connection:
        answer = Reader(connection.request(DESCRIBE_LOG_DIRS, 1, struct.pack(">i", -1)))
    answer.int32()
    found = {}

    def partition(topic):
        index = answer.int32()
        found[topic, index] = struct.unpack(">q", answer.bytes(8))[0]
        answer.bytes(9)

    def topic():
        name = answer.string()
        answer.array(lambda: partition(name))

    def directory():
        assert answer.int16() == 0
        answer.string()
        answer.array(topic)

    answer.array(directory)
    return found


def elect_preferred(port, topic, partitions, timeout_s=30):
    """ElectLeaders v1; {partition: error}."""
    body = struct.pack(">bi", 0, 1) + wire.string(topic)
    body += struct.pack(f">i{len(partitions)}ii", len(partitions), *partitions, timeout_s * 1000)
    with Connection(port, timeout_s) as connection:
        answer = Reader(connection.request(43, 1, body))
    answer.int32()
    assert answer.int16() == 0

    def partition():
        index, error = answer.int32(), answer.int16()
        answer.string()
        return index, error

    def topic_result():
        answer.string()
        return dict(answer.array(partition))

    return answer.array(topic_result)[0]


def status(node, *arguments):
    """`cluster status` by the node's own file: exit code, document, what was said beside it."""
    command = [node.binary, "cluster", "status", "--config", node.directory / "chronik.toml", "-o", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr
