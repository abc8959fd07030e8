"""Bytes that no client sends: the one connection ends, everyone else goes on, memory stays bounded."""

import os
import random
import socket
import struct
import time

from harness import wire
from harness.context import equal, eventually
from harness.records import consume, produce_all
from harness.registry import case
from harness.wire import Connection, frame, header, string, uvarint

MIB = 1 << 20
# What a broker may hold beyond its resting size while it is being abused.
ALLOWANCE = 200 * MIB
# One core of CPU for this long is far more than any of these loads needs at rest.
LONG_S = 30


@case(fresh=True)
def impossible_frame_lengths(cx):
    with Watch(cx) as watch:
        for length in (-1, -(2**31), 2**31 - 1, 1 << 30, 101 << 20):
            with Connection(cx.port) as connection:
                connection.send(struct.pack(">i", length) + b"x" * 100)
                assert connection.closed_by_peer(), f"a frame of {length} bytes did not end its connection"
        watch.undisturbed()


@case(fresh=True)
def frames_too_short_for_a_header(cx):
    with Watch(cx) as watch:
        for body in (b"", b"\0", b"\0\x12\0", b"\0\x12\0\0\0\0", b"\0\x12\0\0\0\0\0\1\0"):
            with Connection(cx.port) as connection:
                connection.send(frame(body))
                assert connection.closed_by_peer(), f"a frame of {len(body)} bytes did not end its connection"
        watch.undisturbed()


@case(fresh=True)
def unknown_apis_and_versions(cx):
    with Watch(cx) as watch:
        for key, version in ((-1, 0), (4711, 0), (32767, 0), (wire.METADATA, 99), (wire.METADATA, -1), (wire.FETCH, 1000), (wire.PRODUCE, -1)):
            with Connection(cx.port) as connection:
                connection.send(frame(header(key, version, 1) + b"\0" * 20))
                assert connection.closed_by_peer(), f"api {key} version {version} did not end its connection"
        watch.undisturbed()


@case(fresh=True)
def what_came_before_a_broken_request_is_answered(cx):
    topic = cx.topic()
    good = header(wire.PRODUCE, 3, 7) + wire.produce_body(topic, 0, wire.batch([b"value"]))
    for broken in (frame(good[:-30]), struct.pack(">i", -1), frame(header(4711, 0, 9))):
        with Connection(cx.port) as connection:
            connection.send(frame(good) * 2 + broken)
            for _ in range(2):
                correlation_id, answer = connection.response()
                equal((correlation_id, wire.produce_error(answer)[0]), (7, 0), "the answer before the end")
            assert connection.closed_by_peer()


@case(fresh=True)
def an_unknown_version_of_api_versions_is_answered(cx):
    """Kafka answers in version 0 with error 35 and keeps the connection, so that clients can step down."""
    with Connection(cx.port) as connection:
        answer = connection.request(wire.API_VERSIONS, 99, b"\0" * 4)
        equal(struct.unpack_from(">h", answer)[0], 35, "error code")
        answer = connection.request(wire.API_VERSIONS, 0, b"")
        equal(struct.unpack_from(">h", answer)[0], 0, "error code")


