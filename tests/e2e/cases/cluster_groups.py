"""Groups of a cluster: coordinated by the node that leads their partition of the offsets topic, and by another one after it."""

import struct
from collections import Counter

from harness import wire
from harness.context import equal, eventually
from harness.flow import Flow, read_all
from harness.groups import IMPATIENT, OFFSETS_TOPIC, Committed, Member, commit, committed_offset, coordinator, other_than
from harness.records import consume, produce_all
from harness.registry import case

PARTITIONS = 6
HEARTBEAT = 12
NOT_COORDINATOR, UNKNOWN_MEMBER_ID = 16, 25


@case(nodes=3)
def every_node_names_the_same_coordinator_and_only_that_one_answers(cx):
    group = cx.name("group")
    named = coordinator(cx, group)
    for node in cx.cluster.nodes:
        eventually(lambda: coordinator(cx, group, node) is named, f"node {node.node_id} names node {named.node_id}")
    cx.cluster.wait_in_sync(OFFSETS_TOPIC)
    equal({len(p.replicas) for p in cx.cluster.partitions(OFFSETS_TOPIC).values()}, {3}, "replicas of the offsets topic")
    for node in cx.cluster.nodes:
        wanted = UNKNOWN_MEMBER_ID if node is named else NOT_COORDINATOR
        body = wire.string(group) + struct.pack(">i", 1) + wire.string("nobody")

        def answers():
            with wire.Connection(node.port) as connection:
                return struct.unpack(">h", connection.request(HEARTBEAT, 0, body))[0] == wanted

        eventually(answers, f"node {node.node_id} answers a heartbeat with {wanted}")


@case(nodes=3)
def offsets_survive_their_coordinator(cx):
    """Committed under one coordinator, known to the next one, and to those after all were killed at once."""
    topic, group = cx.topic(partitions=1), cx.name("group")
    produce_all(cx.producer(), topic, [(None, b"%d" % n) for n in range(50)])
    for number in range(1, 4):
        before = coordinator(cx, group)
        committing = cx.consumer(group, **IMPATIENT)
        committed = eventually(lambda: commit(committing, topic, number), "a commit is answered")
        equal(committed, number)
        committing.close()
        before.kill()
        after = eventually(lambda: other_than(cx, group, before), "another node coordinates the group", timeout_s=60)
        equal(committed_offset(cx, group, topic), number, f"as node {after.node_id} knows it")
        before.start()
        cx.cluster.wait_in_sync(OFFSETS_TOPIC)
    for node in cx.cluster.nodes:
        node.process.kill()
    cx.cluster.kill()
    cx.cluster.come_back()
    equal(committed_offset(cx, group, topic), 3, "after all were killed")
    got = consume(cx.consumer(group, **IMPATIENT), topic, 47)
    equal(got[0].offset(), 3)


@case(nodes=3, timeout_s=300)
def a_group_goes_on_while_its_coordinators_die(cx):
    """Three members read and commit while records flow; whoever coordinates them is killed, twice, and stopped once. Nothing is
    left unread, and no commit that was answered is taken back."""
    topic, group = cx.topic(partitions=PARTITIONS), cx.name("group")
    flow = Flow(cx, topic, PARTITIONS, per_second=1500, enable_idempotence=True, linger_ms=5, **IMPATIENT).start()
    members = [Member(cx, topic, group).start() for _ in range(3)]
    eventually(lambda: sum(len(member.assigned) for member in members) == PARTITIONS, "all partitions are assigned", 60)
    committed = Committed(members, PARTITIONS)
    committed.go_on("at first")
    for end in (kill, kill, stop):
        node = coordinator(cx, group)
        end(node)
        flow.progress(what=f"without node {node.node_id} records are acknowledged")
        committed.go_on(f"without node {node.node_id}")
        node.start()
        cx.cluster.wait_in_sync(topic)
        cx.cluster.wait_in_sync(OFFSETS_TOPIC)
    sent = flow.finish()
    assert not flow.errors, flow.errors[:5]
    eventually(lambda: set().union(*(member.seen for member in members)) >= sent, "all is read by the group", timeout_s=60)
    for member in members:
        member.finish()
    told = committed.highest()
    ends = Counter(partition for partition, _, _ in read_all(cx, topic, PARTITIONS))
    for partition in range(PARTITIONS):
        offset = committed_offset(cx, group, topic, partition)
        assert told[partition] <= offset <= ends[partition], (partition, told[partition], offset, ends[partition])


@case(nodes=3, timeout_s=200)
def members_do_not_notice_a_new_coordinator(cx):
    """The next coordinator knows members and generation: nobody is sent to join again."""
    topic, group = cx.topic(partitions=PARTITIONS), cx.name("group")
    flow = Flow(cx, topic, PARTITIONS, per_second=500, enable_idempotence=True, **IMPATIENT).start()
    members = [Member(cx, topic, group, session_timeout_ms=45_000).start() for _ in range(2)]
    eventually(lambda: all(len(member.assigned) == PARTITIONS // 2 for member in members), "three partitions each", 60)
    rebalances = [member.rebalances for member in members]
    committed = Committed(members, PARTITIONS)
    node = coordinator(cx, group)
    node.kill()
    eventually(lambda: other_than(cx, group, node), "another node coordinates the group", timeout_s=60)
    committed.go_on(f"without node {node.node_id}", rounds=3)
    equal([member.rebalances for member in members], rebalances, "rebalances")
    flow.finish()
    for member in members:
        member.finish()


def kill(node):
    node.kill()


def stop(node):
    node.stop()
