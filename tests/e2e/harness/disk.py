"""The files of stopped nodes: the record batches of a topic's partitions, as they lie there."""

import struct
from pathlib import Path

# Of a record batch, before its records.
HEADER_BYTES = 61


def batches(node, topic, topic_id, partition):
    """[(base offset, bytes)] of a partition on the disk of a node that was stopped in good order."""
    found = []
    for segment in sorted(directory(node, topic, topic_id, partition).glob("*.log")):
        found += split(segment.read_bytes())
    return found


def split(raw):
    """Batches that lie one behind the other: (base offset, bytes) of each that is whole."""
    at = 0
    while at + HEADER_BYTES <= len(raw):
        base_offset, length = struct.unpack_from(">qi", raw, at)
        # Files are grown ahead; behind the last batch there is nothing.
        if length <= 0 or at + 12 + length > len(raw):
            break
        yield base_offset, raw[at : at + 12 + length]
        at += 12 + length


def end_of(batch):
    """The offset behind a batch."""
    base_offset, raw = batch
    return base_offset + struct.unpack_from(">i", raw, 23)[0] + 1


def stopped(cx, topic, partitions):
    """Stops the nodes of a cluster in good order, and compares what they have of a topic, batch for batch. All of its replicas
    have to be in sync."""
    wanted = topic_id(cx, topic)
    cx.cluster.wait_in_sync(topic)
    cx.cluster.stop()
    return on_disks(cx.cluster, topic, wanted, partitions)


def topic_id(cx, topic):
    from confluent_kafka import TopicCollection
    from confluent_kafka.admin import AdminClient

    # Not the case's own, whose connections may have seen nodes die.
    admin = AdminClient({"bootstrap.servers": cx.bootstrap})
    return admin.describe_topics(TopicCollection([topic]))[topic].result(30).topic_id


def on_disks(cluster, topic, topic_id, partitions):
    """Compares what stopped nodes that were all in sync have of a topic."""
    findings = []
    for partition in range(partitions):
        logs = {node.node_id: batches(node, topic, topic_id, partition) for node in cluster.nodes}
        if not all(logs.values()):
            findings.append(f"partition {partition}: nothing on the disks of some: { {node: len(log) for node, log in logs.items()} }")
            continue
        findings += [f"partition {partition}: {finding}" for finding in compare(logs)]
        ends = {node: log[-1][0] for node, log in logs.items()}
        if len(set(ends.values())) > 1:
            findings.append(f"partition {partition}: all were in sync, and their last batches are {ends}")
    return findings


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
