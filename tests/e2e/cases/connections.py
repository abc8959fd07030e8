"""Very many connections, and such as their peers neglect: what each costs, and that nobody else notices.

As part of `cargo xtask test` with a tenth of the numbers; `cargo xtask stress` takes them whole.
"""

import os
import random
import resource
import select
import socket
import struct
import time

from cases.hostile import MIB, Watch, open_files
from harness import wire
from harness.context import equal, eventually
from harness.records import produce_all
from harness.registry import case
from harness.wire import Connection, frame, header, string

WHOLE = bool(os.environ.get("E2E_WHOLE"))
IDLE = 10_000 if WHOLE else 1000
HALF_OPEN = 1000 if WHOLE else 200
CHURN = 60_000 if WHOLE else 4000
PIPELINES = 100 if WHOLE else 20
SLOW_READERS = 200 if WHOLE else 20
# What docs/operate/connections.md promises.
IDLE_BYTES_EACH = 8 << 10
HALF_OPEN_BYTES_EACH = 8 << 10
# A core at rest: so much of it may be used by whatever there is to do, in two seconds.
REST_CORES = 0.1


@case(fresh=True, only_chronik=True, timeout_s=600)
def idle_and_half_open_connections(cx):
    """Connections that say nothing, and such that say the half of something: what they sent, and little beside it, is kept."""
    raise_descriptor_limit(IDLE + HALF_OPEN + 1000)
    with Watch(cx) as watch:
        before = cx.broker.resident_bytes()
        idle = [knock(cx.port, number) for number in range(IDLE)]
        for connection in idle[:: max(1, IDLE // 100)]:
            assert_answers(connection)
        at_rest(cx)
        grown = cx.broker.resident_bytes() - before
        print(f"{IDLE} idle connections: {grown // IDLE} bytes each")
        assert grown < IDLE * IDLE_BYTES_EACH + 4 * MIB, f"{IDLE} idle connections hold {grown // 1024} KiB"
        watch.undisturbed()

        before = cx.broker.resident_bytes()
        half_open, sent = [], 0
        for number in range(HALF_OPEN):
            connection = knock(cx.port, number)
            begun = [b"\0", struct.pack(">i", 50 * MIB), struct.pack(">ihh", 50 * MIB, 0, 9) + b"\0" * 60_000][number % 3]
            connection.sendall(begun)
            sent += len(begun)
            half_open.append(connection)
        at_rest(cx)
        grown = cx.broker.resident_bytes() - before
        print(f"{HALF_OPEN} half-open connections: {grown // HALF_OPEN} bytes each, of which {sent // HALF_OPEN} were sent")
        assert grown < sent + HALF_OPEN * HALF_OPEN_BYTES_EACH + 8 * MIB, f"{HALF_OPEN} half-open connections hold {grown // 1024} KiB"
        watch.undisturbed()
        for connection in idle + half_open:
            connection.close()
    eventually(lambda: open_files(cx.broker.pid) < 200, "descriptors are given back", timeout_s=60)
    at_rest(cx)


@case(fresh=True, only_chronik=True, timeout_s=300)
def half_open_requests_that_hold_all_memory(cx):
    """Hundreds of large requests that were begun and never end take what memory requests may hold; whoever goes on gets it."""
    broker = cx.use(cx.new_broker("small", limits={"request_memory": "64MiB"}).start())
    topic = cx.topic()
    begun = []
    with Watch(cx):
        for number in range(HALF_OPEN):
            connection = knock(broker.port, number)
            connection.setblocking(False)
            try:
                connection.send(struct.pack(">ihh", 50 * MIB, 0, 9) + b"\0" * 4 * MIB)
            except BlockingIOError:
                pass
            begun.append(connection)
        large = wire.produce_body(topic, 0, wire.batch([os.urandom(900_000)]))
        # Whoever is closed for want of memory comes again, as clients do.
        eventually(lambda: takes(broker.port, large), "a large request is taken", timeout_s=30)
    for connection in begun:
        connection.close()


def takes(port, body):
    """Whether a produce request with this body is taken."""
    with Connection(port, timeout_s=60) as connection:
        try:
            return wire.produce_error(connection.request(wire.PRODUCE, 3, body))[0] == 0
        except (ConnectionError, EOFError):
            return False


@case(fresh=True, timeout_s=900)
def connection_churn(cx):
    """Connections that come and go in every manner, in the middle of everything; afterwards the broker is at rest."""
    topic = cx.topic()
    fetch = frame(header(wire.FETCH, 4, 1) + wire.fetch_body(topic, 0, 0, max_wait_ms=20_000, min_bytes=1))
    ways = [
        (b"", "close"), (b"", "reset"), (frame(header(wire.API_VERSIONS, 0, 1)), "close"), (frame(header(wire.API_VERSIONS, 0, 1)), "reset"),
        (fetch, "close"), (fetch, "reset"), (fetch, "half"), (fetch[:20], "close"), (fetch[:20], "half"),
        (frame(header(wire.API_VERSIONS, 0, 1)) * 20, "half"), (struct.pack(">i", 40 * MIB) + b"\0\0\0\3" + b"x" * 5000, "reset"),
    ]
    with Watch(cx) as watch:
        for number in range(CHURN):
            said, end = ways[number % len(ways)]
            connection = knock(cx.port, number)
            connection.sendall(said)
            if end == "half":
                connection.shutdown(socket.SHUT_WR)
            if end == "reset" or number % 3:
                # Without this, a port waits a minute for whatever may still come.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        at_rest(cx)
        watch.undisturbed()
    eventually(lambda: open_files(cx.broker.pid) < 200, "descriptors are given back", timeout_s=60)


@case(fresh=True, timeout_s=300)
def a_closed_socket_spins_no_core(cx):
    """Peers that end their side, or vanish, while the broker waits for them or for something else, and a client that
    keeps its descriptors open all the while."""
    topic = cx.topic()
    produce_all(cx.producer(), topic, [(None, os.urandom(100_000)) for _ in range(100)], partition=0)
    waits = frame(header(wire.FETCH, 4, 1) + wire.fetch_body(topic, 0, 100, max_wait_ms=60_000, min_bytes=1))
    much = frame(header(wire.FETCH, 4, 1) + wire.fetch_body(topic, 0, 0, max_bytes=9 * MIB))
    states = {
        "said nothing": b"", "half a length": b"\0\0", "half a frame": waits[:15], "waits for records": waits,
        "waits, and said more": waits + waits[:10], "waits, and asked again": waits * 3, "does not read": much * 10,
    }
    for state, said in states.items():
        kept = []
        for number in range(50):
            connection = knock(cx.port, number)
            connection.setblocking(False)
            connection.send(said)
            if state == "does not read":
                time.sleep(0.01)
            connection.shutdown(socket.SHUT_WR)
            kept.append(connection)
        at_rest(cx, state)
        for connection in kept:
            connection.close()
        at_rest(cx, f"{state}, and went")


@case(fresh=True, timeout_s=300)
def slow_readers(cx):
    """Readers that take a few bytes now and then get all that they asked for; they hold bounded memory, and keep nobody waiting."""
    topic = cx.topic()
    value = os.urandom(50_000)
    produce_all(cx.producer(), topic, [(None, value) for _ in range(100)], partition=0)
    request = frame(header(wire.FETCH, 4, 1) + wire.fetch_body(topic, 0, 0, max_bytes=4 * MIB))
    with Watch(cx) as watch:
        readers = {}
        for number in range(SLOW_READERS):
            connection = knock(cx.port, number, receive_bytes=4096)
            connection.sendall(request)
            readers[connection] = 0
        for _ in range(100):
            time.sleep(0.05)
            for connection in readers:
                readers[connection] += len(connection.recv(2000))
        watch.undisturbed()
        # And now they hurry.
        wanted = min(readers, key=readers.get)
        length = None
        waiting = set(readers)
        answers = dict.fromkeys(readers, 0)
        deadline = time.monotonic() + 120
        while waiting and time.monotonic() < deadline:
            readable, _, _ = select.select(list(waiting)[:500], [], [], 1)
            for connection in readable:
                answers[connection] += len(connection.recv(1 << 20))
                total = readers[connection] + answers[connection]
                if connection is wanted and length is None:
                    length = total
                if total > 3 * MIB:
                    waiting.discard(connection)
        assert not waiting, f"{len(waiting)} readers got less than they asked for"
        watch.undisturbed()
        for connection in readers:
            connection.close()


@case(fresh=True, timeout_s=300)
def pipelines_in_pieces_are_answered_in_order(cx):
    """Requests of all kinds behind one another, cut anywhere: every answer comes, in order, and is the one to its question."""
    topic = cx.topic()
    dice = random.Random(7)
    with Watch(cx) as watch:
        for number in range(PIPELINES):
            pipeline(cx.port, topic, dice, number)
        watch.undisturbed()


def pipeline(port, topic, dice, number):
    questions = []
    for correlation_id in range(1, dice.randint(50, 400)):
        questions.append((correlation_id, dice.choice(("versions", "metadata", "produce", "produce", "fetch"))))
    said = b"".join(question(kind, topic, correlation_id) for correlation_id, kind in questions)
    with Connection(port, timeout_s=60) as connection:
        answers = []
        connection.socket.setblocking(False)
        received = bytearray()
        while len(answers) < len(questions):
            readable, writable, _ = select.select([connection.socket], [connection.socket] if said else [], [], 60)
            assert readable or writable, f"pipeline {number}: nothing more after {len(answers)} of {len(questions)} answers"
            if writable:
                sent = connection.socket.send(said[: dice.choice((1, 3, 50, 1000, 70_000))])
                said = said[sent:]
            if readable:
                piece = connection.socket.recv(1 << 20)
                assert piece, f"pipeline {number}: closed after {len(answers)} of {len(questions)} answers"
                received += piece
                while len(received) >= 4 and len(received) >= 4 + int.from_bytes(received[:4], "big"):
                    length = int.from_bytes(received[:4], "big")
                    answers.append(bytes(received[4 : 4 + length]))
                    del received[: 4 + length]
    last_offset = -1
    for (correlation_id, kind), answer in zip(questions, answers):
        equal(struct.unpack_from(">i", answer)[0], correlation_id, f"pipeline {number}: the correlation id of {kind}")
        body = answer[4:]
        match kind:
            case "versions":
                equal(struct.unpack_from(">h", body)[0], 0, "error code")
            case "metadata" | "fetch":
                assert topic.encode() in body
            case "produce":
                error, offset = wire.produce_error(body)
                equal(error, 0, "error code")
                assert offset > last_offset, f"offset {offset} after {last_offset}"
                last_offset = offset


def question(kind, topic, correlation_id):
    key, version, body = {
        "versions": (wire.API_VERSIONS, 0, b""),
        "metadata": (wire.METADATA, 1, struct.pack(">i", 1) + string(topic)),
        "produce": (wire.PRODUCE, 3, wire.produce_body(topic, 0, wire.batch([b"%d" % correlation_id]))),
        "fetch": (wire.FETCH, 4, wire.fetch_body(topic, 0, 0, max_bytes=1000)),
    }[kind]
    return frame(header(key, version, correlation_id) + body)


def knock(port, number, receive_bytes=None):
    """A connection of its own source address now and then: one address has too few ports for all."""
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.bind((f"127.0.0.{2 + number % 50}", 0))
    connection.settimeout(30)
    connection.connect(("127.0.0.1", port))
    return connection


def assert_answers(connection):
    connection.sendall(frame(header(wire.API_VERSIONS, 0, 5)))
    equal(struct.unpack(">ii", connection.recv(8))[1], 5, "correlation id")
    connection.recv(65536)


def at_rest(cx, what="the broker"):
    def little():
        before, started = cx.broker.cpu_seconds(), time.monotonic()
        time.sleep(2)
        return (cx.broker.cpu_seconds() - before) / (time.monotonic() - started) < (REST_CORES if cx.against == "chronik" else 0.5)

    eventually(little, f"the broker comes to rest: {what}", timeout_s=40)


def raise_descriptor_limit(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(wanted, soft), hard), hard))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= wanted, f"{wanted} descriptors are needed"