@case(fresh=True)
def huge_counts_in_small_requests(cx):
    """An array that claims two thousand million elements, or a string of as many bytes, in a frame of a few bytes."""
    huge = (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xfe", b"\x40\x00\x00\x00")
    flexible = (b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x07", b"\xff" * 20, uvarint(1 << 60))
    with Watch(cx) as watch:
        for count in huge:
            for key, version, before in (
                (wire.METADATA, 1, b""),
                (wire.PRODUCE, 3, struct.pack(">hhi", -1, -1, 1000)),
                (wire.FETCH, 4, struct.pack(">iiiib", -1, 0, 0, 1000, 0)),
                (wire.LIST_OFFSETS, 1, struct.pack(">i", -1)),
                (15, 0, b""),  # DescribeGroups
                (19, 2, b""),  # CreateTopics
                (20, 1, b""),  # DeleteTopics
            ):
                ends_or_errs(cx, header(key, version, 1) + before + count, (key, version, count))
        for count in flexible:
            for key, version, before in (
                (wire.METADATA, 12, b""),
                (wire.PRODUCE, 9, b"\0" + struct.pack(">hi", -1, 1000)),
                (wire.FETCH, 12, struct.pack(">iiiibii", -1, 0, 0, 1000, 0, 0, -1)),
                (wire.API_VERSIONS, 3, b""),
                (60, 0, b""),  # DescribeCluster
            ):
                ends_or_errs(cx, header(key, version, 1) + b"\0" + before + count, (key, version, count))
        watch.undisturbed()


@case(fresh=True)
def many_tagged_fields(cx):
    """Tagged fields that nobody knows, thousands of them, and a count of them that is a lie."""
    with Watch(cx) as watch:
        fields = uvarint(5000) + b"".join(uvarint(n + 100) + uvarint(3) + b"abc" for n in range(5000))
        with Connection(cx.port) as connection:
            connection.send(frame(header(wire.API_VERSIONS, 3, 1) + fields + wire.compact_string("x") * 2 + b"\0"))
            equal(connection.response()[0], 1, "correlation id")
        for lie in (uvarint(2**31), uvarint(1) + uvarint(5) + uvarint(2**31), b"\xff" * 11):
            ends_or_errs(cx, header(wire.API_VERSIONS, 3, 1) + lie, lie)
        watch.undisturbed()


@case(fresh=True)
def truncated_requests(cx):
    """Every prefix of real requests, in a frame that says so."""
    topic = cx.topic()
    requests = [
        header(wire.METADATA, 1, 1) + struct.pack(">i", 1) + string(topic),
        header(wire.PRODUCE, 3, 1) + wire.produce_body(topic, 0, wire.batch([b"value"])),
        header(wire.FETCH, 4, 1) + wire.fetch_body(topic, 0, 0),
    ]
    with Watch(cx) as watch:
        for request in requests:
            for length in range(8, len(request)):
                ends_or_errs(cx, request[:length], (request[:4], length))
        watch.undisturbed()


@case(fresh=True, timeout_s=240)
def mutated_requests(cx):
    """Real requests with bytes flipped, inserted, removed."""
    topic = cx.topic()
    requests = [
        header(wire.METADATA, 1, 1) + struct.pack(">i", 1) + string(topic),
        header(wire.PRODUCE, 3, 1) + wire.produce_body(topic, 0, wire.batch([b"value", b"another"])),
        header(wire.FETCH, 4, 1) + wire.fetch_body(topic, 0, 0),
        header(wire.LIST_OFFSETS, 1, 1) + struct.pack(">ii", -1, 1) + string(topic) + struct.pack(">iiq", 1, 0, -1),
        header(wire.API_VERSIONS, 3, 1) + b"\0" + wire.compact_string("a") + wire.compact_string("b") + b"\0",
        header(11, 0, 1) + string("group") + struct.pack(">i", 10_000) + string("") + string("consumer") + struct.pack(">i", 0),
    ]
    dice = random.Random(4711)
    with Watch(cx) as watch:
        for number in range(3000):
            request = bytearray(dice.choice(requests))
            for _ in range(dice.randint(1, 4)):
                at = dice.randrange(len(request))
                match dice.randrange(3):
                    case 0:
                        request[at] = dice.randrange(256)
                    case 1:
                        del request[at]
                    case 2:
                        request[at:at] = dice.randbytes(dice.randint(1, 8))
            with Connection(cx.port, timeout_s=10) as connection:
                connection.send(frame(bytes(request)))
                if number % 10 == 0:
                    connection.socket.shutdown(socket.SHUT_WR)
                    connection.closed_by_peer()
        watch.undisturbed()


@case(fresh=True)
def garbage(cx):
    dice = random.Random(1)
    with Watch(cx) as watch:
        for first in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\xff" * 64, b"\0" * 64):
            with Connection(cx.port) as connection:
                connection.send(first)
                connection.socket.shutdown(socket.SHUT_WR)
                assert connection.closed_by_peer(), first
        for _ in range(200):
            with Connection(cx.port) as connection:
                try:
                    connection.send(dice.randbytes(dice.randint(1, 5000)))
                    connection.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    continue  # closed already: that is what is wanted
                assert connection.closed_by_peer()
        watch.undisturbed()


@case(fresh=True)
def broken_record_batches(cx):
    """Refused with the right code for that partition; the connection stays, the log stays clean."""
    topic = cx.topic()
    good = wire.batch([b"good"])
    refused = {
        "a wrong checksum": (wire.batch([b"v"], crc=1), (2,)),
        "nothing": (b"", (2, 42, 87)),
        "half a batch": (good[:-3], (2, 42, 87)),
        "half a header": (good[:30], (2, 42, 87)),
        "a length that is too large": (wire.batch([b"v"], length=1000), (2, 42, 87)),
        "a negative length": (wire.batch([b"v"], length=-5), (2, 42, 87)),
        "magic 3": (wire.batch([b"v"], magic=3), (2, 42, 43, 76, 87)),
        "a count that is not the delta plus one": (wire.batch([b"v"], count=7, last_offset_delta=3), (2, 42, 87)),
        "no records": (wire.batch([], payload=b""), (2, 42, 87)),
        "two batches": (good + good, (2, 42, 87)),
        "a control batch": (wire.batch([b"v"], attributes=0x20), (42, 87)),
        "compression number 7": (wire.batch([b"v"], attributes=7), (-1, 2, 42, 76, 87)),
    }
    with Connection(cx.port) as connection:
        for what, (raw, codes) in refused.items():
            try:
                error, _ = wire.produce_error(connection.request(wire.PRODUCE, 3, wire.produce_body(topic, 0, raw)))
            except EOFError:
                raise AssertionError(f"{what}: the connection was closed") from None
            assert error in codes, f"{what}: error {error}, not one of {codes}"
        error, offset = wire.produce_error(connection.request(wire.PRODUCE, 3, wire.produce_body(topic, 0, good)))
        equal((error, offset), (0, 0), "a good batch after all the bad ones")
    equal([m.value() for m in consume(cx.consumer(), topic, 1)], [b"good"])


@case(fresh=True)
def decompression_bombs(cx):
    """A batch of a few KiB that unpacks to a GiB costs the broker neither memory nor its answer."""
    topic = cx.topic()
    bomb = wire.gzip_payload(b"\0" * (64 * MIB))
    # Deflate within deflate would not be unpacked twice; size alone is the attack.
    raw = wire.batch([], payload=bomb, attributes=1, count=1)
    with Watch(cx) as watch:
        with Connection(cx.port) as connection:
            for _ in range(20):
                wire.produce_error(connection.request(wire.PRODUCE, 3, wire.produce_body(topic, 0, raw)))
        watch.undisturbed()


@case(fresh=True, only_chronik=True)
def half_open_connections(cx):
    """Connections that say nothing, or half a frame, and stay. (Kafka as it ships sets the whole frame's memory aside
    and runs out of heap.)"""
    silent = []
    with Watch(cx) as watch:
        try:
            for number in range(500):
                connection = Connection(cx.port)
                if number % 2:
                    connection.send(struct.pack(">i", 50 * MIB) + b"\0\0\0\3")
                silent.append(connection)
            watch.undisturbed()
        finally:
            for connection in silent:
                connection.close()


@case(fresh=True)
def a_frame_that_comes_byte_by_byte(cx):
    with Connection(cx.port) as connection:
        for byte in frame(header(wire.API_VERSIONS, 0, 77)):
            connection.send(bytes([byte]))
        equal(connection.response()[0], 77, "correlation id")


@case(fresh=True)
def connection_churn(cx):
    """Thousands of connections that come, some ask, and go, some with a reset; afterwards the broker is at rest."""
    with Watch(cx) as watch:
        for number in range(3000):
            connection = Connection(cx.port)
            if number % 3 == 0:
                connection.send(frame(header(wire.API_VERSIONS, 0, 1)))
            if number % 5 == 0:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        watch.undisturbed()
        at_rest(cx)
    eventually(lambda: open_files(cx.broker.pid) < 200, "descriptors are given back")


@case(fresh=True)
def pipelined_requests_are_answered_in_order(cx):
    topic = cx.topic()
    with Connection(cx.port) as connection:
        wanted = []
        for number in range(300):
            key, version, body = [
                (wire.API_VERSIONS, 0, b""),
                (wire.METADATA, 1, struct.pack(">i", 1) + string(topic)),
                (wire.PRODUCE, 3, wire.produce_body(topic, 0, wire.batch([b"%d" % number]))),
                (wire.FETCH, 4, wire.fetch_body(topic, 0, 0)),
            ][number % 4]
            connection.send_request(key, version, body)
            wanted.append(connection.correlation_id)
        equal([connection.response()[0] for _ in wanted], wanted, "correlation ids")


@case(fresh=True)
def a_reader_that_does_not_read(cx):
    """Asks for megabytes again and again and never takes them: costs bounded memory, and no one else notices."""
    topic = cx.topic()
    produce_all(cx.producer(), topic, [(None, os.urandom(100_000)) for _ in range(200)], partition=0)
    with Watch(cx) as watch:
        connections = [Connection(cx.port) for _ in range(8)]
        for connection in connections:
            connection.socket.setblocking(False)
            for _ in range(100):
                try:
                    connection.socket.send(frame(header(wire.FETCH, 4, 1) + wire.fetch_body(topic, 0, 0, 20 * MIB)))
                except BlockingIOError:
                    break
        watch.undisturbed()
        for connection in connections:
            connection.close()


@case(fresh=True)
def deeply_nested_requests(cx):
    """Kafka's schemas do not recurse; what looks like depth is width, and a stack is not spent on it."""
    with Watch(cx) as watch:
        topics = struct.pack(">i", 20_000) + string("t") * 20_000
        with Connection(cx.port) as connection:
            connection.send(frame(header(15, 0, 1) + topics))  # DescribeGroups
            equal(connection.response()[0], 1, "correlation id")
        ends_or_errs(cx, header(19, 2, 1) + b"\0\0\0\1" * 100_000, "nested arrays")
        watch.undisturbed()


def ends_or_errs(cx, request, what):
    """The broker may answer, with whatever error, or close; it may not fall silent for good or die."""
    with Connection(cx.port, timeout_s=10) as connection:
        connection.send(frame(request))
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.closed_by_peer(), f"{what}: the connection is still open"


def at_rest(cx):
    """A closed socket must not spin a core."""

    def little():
        before, started = cx.broker.cpu_seconds(), time.monotonic()
        time.sleep(1)
        return (cx.broker.cpu_seconds() - before) / (time.monotonic() - started) < 0.5

    eventually(little, "the broker comes to rest", timeout_s=LONG_S)


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Watch:
    """Someone who uses the broker properly all the while, on a connection made before."""

    def __init__(self, cx):
        self.cx = cx

    def __enter__(self):
        self.topic = self.cx.topic()
        self.producer = self.cx.producer()
        self.bystander = Connection(self.cx.port)
        self.say_something()
        self.resting = self.cx.broker.resident_bytes()
        self.pid = self.cx.broker.pid
        return self

    def __exit__(self, *_):
        self.bystander.close()

    def undisturbed(self):
        assert self.cx.broker.running(), f"the broker is gone:\n{self.cx.broker.log_tail()}"
        equal(self.cx.broker.pid, self.pid)
        self.say_something()
        grown = self.cx.broker.resident_bytes() - self.resting
        assert grown < ALLOWANCE, f"grown by {grown // MIB} MiB"

    def say_something(self):
        produce_all(self.producer, self.topic, [(None, b"still here")] * 10, partition=0)
        answer = self.bystander.request(wire.FETCH, 4, wire.fetch_body(self.topic, 0, 0))
        assert b"still here" in answer
