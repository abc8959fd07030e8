"""Nodes of a cluster die, stand still and come back while records flow: what was acknowledged is there, once, in order, at
the offset that was told, on the disk of every node; and who is left goes on serving."""

import time

from harness import wire
from harness.cluster import SESSION_TIMEOUT_MS
from harness.context import equal
from harness.registry import case
from harness.stage import PARTITIONS, with_flow

# More than was on its way when something happened.
MANY = 1000

NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT = 19, 20, 7
NOT_LEADER_OR_FOLLOWER, LEADER_NOT_AVAILABLE = 6, 5


@case(nodes=3, timeout_s=300)
def one_node_after_the_other_is_killed(cx):
    with_flow(cx, lambda stage: [kill(stage, node) for node in (stage.leader(), stage.metadata_leader(), stage.next())])


@case(nodes=3, timeout_s=300)
def one_node_after_the_other_stands_still(cx):
    """One that stands still does not know that others lead meanwhile: it wakes up and finds its epoch gone."""

    def faults(stage):
        for node in (stage.leader(), stage.metadata_leader()):
            pause(stage, node)
        # Shorter than it takes to be given up.
        for node in (stage.leader(), stage.metadata_leader(), stage.next()):
            node.pause()
            time.sleep(0.3)
            node.resume()
            stage.flow.progress()

    with_flow(cx, faults)


@case(nodes=3, timeout_s=300)
def one_node_after_the_other_is_restarted(cx):
    """Asked to stop, a node hands on what it leads: no client hears of an error that it could not repeat over."""

    def faults(stage):
        for node in (stage.leader(), stage.metadata_leader(), stage.next()):
            equal(node.stop(), cx.cluster.stopped_with, f"node {node.node_id} stopped")
            stage.flow.progress(MANY, what=f"without node {node.node_id} records are acknowledged")
            stage.back(node)

    with_flow(cx, faults)


@case(nodes=3, timeout_s=300)
def all_nodes_are_killed_at_once(cx):
    def faults(stage):
        for back in (1, 2, 3), (3, 1, 2):
            stage.flow.progress(200)
            for node in cx.cluster.nodes:
                node.process.kill()
            for node in cx.cluster.nodes:
                node.kill()
            for number in back:
                cx.cluster[number].launch()
            for node in cx.cluster.nodes:
                node.wait_until_ready()
            stage.flow.progress(what="after all came back, records are acknowledged")
            cx.cluster.wait_in_sync(stage.topic)

    with_flow(cx, faults)


@case(nodes=3, timeout_s=300)
def two_of_three_are_dead(cx):
    """Nothing is acknowledged by the one that is left, and nothing is wrong when the others are back."""

    def faults(stage):
        left = stage.next()
        others = cx.cluster.others(left)
        for node in others:
            node.kill()
        # What was on its way is answered; then nothing more is.
        time.sleep(SESSION_TIMEOUT_MS / 1000 + 1)
        before = len(stage.flow.acked)
        records = wire.batch([b"alone"])
        for partition in range(PARTITIONS):
            with wire.Connection(left.port) as connection:
                body = wire.produce_body(stage.topic, partition, records, timeout_ms=500)
                error, _ = wire.produce_error(connection.request(wire.PRODUCE, 3, body))
            refused = (NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT, NOT_LEADER_OR_FOLLOWER, LEADER_NOT_AVAILABLE)
            assert error in refused, f"partition {partition}: error {error}"
        equal(len(stage.flow.acked), before, "records acknowledged by one node of three")
        stage.may_appear.add(b"alone")
        cx.cluster.come_back(others)
        stage.flow.progress(what="with all nodes back, records are acknowledged")
        cx.cluster.wait_in_sync(stage.topic)

    with_flow(cx, faults)


@case(nodes=3, timeout_s=300)
def killed_before_it_had_caught_up(cx):
    """A node that comes back and dies again before it has everything is in nobody's way, and nobody waits for it."""

    def faults(stage):
        node = stage.leader()
        for _ in range(3):
            node.kill()
            stage.flow.progress(200, what=f"without node {node.node_id} records are acknowledged")
            node.launch()
            time.sleep(0.3)
        node.kill()
        stage.back(node)

    with_flow(cx, faults)


def kill(stage, node):
    node.kill()
    took_s = stage.flow.progress(MANY, what=f"without node {node.node_id} records are acknowledged")
    print(f"node {node.node_id} killed: served again after {took_s:.2f} s")
    stage.back(node)


def pause(stage, node):
    node.pause()
    took_s = stage.flow.progress(MANY, what=f"while node {node.node_id} stands still, records are acknowledged")
    print(f"node {node.node_id} stands still: served again after {took_s:.2f} s")
    node.resume()
    stage.cx.cluster.wait_in_sync(stage.topic)
    stage.flow.progress()
