"""Nodes of a cluster die, stand still and come back while records flow: what was acknowledged is there, once, in order, at
the offset that was told, on the disk of every node; and who is left goes on serving."""

import time

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from harness import checker, disk, wire
from harness.cluster import SESSION_TIMEOUT_MS
from harness.context import equal
from harness.flow import Flow, Follower, order, read_all, verdict
from harness.registry import case

PARTITIONS = 3
PER_SECOND = 3000
# More than was on its way when something happened.
MANY = 1000
# A client that finds out soon that nobody is there any more.
IMPATIENT = {
    "socket_timeout_ms": 3000,
    "retry_backoff_ms": 50,
    "retry_backoff_max_ms": 200,
    "reconnect_backoff_max_ms": 500,
    "topic_metadata_refresh_fast_interval_ms": 100,
}
IDEMPOTENT = {"enable_idempotence": True, "linger_ms": 2, **IMPATIENT}

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


class Stage:
    """A topic with records flowing into it and out of it."""

    def __init__(self, cx):
        self.cx = cx
        self.topic = cx.topic(partitions=PARTITIONS)
        cx.cluster.wait_in_sync(self.topic)
        self.flow = Flow(cx, self.topic, PARTITIONS, per_second=PER_SECOND, **IDEMPOTENT).start()
        self.follower = Follower(cx, self.topic, PARTITIONS, socket_timeout_ms=3000).start()
        self.may_appear = set()
        self.turn = 0
        self.flow.progress(100)

    def leader(self):
        return self.cx.cluster.leader(self.topic, 0)

    def metadata_leader(self):
        return self.cx.cluster.metadata_leader()

    def next(self):
        self.turn += 1
        return self.cx.cluster[self.turn % 3 + 1]

    def back(self, node):
        """The node is started, and has everything again."""
        node.start()
        self.cx.cluster.wait_in_sync(self.topic)
        self.flow.progress()


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


def with_flow(cx, faults):
    """Records flow while `faults` are done to the cluster; then everything is looked at."""
    stage = Stage(cx)
    flow, topic = stage.flow, stage.topic
    faults(stage)
    sent = flow.finish()
    assert not flow.errors, flow.errors[:5]
    equal(len(flow.acked), len(sent), "acknowledged records")
    read = read_all(cx, topic, PARTITIONS)
    own = [entry for entry in read if entry[2] not in stage.may_appear]
    verdict(checker.check(flow.acked, read, sent=sent | stage.may_appear, may_repeat=stage.may_appear) + order(own))
    equal(len(own), len(sent), "records in the log")
    verdict(checker.check_seen(stage.follower.finish(), read))
    assert not stage.follower.errors, stage.follower.errors[:5]
    verdict(disks(cx, topic))


def disks(cx, topic):
    """Stops the nodes, and compares what they have of a topic, batch for batch."""
    admin = AdminClient({"bootstrap.servers": cx.bootstrap})
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(30)
    cx.cluster.wait_in_sync(topic)
    cx.cluster.stop()
    findings = []
    for partition in range(PARTITIONS):
        logs = {node.node_id: disk.batches(node, topic, described.topic_id, partition) for node in cx.cluster.nodes}
        if not all(logs.values()):
            findings.append(f"partition {partition}: nothing on the disks of some: { {node: len(log) for node, log in logs.items()} }")
            continue
        findings += [f"partition {partition}: {finding}" for finding in disk.compare(logs)]
        ends = {node: log[-1][0] for node, log in logs.items()}
        if len(set(ends.values())) > 1:
            findings.append(f"partition {partition}: all were in sync, and their last batches are {ends}")
    return findings
