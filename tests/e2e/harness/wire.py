"""Kafka's bytes by hand: enough to speak to a broker without a client between, and to speak badly to it."""

import socket
import struct
import zlib
from dataclasses import dataclass

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, CREATE_TOPICS, DESCRIBE_QUORUM = 0, 1, 2, 3, 18, 19, 55
CLIENT_ID = "raw"


def serves(port):
    """Whether a broker on this port answers and knows itself as a member of its cluster."""
    try:
        with Connection(port, timeout_s=2) as connection:
            # Metadata v1 for no topics: an array of brokers comes first.
            answer = connection.request(METADATA, 1, struct.pack(">i", 0))
            return struct.unpack(">i", answer[:4])[0] >= 1
    except (OSError, EOFError):
        return False


@dataclass
class Metadata:
    """What one node knows: the numbers of the brokers, and of each topic asked for its error and partitions."""

    brokers: list
    topics: dict


@dataclass
class PartitionMetadata:
    error: int
    leader: int
    replicas: list
    in_sync: list


def metadata(port, topics=(), timeout_s=5):
    """Asks this node, and no other (Metadata v4, which can be told to create nothing)."""
    names = b"".join(string(topic) for topic in topics)
    with Connection(port, timeout_s) as connection:
        answer = Reader(connection.request(METADATA, 4, struct.pack(">i", len(topics)) + names + b"\0"))
    answer.int32()
    brokers = answer.array(lambda: (answer.int32(), answer.string(), answer.int32(), answer.string())[0])
    answer.string()
    answer.int32()

    def partition():
        error, index = answer.int16(), answer.int32()
        return index, PartitionMetadata(error, answer.int32(), answer.array(answer.int32), answer.array(answer.int32))

    def topic():
        error, name = answer.int16(), answer.string()
        answer.int8()
        return name, (error, dict(answer.array(partition)))

    return Metadata(brokers, dict(answer.array(topic)))


def create_topic(port, name, partitions, replication_factor, timeout_s=30):
    """CreateTopics v2 to this node; the error code."""
    body = struct.pack(">i", 1) + string(name) + struct.pack(">ihii", partitions, replication_factor, 0, 0)
    with Connection(port, timeout_s) as connection:
        answer = Reader(connection.request(CREATE_TOPICS, 2, body + struct.pack(">ib", timeout_s * 1000, 0)))
    answer.int32()
    return answer.array(lambda: (answer.string(), answer.int16(), answer.string())[1])[0]


def metadata_leader(port, timeout_s=5):
    """The node that leads the metadata's Raft group, as this one knows it; none while nobody does."""
    return metadata_quorum(port, timeout_s)[0]


def metadata_quorum(port, timeout_s=5):
    """Who leads the metadata's Raft group, as this node knows it, and in which epoch (DescribeQuorum v0); none while nobody does."""
    topic = uvarint(2) + compact_string("__cluster_metadata") + uvarint(2) + struct.pack(">i", 0) + b"\0\0"
    with Connection(port, timeout_s) as connection:
        connection.correlation_id += 1
        connection.send(frame(header(DESCRIBE_QUORUM, 0, connection.correlation_id) + b"\0" + topic + b"\0"))
        answer = Reader(connection.answer())
    answer.int8()
    if answer.int16() != 0 or answer.uvarint() < 2:
        return None, None
    answer.bytes(answer.uvarint() - 1)
    if answer.uvarint() < 2:
        return None, None
    answer.int32()
    error, leader, epoch = answer.int16(), answer.int32(), answer.int32()
    return (leader, epoch) if error == 0 and leader >= 0 else (None, None)


