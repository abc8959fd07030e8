"""The messages of the protocol by name, and a connection that speaks them in any version."""

import importlib
import pkgutil
import socket
import struct

import kafka.protocol
from kafka.protocol.api_message import ApiMessage


def _classes():
    """Every request and response that kafka-python has, made from Kafka's own schemas."""
    for module in pkgutil.walk_packages(kafka.protocol.__path__, "kafka.protocol."):
        if ".old" not in module.name and "generate" not in module.name:
            importlib.import_module(module.name)
    found, waiting = {}, [ApiMessage]
    while waiting:
        for child in waiting.pop().__subclasses__():
            waiting.append(child)
            if getattr(child, "_json", None) and getattr(child, "_class_version", None) is None:
                found[child.__name__] = child
    return found


CLASSES = _classes()
REQUESTS = {cls.API_KEY: name.removesuffix("Request") for name, cls in CLASSES.items() if name.endswith("Request")}


class Closed(Exception):
    """The other side hung up instead of answering."""


class Connection:
    """Requests out, answers in. After it was closed, the next request opens it anew."""

    CLIENT_ID = "differ"

    def __init__(self, port):
        self.port = port
        self.socket = None
        self.sent = 0

    def ask(self, api, version, fields, answered=True, timeout_s=30):
        """The answer as a dict; None where none is `answered`."""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.settimeout(timeout_s)
        try:
            self.sent += 1
            self.socket.sendall(self.encoded(api, version, fields))
            return self.answer(api, version) if answered else None
        except (ConnectionError, Closed) as error:
            self.close()
            raise Closed from error

    def encoded(self, api, version, fields):
        cls = CLASSES[f"{api}Request"]
        flexible = cls.flexible_version_q(version)
        request = cls(version=version)
        request.with_header(self.sent, self.CLIENT_ID)
        body = cls._struct.encode(complete(cls._struct, version, fields), version=version, compact=flexible, tagged=flexible)
        raw = request.encode_header(flexible=flexible) + body
        return struct.pack(">i", len(raw)) + raw

    def answer(self, api, version):
        length = struct.unpack(">i", self.read(4))[0]
        raw = self.read(length)
        assert struct.unpack(">i", raw[:4])[0] == self.sent, "an answer to another question"
        try:
            # Not by the class's own method: that of ApiVersions takes every error for one about the version.
            return ApiMessage.decode.__func__(CLASSES[f"{api}Response"], raw, version=version, header=True).to_dict(json=False)
        except Exception as error:
            raise AssertionError(f"the answer to {api} v{version} from port {self.port} is none: {raw.hex()}") from error

    def read(self, count):
        found = b""
        while len(found) < count:
            piece = self.socket.recv(count - len(found))
            if not piece:
                raise Closed
            found += piece
        return found

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def complete(struct_field, version, fields):
    """All fields that the message, or the part of one, has in this version; those that are not given have their defaults."""
    values = {}
    for field in struct_field.untagged_fields(version):
        value = fields.get(field.name, field.default if not field.is_struct() else None)
        if field.is_struct_array() and value is not None:
            value = [complete(field.array_of, version, part) for part in value]
        elif field.is_struct() and value is not None:
            value = complete(field, version, value)
        values[field.name] = value
    return values
