"""The files of stopped nodes: the record batches of a topic's partitions, as they lie there."""

import struct
from pathlib import Path


def batches(node, topic, topic_id, partition):
    """[(base offset, bytes)] of a partition on the disk of a node that was stopped in good order."""
    found = []
    for segment in sorted(directory(node, topic, topic_id, partition).glob("*.log")):
        raw = segment.read_bytes()
        at = 0
        while at + 61 <= len(raw):
            base_offset, length = struct.unpack_from(">qi", raw, at)
            # Files are grown ahead; behind the last batch there is nothing.
            if length <= 0:
                break
            found.append((base_offset, raw[at : at + 12 + length]))
            at += 12 + length
    return found


def directory(node, topic, topic_id, partition):
    if node.kind == "kafka":
        return Path(node.data_dir) / f"{topic}-{partition}"
    return Path(node.data_dir) / "topics" / in_hexadecimal(topic_id) / str(partition)


def in_hexadecimal(topic_id):
    """Clients hold the two halves of an id as signed numbers."""
    halves = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    return "".join(f"{half % (1 << 64):016x}" for half in halves)


def compare(logs):
    """Finds where the logs of one partition differ. `logs`: batches by node. What one has further than another is no
    difference: it may have been the last to hear of it."""
    findings = []
    (first, reference), *others = sorted(logs.items(), key=lambda item: -len(item[1]))
    for node, log in others:
        for number, (mine, theirs) in enumerate(zip(reference, log)):
            if mine != theirs:
                findings.append(
                    f"batch {number}: node {first} has offset {mine[0]}, {len(mine[1])} bytes {head(mine[1])}, "
                    f"node {node} has offset {theirs[0]}, {len(theirs[1])} bytes {head(theirs[1])}"
                )
                break
    return findings


def head(batch):
    epoch, _, crc = struct.unpack_from(">ibI", batch, 12)
    return f"of epoch {epoch} with checksum {crc:08x}"