class Reader:
    """Kafka's types, one after the other."""

    def __init__(self, raw):
        self.raw = raw
        self.position = 0

    def bytes(self, count):
        self.position += count
        return self.raw[self.position - count : self.position]

    def int8(self):
        return struct.unpack(">b", self.bytes(1))[0]

    def int16(self):
        return struct.unpack(">h", self.bytes(2))[0]

    def int32(self):
        return struct.unpack(">i", self.bytes(4))[0]

    def int64(self):
        return struct.unpack(">q", self.bytes(8))[0]

    def uvarint(self):
        value, shift = 0, 0
        while True:
            byte = self.bytes(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def string(self):
        length = self.int16()
        return None if length < 0 else self.bytes(length).decode()

    def array(self, element):
        return [element() for _ in range(self.int32())]


def string(text):
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack(">h", len(raw)) + raw


def compact_string(text):
    raw = text.encode()
    return uvarint(len(raw) + 1) + raw


def uvarint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def varint(number):
    return uvarint((number << 1) ^ (number >> 63) if number < 0 else number << 1)


def header(key, version, correlation_id, client_id=CLIENT_ID):
    """Request header v1."""
    return struct.pack(">hhi", key, version, correlation_id) + string(client_id)


def frame(body):
    return struct.pack(">i", len(body)) + body


class Connection:
    """One socket to a broker."""

    def __init__(self, port, timeout_s=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def request(self, key, version, body):
        """Sends one request with header v1; the answer's body, without its header v0."""
        self.send_request(key, version, body)
        return self.answer()

    def send_request(self, key, version, body):
        self.correlation_id += 1
        self.send(frame(header(key, version, self.correlation_id) + body))

    def answer(self):
        """The next response, without its correlation id."""
        correlation_id, body = self.response()
        assert correlation_id == self.correlation_id, (correlation_id, self.correlation_id)
        return body

    def response(self):
        length = struct.unpack(">i", self.read(4))[0]
        raw = self.read(length)
        return struct.unpack(">i", raw[:4])[0], raw[4:]

    def read(self, count):
        raw = b""
        while len(raw) < count:
            piece = self.socket.recv(count - len(raw))
            if not piece:
                raise EOFError("connection closed")
            raw += piece
        return raw

    def closed_by_peer(self, timeout_s=15):
        """Waits for the other side to hang up; bytes that still come are dropped."""
        self.socket.settimeout(timeout_s)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False


def produce_body(topic, partition, records, acks=-1, timeout_ms=10_000):
    """Produce v3: one batch for one partition."""
    return (
        struct.pack(">hhi", -1, acks, timeout_ms)
        + struct.pack(">i", 1)
        + string(topic)
        + struct.pack(">ii", 1, partition)
        + struct.pack(">i", len(records))
        + records
    )


def produce_error(answer):
    """Error code and base offset out of a Produce v3 answer to one batch."""
    topic_length = struct.unpack_from(">h", answer, 4)[0]
    at = 4 + 2 + topic_length + 4
    _, error, base_offset = struct.unpack_from(">ihq", answer, at)
    return error, base_offset


def fetch_body(topic, partition, offset, max_bytes=1 << 20, max_wait_ms=0, min_bytes=0):
    """Fetch v4 of one partition."""
    return (
        struct.pack(">iiiib", -1, max_wait_ms, min_bytes, max_bytes, 0)
        + struct.pack(">i", 1)
        + string(topic)
        + struct.pack(">iiqi", 1, partition, offset, max_bytes)
    )


def fetch_from_replica(port, topic, partition, offset, max_bytes=8 << 20):
    """What this node has of a partition from an offset on, whether it leads or follows (Fetch v11, KIP-392): error, high watermark,
    and batches."""
    body = (
        struct.pack(">iiiib", -1, 0, 0, max_bytes, 0)
        + struct.pack(">ii", 0, -1)
        + struct.pack(">i", 1)
        + string(topic)
        + struct.pack(">iiiqqi", 1, partition, -1, offset, -1, max_bytes)
        + struct.pack(">i", 0)
        + string("")
    )
    with Connection(port) as connection:
        answer = Reader(connection.request(FETCH, 11, body))
    answer.int32()
    error = answer.int16()
    assert error == 0, f"a fetch is answered with error {error}"
    answer.bytes(4 + 4)
    answer.string()
    answer.bytes(4 + 4)
    error, high_watermark = answer.int16(), answer.int64()
    answer.bytes(8 + 8)
    answer.bytes(16 * max(0, answer.int32()))
    answer.int32()
    return error, high_watermark, answer.bytes(max(0, answer.int32()))


def batch(values, *, producer_id=-1, producer_epoch=-1, base_sequence=-1, attributes=0, timestamp_ms=1_700_000_000_000,
          payload=None, count=None, magic=2, crc=None, base_offset=0, length=None, last_offset_delta=None):
    """A record batch v2. `payload` puts other bytes where the records belong; the rest overrides what is derived."""
    count = len(values) if count is None else count
    records = b"".join(record(index, value) for index, value in enumerate(values)) if payload is None else payload
    checked = struct.pack(
        ">hiqqqhii",
        attributes,
        count - 1 if last_offset_delta is None else last_offset_delta,
        timestamp_ms,
        timestamp_ms,
        producer_id,
        producer_epoch,
        base_sequence,
        count,
    ) + records
    crc = crc32c(checked) if crc is None else crc
    length = 4 + 1 + 4 + len(checked) if length is None else length
    return struct.pack(">qiibI", base_offset, length, -1, magic, crc) + checked


def record(offset_delta, value):
    body = b"\0" + varint(0) + varint(offset_delta) + varint(-1) + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def _crc32c_table():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc32c_table()


def crc32c(raw):
    crc = 0xFFFFFFFF
    for byte in raw:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def gzip_payload(raw):
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return compressor.compress(raw) + compressor.flush()
