"""The network between nodes is at fault while clients reach all of them: who is cut off goes on answering as well as it can, and
must not acknowledge anything that the others do not know of."""

import itertools
import os
import random
import time

from confluent_kafka import ElectionType

from harness import wire
from harness.cluster import tolerant
from harness.context import eventually
from harness.flow import IMPATIENT, Flow
from harness.groups import OFFSETS_TOPIC, Committed, Member, coordinator, other_than
from harness.registry import case
from harness.stage import with_flow

WHOLE = bool(os.environ.get("E2E_WHOLE"))
# More than was on its way when something happened.
MANY = 500
# What may happen between a node and the others; without `E2E_WHOLE` one with late packets and one in one direction only.
WAYS = ("hold", "drop", "mute", "deafen", "refuse") if WHOLE else ("hold", "deafen")
LATENCY_MS = 500
LAG_MAX_MS = 400
LOSSY_S = 30 if WHOLE else 12
# By how much the metadata's epoch may rise meanwhile: a leader may change by chance, and not again and again.
ELECTIONS_MAX = 3
TOPIC_ALREADY_EXISTS = 36


@case(nodes=3, only_chronik=True, timeout_s=400)
def whoever_leads_a_partition_is_apart(cx):
    cx.new_cluster(proxied=True).start()
    with_flow(cx, lambda stage: [apart(stage, stage.leader(), way) for way in WAYS])


@case(nodes=3, only_chronik=True, timeout_s=400)
def whoever_leads_the_metadata_is_apart(cx):
    """Meanwhile the others decide: topics are created by them."""
    cx.new_cluster(proxied=True).start()

    def decides(node):
        asked = cx.cluster.others(node)[0]
        name = cx.name()
        # Answered late it is there when it is asked for again.
        created = tolerant(lambda: wire.create_topic(asked.port, name, 1, 2) in (0, TOPIC_ALREADY_EXISTS))
        eventually(created, f"node {asked.node_id} creates a topic", timeout_s=60)

    with_flow(cx, lambda stage: [apart(stage, stage.metadata_leader(), way, decides) for way in WAYS])


@case(nodes=3, only_chronik=True, timeout_s=400)
def whoever_coordinates_a_group_is_apart(cx):
    cluster = cx.new_cluster(proxied=True).start()
    partitions, group = 3, cx.name("group")
    topic = cx.topic(partitions=partitions)
    flow = Flow(cx, topic, partitions, per_second=500, enable_idempotence=True, linger_ms=5, **IMPATIENT).start()
    members = [Member(cx, topic, group).start() for _ in range(3)]
    eventually(lambda: sum(len(member.assigned) for member in members) == partitions, "all partitions are assigned", 60)
    committed = Committed(members, partitions)
    committed.go_on("at first")
    for way in WAYS:
        node = coordinator(cx, group)
        getattr(cluster.network, way)(node)
        started = time.monotonic()
        eventually(lambda: other_than(cx, group, node), "another node coordinates the group", timeout_s=60)
        moved_s = time.monotonic() - started
        committed.go_on(f"with node {node.node_id} apart ({way})")
        took_s = time.monotonic() - started
        print(f"node {node.node_id} apart ({way}): another coordinates after {moved_s:.2f} s, all commit again after {took_s:.2f} s")
        cluster.network.heal()
        cluster.wait_in_sync(topic)
        cluster.wait_in_sync(OFFSETS_TOPIC)
        # Or one node would lead all in the end, and clients would know no other when that one is apart.
        cx.admin().elect_leaders(ElectionType.PREFERRED).result(30)
        committed.go_on("with all nodes together again")
    sent = flow.finish()
    assert not flow.errors, flow.errors[:5]
    eventually(lambda: set().union(*(member.seen for member in members)) >= sent, "all is read by the group", timeout_s=60)
    for member in members:
        member.finish()


@case(nodes=3, only_chronik=True, timeout_s=200)
def a_slow_follower_leaves_the_in_sync_set_and_returns(cx):
    """What it confirms is older than `replica_lag_max_ms`, all the time. Nobody waits for it then."""
    cx.new_cluster(proxied=True, replication={"replica_lag_max_ms": LAG_MAX_MS}).start()

    def faults(stage):
        leader, metadata_leader = stage.leader(), stage.metadata_leader()
        slow = next(node for node in cx.cluster.others(leader) if node is not metadata_leader)
        others = sorted(node.node_id for node in cx.cluster.others(slow))
        cx.cluster.network.slow(slow, LATENCY_MS)

        def is_out():
            return sorted(cx.cluster.partitions(stage.topic, leader)[0].in_sync) == others

        eventually(is_out, f"node {slow.node_id} is not in sync any more", timeout_s=60)
        stage.flow.progress(MANY, f"without node {slow.node_id}, which is slow, records are acknowledged")
        cx.cluster.network.heal()
        cx.cluster.wait_in_sync(stage.topic)
        stage.flow.progress(MANY)

    with_flow(cx, faults)


@case(nodes=3, only_chronik=True, timeout_s=300)
def no_storm_of_elections_where_one_packet_of_ten_is_lost(cx):
    """Connections through a proxy lose nothing; what they show of a loss is that all stands still until it is sent again, 200 ms
    later. Between any two nodes one in ten of such moments does, and now and then a connection breaks."""
    cx.new_cluster(proxied=True).start()
    network, dice = cx.cluster.network, random.Random(11)

    def faults(stage):
        _, epoch = quorum(cx)
        ends = time.monotonic() + LOSSY_S
        while time.monotonic() < ends:
            for a, b in itertools.combinations(cx.cluster.nodes, 2):
                if dice.random() < 0.1:
                    network.hold_between(a, b)
            time.sleep(0.2)
            network.heal()
            if dice.random() < 0.02:
                network.break_connections(dice.choice(cx.cluster.nodes))
        stage.flow.progress(MANY)
        _, later = quorum(cx)
        print(f"{LOSSY_S} s of loss: the metadata's epoch rose by {later - epoch}")
        assert later - epoch <= ELECTIONS_MAX, f"from epoch {epoch} to {later}"
        cx.cluster.wait_in_sync(stage.topic)

    with_flow(cx, faults)


def quorum(cx):
    """Who leads the metadata, and in which epoch."""
    return wire.metadata_quorum(cx.cluster.metadata_leader().port)


def apart(stage, node, way, decides=lambda node: None):
    """The node is apart in some way, the others go on, and all is well when it is back."""
    cluster = stage.cx.cluster
    getattr(cluster.network, way)(node)
    started = time.monotonic()
    stage.without(node)
    took_s = time.monotonic() - started
    print(f"node {node.node_id} apart ({way}): served again after {took_s:.2f} s")
    decides(node)
    cluster.network.heal()
    cluster.wait_in_sync(stage.topic)
    stage.flow.progress(MANY, "with all nodes together again, records are acknowledged")
