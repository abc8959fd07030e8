"""Who knocks at the ports between nodes and does not belong there costs one connection, and nobody else notices."""

import random
import shutil
import socket
import struct
import time

from harness import wire
from harness.context import equal, eventually
from harness.registry import case

# What an HTTP/2 client says first.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@case(nodes=3, only_chronik=True, timeout_s=120)
def garbage_at_the_ports_between_nodes(cx):
    dice = random.Random(7)
    topic = cx.name()
    equal(wire.create_topic(cx.cluster[1].port, topic, 3, 3), 0)
    leader = cx.cluster.metadata_leader()
    openings = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 4096,
        PREFACE,
        PREFACE + struct.pack(">I", 0xFFFFFF00) + b"\xff" * 64,
        PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x40\x00\x01\x05\x00\x00\x00\x01" + b"\x82" * 0x4000,
        b"\x57\x41" + b"\xff" * 60,
        b"\x48\x42" + b"\x00" * 60,
        b"\x57\x41\x00\x01" + struct.pack(">I", 0x7FFFFFFF) + b"x" * 100,
    ]
    kept = []
    for node in cx.cluster.nodes:
        for port in (node.wal_port, node.raft_port):
            for first in openings + [dice.randbytes(dice.randint(1, 3000)) for _ in range(20)]:
                try:
                    knock(port, first)
                except OSError:
                    pass  # closed before all was said: that is what is wanted
            # And some that say nothing at all, and stay.
            kept += [socket.create_connection(("127.0.0.1", port), 5) for _ in range(20)]
    for number in range(3):
        equal(wire.create_topic(cx.cluster[number + 1].port, cx.name(f"after-{number}"), 3, 3), 0)
    equal(cx.cluster.metadata_leader().node_id, leader.node_id, "who leads the metadata")
    cx.cluster.wait_in_sync(topic)
    equal([node.running() for node in cx.cluster.nodes], [True] * 3)
    for connection in kept:
        connection.close()


def knock(port, first):
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(0.2)
        connection.sendall(first)
        try:
            while connection.recv(65536):
                pass
        except TimeoutError:
            pass


@case(nodes=3, only_chronik=True, timeout_s=120)
def a_node_with_a_new_disk_is_not_taken_for_the_old_one(cx):
    """It has forgotten what it promised: it waits, says why, and the two others go on."""
    topic = cx.name()
    equal(wire.create_topic(cx.cluster[1].port, topic, 3, 3), 0)
    cx.cluster.wait_in_sync(topic)
    lost = cx.cluster[3]
    lost.kill()
    shutil.rmtree(lost.data_dir)
    lost.launch()
    reason = "does not know this data directory"
    eventually(lambda: reason in lost.log_path.read_text(), "it says why it waits", timeout_s=30)
    equal(wire.create_topic(cx.cluster[1].port, cx.name("meanwhile"), 3, 2), 0)
    time.sleep(1)
    equal(wire.serves(lost.port), False, "it serves clients")


@case(nodes=3, only_chronik=True, timeout_s=120)
def a_node_whose_log_is_gone_does_not_come_back_empty(cx):
    """A file system that is not mounted: the others count on this node to have what it has confirmed, so it says no. With its log
    back it goes on."""
    topic = cx.name()
    equal(wire.create_topic(cx.cluster[1].port, topic, 3, 3), 0)
    cx.cluster.wait_in_sync(topic)
    lost = cx.cluster[3]
    lost.kill()
    away = lost.data_dir.with_name("away")
    away.mkdir()
    for name in ("wal", "topics", "checkpoint"):
        (lost.data_dir / name).rename(away / name)
    lost.launch()
    equal(lost.process.wait(30), 1, "its exit code")
    said = lost.log_path.read_text()
    assert "its log is gone" in said and "fix   mount or restore what is missing" in said, said[-2000:]
    equal(wire.create_topic(cx.cluster[1].port, cx.name("meanwhile"), 3, 2), 0)
    for path in away.iterdir():
        path.rename(lost.data_dir / path.name)
    lost.start()
    cx.cluster.wait_in_sync(topic)


@case(nodes=3, only_chronik=True, timeout_s=120)
def a_node_of_another_cluster_stays_outside(cx):
    """A directory that has belonged to a cluster of its own is not taken into this one."""
    own = cx.cluster[3]
    own.stop()
    properties = own.data_dir / "node.properties"
    text = properties.read_text()
    cluster_id = next(line for line in text.splitlines() if line.startswith("cluster.id="))
    properties.write_text(text.replace(cluster_id, "cluster.id=AAAAAAAAAAAAAAAAAAAAAA"))
    own.launch()
    equal(own.process.wait(30), 1, "its exit code")
    said = own.log_path.read_text()
    assert "belong to another cluster" in said and "AAAAAAAAAAAAAAAAAAAAAA" in said, said[-2000:]
    equal(wire.create_topic(cx.cluster[1].port, cx.name(), 3, 2), 0)


@case(nodes=3, only_chronik=True, timeout_s=120)
def nodes_that_mean_different_clusters_found_none(cx):
    """The file of one of three leaves another out: it would found a cluster of two, into which the second would follow. Each says who
    differs; with the right file the cluster begins."""
    cluster = cx.new_cluster()
    wrong, whole = cluster[3], cluster[3].nodes
    right_settings = wrong.settings
    wrong.nodes = [cluster[1], wrong]
    wrong.settings = {**right_settings, "default.replication.factor": "2", "min.insync.replicas": "1"}
    for node in cluster.nodes:
        node.prepare()
        node.launch()
    said = "has [[peers]] [1, 3] in its configuration, and this node [1, 2, 3]"
    eventually(lambda: f"node 3 at 127.0.0.1:{wrong.raft_port} {said}" in cluster[1].log_path.read_text(), "node 1 names both sides")
    said = "has [[peers]] [1, 2, 3] in its configuration, and this node [1, 3]"
    eventually(lambda: f"node 1 at 127.0.0.1:{cluster[1].raft_port} {said}" in wrong.log_path.read_text(), "and so does node 3")
    equal([wire.serves(node.port) for node in cluster.nodes], [False] * 3, "who serves")
    wrong.stop()
    wrong.nodes, wrong.settings = whole, right_settings
    wrong.prepare()
    wrong.launch()
    for node in cluster.nodes:
        node.wait_until_ready()
    cluster.wait_for_nodes()
