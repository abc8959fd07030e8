"""Scripted conversations in exact versions of the protocol, held against what Apache Kafka answered.

A conversation is a list of requests, each encoded by kafka-python's protocol classes in a version of its own. What is
answered is written down one line each: fields in order, lists sorted (Kafka's own order is that of a hash table), member
ids numbered per client. `answers/<name>.txt` holds what Apache Kafka 4.3.0 said; `E2E_RECORD=1 … --against kafka` writes
it anew.
"""

import json
import os
import re
import socket
import struct
import time
from pathlib import Path

ANSWERS = Path(__file__).resolve().parents[1] / "answers"
UUID = re.compile(r"([A-Za-z0-9]+)-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
# What only one run can have, and words, which are each server's own.
VARYING = {"throttle_time_ms", "error_message", "host", "port", "topic_id"}
# The group is being read, or its topic is being made: clients ask again.
NOT_YET = re.compile(r'"error_code": (14|15|16)\b')


class Conversation:
    def __init__(self, name, port):
        self.name = name
        self.port = port
        self.lines = []
        self.numbers = {}
        self.connections = {}

    def connection(self, client="c"):
        """The connection of the client of this name."""
        if client not in self.connections:
            self.connections[client] = Connection(self.port, client)
        return self.connections[client]

    def reconnect(self):
        """After a restart."""
        self.connections.clear()

    def ask(self, what, request, version, client="c"):
        """Asks, again while the group cannot be asked yet, and writes the answer down."""
        for _ in range(200):
            answer = self.connection(client).call(request, version)
            if not NOT_YET.search(json.dumps(answer, default=str)):
                break
            time.sleep(0.1)
        return self.say(what, answer)

    def send(self, request, version, client):
        """Asks without waiting for the answer."""
        self.connection(client).send(request, version)

    def hear(self, what, client, timeout_s=15):
        """The answer to what was sent."""
        return self.say(what, self.connection(client).receive(timeout_s))

    def say(self, what, answer):
        self.lines.append(f"{what}: {self.normal(answer)}")
        return answer

    def normal(self, answer):
        text = json.dumps(ordered(answer), default=as_text, sort_keys=True)
        return UUID.sub(self.number, text)

    def number(self, found):
        client, uuid = found.groups()
        known = self.numbers.setdefault(client, {})
        return f"{client}#{known.setdefault(uuid, len(known) + 1)}"

    def check(self):
        """Compares with what Kafka said."""
        path = ANSWERS / f"{self.name}.txt"
        if os.environ.get("E2E_RECORD"):
            path.write_text("\n".join(self.lines) + "\n")
        expected = path.read_text().splitlines()
        differing = [f"  Kafka   {kafka}\n  here    {here}" for kafka, here in zip(expected, self.lines) if kafka != here]
        assert not differing, f"{len(differing)} answers differ:\n" + "\n".join(differing[:20])
        assert len(expected) == len(self.lines), f"{len(self.lines)} answers instead of {len(expected)}"


class Connection:
    """Requests out, answers in, in the versions asked for."""

    def __init__(self, port, client):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.client = client
        self.sent = 0
        self.open = []

    def send(self, request, version):
        self.sent += 1
        request.API_VERSION = version
        request.with_header(self.sent, self.client)
        self.socket.sendall(bytes(request.encode(version=version, header=True, framed=True)))
        self.open.append((type(request), version))

    def receive(self, timeout_s=15):
        self.socket.settimeout(timeout_s)
        request, version = self.open.pop(0)
        length = struct.unpack(">i", self.read(4))[0]
        return response_of(request).decode(self.read(length), version=version, header=True).to_dict()

    def call(self, request, version):
        self.send(request, version)
        return self.receive()

    def read(self, count):
        found = b""
        while len(found) < count:
            piece = self.socket.recv(count - len(found))
            assert piece, "the connection was closed"
            found += piece
        return found


def response_of(request):
    module = __import__(request.__module__, fromlist=["x"])
    return getattr(module, request.__name__.replace("Request", "Response"))


def ordered(value):
    if isinstance(value, dict):
        return {name: ordered(part) for name, part in value.items() if name not in VARYING}
    if isinstance(value, list):
        # Where ids are equal but for their random part, they sort by what else is said.
        return sorted((ordered(part) for part in value), key=lambda part: UUID.sub(r"\1", json.dumps(part, default=as_text, sort_keys=True)))
    return value


def as_text(value):
    return bytes(value).hex() if isinstance(value, (bytes, bytearray, memoryview)) else str(value)
