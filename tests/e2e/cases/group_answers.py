"""Groups, request by request, in every version: the answers are those of Apache Kafka (`answers/`)."""

import time
import uuid

from kafka.protocol.admin.groups import DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest
from kafka.protocol.consumer.group import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    OffsetCommitRequest,
    OffsetDeleteRequest,
    OffsetFetchRequest,
    SyncGroupRequest,
)
from kafka.protocol.metadata.find_coordinator import FindCoordinatorRequest
from kafka.protocol.metadata.metadata import MetadataRequest

from harness.conversation import Conversation
from harness.registry import case

# A subscription to topic "t", as consumers of version 1 of their own protocol write it.
SUBSCRIPTION = b"\0\1\0\0\0\1\0\1t\xff\xff\xff\xff\0\0\0\0"
QUICK = {"group.initial.rebalance.delay.ms": "600", "group.min.session.timeout.ms": "500"}
RANGE = {"type": "consumer", "protocol": "range"}


@case(settings=QUICK, fresh=True)
def offsets_in_every_version(cx):
    talk = begin(cx, "group_offsets")
    for version in range(7):
        talk.ask(f"find v{version}", find(version, "g", "h"), version)
    for version in range(2, 10):
        talk.ask(f"commit v{version}", commit("s", [(0, 10 + version), (1, 20), (9, 1)]), version)
        talk.ask(f"commit to no group v{version}", commit("nix", [(0, 1)], 3, "m"), version)
        talk.ask(f"commit for no topic v{version}", commit("s", [(0, 1)], topic="zz"), version)
        talk.ask(f"commit much metadata v{version}", commit("s", [(0, 1)], metadata="x" * 4097), version)
    talk.ask("commit to the empty id", commit("", [(0, 1)]), 8)
    talk.ask("commit without metadata", commit("s2", [(0, 1)], metadata=None), 8)
    talk.ask("commit by a member of no group", commit("s", [(0, 1)], -1, "m"), 8)
    talk.ask("commit in a generation of no group", commit("s", [(0, 1)], 0, "m"), 8)
    for version in range(1, 10):
        talk.ask(f"fetch v{version}", fetch(version, ["s"], [("t", [0, 1, 2]), ("zz", [0])]), version)
        talk.ask(f"fetch of no group v{version}", fetch(version, ["nix"], [("t", [0])]), version)
        if version >= 2:
            talk.ask(f"fetch all v{version}", fetch(version, ["s"], None), version)
            talk.ask(f"fetch all of no group v{version}", fetch(version, ["nix"], None), version)
    talk.ask("fetch of several", fetch(8, ["s", "nix", "s2"], None), 8)
    talk.ask("fetch of nothing", fetch(8, ["s"], []), 8)
    offsets_by_topic_id(talk)
    talk.ask("delete offsets of no group", delete_offsets("nix", [("t", [0])]), 0)
    talk.ask("delete offsets of the empty id", delete_offsets("", [("t", [0])]), 0)
    talk.ask("delete offsets", delete_offsets("s", [("t", [0, 7]), ("u", [0]), ("zz", [0])]), 0)
    talk.ask("fetch what is left", fetch(8, ["s"], None), 8)
    talk.check()


def offsets_by_topic_id(talk):
    topics = talk.connection().call(MetadataRequest(topics=None, allow_auto_topic_creation=False), 12)["topics"]
    known = next(uuid.UUID(str(topic["topic_id"])) for topic in topics if topic["name"] == "t")
    unknown = uuid.UUID(int=77)
    for what, asked in {
        "both": [(known, [(0, 5), (9, 5)]), (unknown, [(0, 1)])],
        "an unknown one": [(unknown, [(0, 1), (1, 1)])],
        "none": [(uuid.UUID(int=0), [(0, 1)])],
    }.items():
        talk.ask(f"commit by id, {what}", commit_by_id("ids", asked), 10)
    talk.ask("fetch by id", fetch_by_id("ids", [(known, [0, 1]), (unknown, [0])]), 10)
    talk.ask("fetch all by id", fetch_by_id("ids", None), 10)


@case(settings=QUICK, fresh=True)
def a_members_life_in_every_version(cx):
    talk = begin(cx, "group_life")
    for version in range(10):
        refused_joins(talk, version)
        life(talk, version)
    for version in (4, 5):
        talk.ask(f"list a state that is none v{version}", ListGroupsRequest(states_filter=["foo"], types_filter=[]), version)
    for kind in ("consumer", "foo"):
        talk.ask(f"list {kind} groups", ListGroupsRequest(states_filter=["Empty"], types_filter=[kind]), 5)
    talk.check()


def refused_joins(talk, version):
    talk.ask(f"join with a short session v{version}", join("j", session_ms=5), version)
    talk.ask(f"join the empty id v{version}", join(""), version)
    talk.ask(f"join without protocols v{version}", join("j", protocols=()), version)
    talk.ask(f"join with an id of nobody v{version}", join("j", "m"), version)


def life(talk, version):
    group, sync_version, beat_version = f"life{version}", min(version, 5), min(version, 4)
    commit_version, leave_version, describe_version = min(version + 2, 9), min(version, 5), min(version, 6)

    def ask(what, request, request_version):
        return talk.ask(f"{group} {what}", request, request_version)

    ask("warm up", heartbeat(group, 1, "m"), 0)
    joined = ask("join", join(group), version)
    if version >= 4:
        joined = ask("join with the id", join(group, joined["member_id"]), version)
    member, generation = joined["member_id"], joined["generation_id"]
    ask("join again", join(group, member), version)
    ask("describe while completing", describe(group), describe_version)
    ask("commit while completing", commit(group, [(0, 1)], generation, member), commit_version)
    ask("sync another generation", sync(group, generation + 1, member, **RANGE), sync_version)
    ask("sync as nobody", sync(group, generation, "zz", **RANGE), sync_version)
    if version >= 5:
        ask("sync another type", sync(group, generation, member, type="connect", protocol="range"), 5)
        ask("sync no type", sync(group, generation, member), 5)
    ask("sync", sync(group, generation, member, {member: b"xyz", "zz": b"q"}, **RANGE), sync_version)
    ask("sync again", sync(group, generation, member, **RANGE), sync_version)
    for what, beat in {
        "": (group, generation, member),
        " of another generation": (group, generation + 1, member),
        " of nobody": (group, generation, "zz"),
        " of no group": ("nix", generation, member),
        " of the empty id": ("", generation, member),
    }.items():
        ask("heartbeat" + what, heartbeat(*beat), beat_version)
    if version >= 5:
        ask("heartbeat with an instance", heartbeat(group, generation, member, "i"), 4)
        ask("sync with an instance", sync(group, generation, member, instance="i", **RANGE), 5)
    ask("describe", describe(group, "nix"), describe_version)
    for what, as_whom in {
        "": (generation, member),
        " of an old generation": (generation - 1, member),
        " of no member": (-1, ""),
        " of nobody": (generation, "zz"),
    }.items():
        ask("commit" + what, commit(group, [(0, 5)], *as_whom), commit_version)
    ask("delete offsets", delete_offsets(group, [("t", [0, 7]), ("u", [0]), ("zz", [0])]), 0)
    ask("delete", DeleteGroupsRequest(groups_names=[group, group]), min(version, 2))
    if version >= 4:
        ask("list", ListGroupsRequest(states_filter=["stable"], types_filter=[]), min(version, 5))
    ask("leave as nobody", leave(group, "zz", ("zz", None), ("", "i")), leave_version)
    ask("leave no group", leave("nix", "zz", ("zz", None)), leave_version)
    ask("leave the empty id", leave("", "zz", ("zz", None)), leave_version)
    ask("leave", leave(group, member, (member, None), (member, None)), leave_version)
    ask("sync when gone", sync(group, generation, member, **RANGE), sync_version)
    ask("heartbeat when gone", heartbeat(group, generation, member), beat_version)
    ask("join when gone", join(group, member), version)
    ask("commit to the empty group", commit(group, [(1, 5)]), commit_version)
    ask("commit when gone", commit(group, [(1, 5)], generation, member), commit_version)
    ask("describe when empty", describe(group), describe_version)
    ask("delete offsets when empty", delete_offsets(group, [("t", [0, 1])]), 0)
    ask("fetch", fetch(8, [group], None), 8)
    ask("delete when empty", DeleteGroupsRequest(groups_names=[group, "nix"]), min(version, 2))
    ask("describe when deleted", describe(group), describe_version)


@case(settings=QUICK, fresh=True)
def members_come_and_go(cx):
    talk = begin(cx, "group_members")
    two_members(talk)
    static_members(talk)
    talk.check()


def two_members(talk):
    warm_up(talk, "two")
    both = ("range", "roundrobin")
    a = talk.ask("a is told its id", join("two"), 6, "a")["member_id"]
    b = talk.ask("b is told its id", join("two"), 6, "b")["member_id"]
    talk.send(join("two", a, protocols=both), 6, "a")
    time.sleep(0.2)
    talk.send(join("two", b, protocols=both), 6, "b")
    generation = talk.hear("a joins", "a")["generation_id"]
    talk.hear("b joins", "b")
    talk.ask("c has no protocol in common", join("two", protocols=("sticky",)), 3)
    talk.ask("c has another type", join("two", type="connect"), 3)
    talk.send(sync("two", generation, b), 3, "b")
    time.sleep(0.2)
    talk.ask("a syncs", sync("two", generation, a, {a: b"A", b: b"B"}), 3, "a")
    talk.hear("b syncs", "b")
    talk.ask("b joins again with the same", join("two", b, protocols=both), 6, "b")
    talk.send(join("two", b), 6, "b")
    time.sleep(0.3)
    talk.ask("a heartbeats while preparing", heartbeat("two", generation, a), 3, "a")
    talk.ask("a commits while preparing", commit("two", [(0, 9)], generation, a), 8, "a")
    talk.ask("a syncs while preparing", sync("two", generation, a), 3, "a")
    talk.ask("describe while preparing", describe("two"), 5)
    generation = talk.ask("a joins again", join("two", a, protocols=both), 6, "a")["generation_id"]
    talk.hear("b joins with less", "b")
    talk.send(sync("two", generation, b), 3, "b")
    time.sleep(0.2)
    talk.ask("a leaves while completing", leave("two", a), 2, "a")
    talk.hear("b syncs in vain", "b")
    talk.ask("b joins alone", join("two", b), 6, "b")


def static_members(talk):
    group = "static"
    warm_up(talk, group)
    talk.send(join(group, instance="i1"), 9, "a")
    time.sleep(0.2)
    talk.send(join(group, instance="i2"), 9, "b")
    first, second = talk.hear("i1 joins", "a"), talk.hear("i2 joins", "b")
    generation, i1, i2 = first["generation_id"], first["member_id"], second["member_id"]
    talk.ask("i1 syncs", sync(group, generation, i1, {i1: b"A", i2: b"B"}, "i1", **RANGE), 5, "a")
    talk.ask("i2 syncs", sync(group, generation, i2, instance="i2", **RANGE), 5, "b")
    new = talk.ask("i2 comes back", join(group, instance="i2"), 9, "b")["member_id"]
    talk.ask("the old i2 heartbeats", heartbeat(group, generation, i2, "i2"), 4)
    talk.ask("the old i2 syncs", sync(group, generation, i2, instance="i2", **RANGE), 5)
    talk.ask("the old i2 commits", commit(group, [(0, 1)], generation, i2, "i2"), 8)
    talk.ask("the old i2 joins", join(group, i2, "i2"), 9)
    talk.ask("the old i2 leaves", leave(group, "", (i2, "i2")), 4)
    talk.ask("i2 under a wrong name", join(group, new, "i9"), 9)
    talk.ask("i2 without its name", heartbeat(group, generation, new), 4)
    talk.ask("i2 syncs again", sync(group, generation, new, instance="i2", **RANGE), 5, "b")
    talk.ask("i1 under the name of i2", sync(group, generation, i1, instance="i2", **RANGE), 5)
    for version in (9, 8, 5):
        i1 = talk.ask(f"i1 comes back v{version}", join(group, instance="i1"), version, "a")["member_id"]
    talk.ask("describe", describe(group), 5)
    talk.ask("i2 with more protocols", join(group, instance="i2", protocols=("roundrobin", "range")), 9, "b")
    talk.ask("an administrator removes some", leave(group, "", ("", "i2"), ("", "i7"), ("zz", "i1")), 5)
    talk.ask("i1 hears of it", heartbeat(group, generation, i1, "i1"), 4)
    talk.ask("describe while preparing", describe(group), 5)
    talk.ask("list", ListGroupsRequest(states_filter=["Stable", "PreparingRebalance"], types_filter=[]), 5)


@case(settings={**QUICK, "group.max.size": "2"}, fresh=True)
def silence_and_restart(cx):
    talk = begin(cx, "group_time")
    silent_member(talk)
    pending_member(talk)
    member_that_does_not_sync(talk)
    leader_that_does_not_sync(talk)
    static_member_that_is_away(talk)
    full_group(talk)
    restart(cx, talk)
    talk.check()


def silent_member(talk):
    a, b, generation = pair(talk, "A", {"session_ms": 9_000}, {"session_ms": 3_000})
    time.sleep(1.0)
    talk.ask("A: b heartbeats", heartbeat("A", generation, b), 3)
    time.sleep(1.0)
    talk.ask("A: a heartbeats", heartbeat("A", generation, a), 3)
    time.sleep(2.5)
    talk.ask("A: a heartbeats when b is gone", heartbeat("A", generation, a), 3)
    talk.ask("A: b heartbeats too late", heartbeat("A", generation, b), 3)
    timed(talk, "A: a joins", join("A", a), "A1")


def pending_member(talk):
    warm_up(talk, "B")
    a = talk.ask("B: a joins", join("B", session_ms=9_000, rebalance_ms=10_000), 3, "B1")["member_id"]
    talk.ask("B: a syncs", sync("B", 1, a, {a: b"A"}), 3)
    talk.ask("B: b is told its id", join("B", session_ms=2_000), 6, "B2")
    timed(talk, "B: a joins again", join("B", a, session_ms=9_000, rebalance_ms=10_000), "B1")


def member_that_does_not_sync(talk):
    warm_up(talk, "C")
    a, b = join_both(talk, "C", {"session_ms": 9_000, "rebalance_ms": 3_000})
    talk.ask("C: a syncs", sync("C", 1, a, {a: b"A"}), 3)
    time.sleep(1.0)
    talk.ask("C: a heartbeats", heartbeat("C", 1, a), 3)
    time.sleep(2.5)
    talk.ask("C: a heartbeats when b is out", heartbeat("C", 1, a), 3)
    talk.ask("C: b heartbeats", heartbeat("C", 1, b), 3)
    timed(talk, "C: a joins again", join("C", a), "C1")


def leader_that_does_not_sync(talk):
    warm_up(talk, "D")
    _, b = join_both(talk, "D", {"session_ms": 8_000, "rebalance_ms": 2_000})
    timed(talk, "D: b syncs", sync("D", 1, b), "D2")
    timed(talk, "D: b joins again", join("D", b), "D2")


def static_member_that_is_away(talk):
    settings = {"session_ms": 9_000, "rebalance_ms": 2_000}
    a, b, _ = pair(talk, "E", {**settings, "instance": "i1"}, {**settings, "session_ms": 4_000, "instance": "i2"}, 5)
    timed(talk, "E: i1 joins again", join("E", a, "i1", **settings), "E1", 5)
    talk.ask("E: i1 syncs", sync("E", 2, a, {a: b"A"}, "i1"), 3)
    talk.ask("E: i2 heartbeats in its old generation", heartbeat("E", 1, b, "i2"), 3)
    time.sleep(1.0)
    talk.ask("E: i1 heartbeats", heartbeat("E", 2, a, "i1"), 3)
    time.sleep(3.5)
    talk.ask("E: i1 heartbeats when i2 is gone", heartbeat("E", 2, a, "i1"), 3)


def full_group(talk):
    warm_up(talk, "F")
    talk.send(join("F"), 3, "F1")
    time.sleep(0.1)
    talk.send(join("F"), 3, "F2")
    time.sleep(0.1)
    talk.ask("F: a third", join("F"), 3, "F3")
    talk.hear("F: a joins", "F1")
    talk.hear("F: b joins", "F2")
    talk.ask("F: a third while completing", join("F"), 3, "F3")
    talk.ask("F: a static third", join("F", instance="i"), 5, "F3")
    talk.ask("F: a third that has no id", join("F"), 6, "F3")


def restart(cx, talk):
    a, b, generation = pair(talk, "G", {"instance": "i1"}, {}, 5)
    talk.ask("G: commit", commit("G", [(0, 77)], generation, b), 8)
    cx.broker.kill()
    cx.broker.start()
    talk.reconnect()
    warm_up(talk, "G")
    talk.ask("G: a heartbeats", heartbeat("G", generation, a, "i1"), 3)
    talk.ask("G: b heartbeats", heartbeat("G", generation, b), 3)
    talk.ask("G: b commits", commit("G", [(1, 78)], generation, b), 8)
    talk.ask("G: fetch", fetch(7, ["G"], None), 7)
    talk.ask("G: b syncs", sync("G", generation, b), 3)
    talk.ask("G: describe", describe("G"), 5)
    talk.ask("G: a comes back", join("G", instance="i1"), 9, "G1")


def begin(cx, name):
    cx.topic(partitions=3, name="t")
    cx.topic(name="u")
    talk = Conversation(name, cx.port)
    for _ in range(200):
        if talk.connection().call(find(1, "g"), 1)["error_code"] == 0:
            return talk
        time.sleep(0.1)
    raise AssertionError("nobody coordinates groups")


def warm_up(talk, group):
    """Until the group can be asked; nothing is written down, and no group is made."""
    for _ in range(200):
        if talk.connection().call(heartbeat(group, 1, "nobody"), 3)["error_code"] not in (0, 14, 15, 16):
            return
        time.sleep(0.1)
    raise AssertionError(f"{group} cannot be asked")


def join_both(talk, group, first, second=None, version=3):
    """Two new members in one generation, the first of which leads. Their ids."""
    talk.send(join(group, **first), version, f"{group}1")
    time.sleep(0.2)
    talk.send(join(group, **(first if second is None else second)), version, f"{group}2")
    a, b = talk.hear(f"{group}: a joins", f"{group}1"), talk.hear(f"{group}: b joins", f"{group}2")
    assert a["leader"] == a["member_id"], "the first to join leads"
    return a["member_id"], b["member_id"]


def pair(talk, group, first, second, version=3):
    """Two members of a stable group: their ids, and its generation."""
    warm_up(talk, group)
    a, b = join_both(talk, group, first, second, version)
    talk.ask(f"{group}: a syncs", sync(group, 1, a, {a: b"A", b: b"B"}, first.get("instance")), 3)
    talk.ask(f"{group}: b syncs", sync(group, 1, b, instance=second.get("instance")), 3)
    return a, b, 1


def timed(talk, what, request, client, version=3):
    """Asks, and writes down whether the answer came at once."""
    started = time.monotonic()
    talk.ask(what, request, version, client)
    talk.say(f"{what}, waited", time.monotonic() - started > 0.5)


def find(version, *keys):
    if version < 4:
        return FindCoordinatorRequest(key=keys[0], key_type=0)
    return FindCoordinatorRequest(key_type=0, coordinator_keys=list(keys))


def join(group, member="", instance=None, protocols=("range",), type="consumer", session_ms=10_000, rebalance_ms=20_000):
    Protocol = JoinGroupRequest.JoinGroupRequestProtocol
    return JoinGroupRequest(
        group_id=group,
        session_timeout_ms=session_ms,
        rebalance_timeout_ms=rebalance_ms,
        member_id=member,
        group_instance_id=instance,
        protocol_type=type,
        protocols=[Protocol(name=name, metadata=SUBSCRIPTION) for name in protocols],
        reason="because",
    )


def sync(group, generation, member, assignments=None, instance=None, type=None, protocol=None):
    Assignment = SyncGroupRequest.SyncGroupRequestAssignment
    return SyncGroupRequest(
        group_id=group,
        generation_id=generation,
        member_id=member,
        group_instance_id=instance,
        protocol_type=type,
        protocol_name=protocol,
        assignments=[Assignment(member_id=name, assignment=share) for name, share in (assignments or {}).items()],
    )


def heartbeat(group, generation, member, instance=None):
    return HeartbeatRequest(group_id=group, generation_id=generation, member_id=member, group_instance_id=instance)


def leave(group, member, *members):
    Identity = LeaveGroupRequest.MemberIdentity
    identities = [Identity(member_id=name, group_instance_id=instance, reason=None) for name, instance in members]
    return LeaveGroupRequest(group_id=group, member_id=member, members=identities)


def commit(group, offsets, generation=-1, member="", instance=None, topic="t", metadata="m"):
    return commit_request(group, generation, member, instance, [({"name": topic}, offsets)], metadata)


def commit_by_id(group, topics):
    return commit_request(group, -1, "", None, [({"topic_id": topic}, offsets) for topic, offsets in topics], "m")


def commit_request(group, generation, member, instance, topics, metadata):
    Topic = OffsetCommitRequest.OffsetCommitRequestTopic

    def partition(index, offset):
        return Topic.OffsetCommitRequestPartition(
            partition_index=index, committed_offset=offset, committed_leader_epoch=-1, committed_metadata=metadata
        )

    return OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=generation,
        member_id=member,
        group_instance_id=instance,
        retention_time_ms=-1,
        topics=[Topic(**key, partitions=[partition(*offset) for offset in offsets]) for key, offsets in topics],
    )


def fetch(version, groups, topics):
    if version < 8:
        Topic = OffsetFetchRequest.OffsetFetchRequestTopic
        named = topics and [Topic(name=name, partition_indexes=partitions) for name, partitions in topics]
        return OffsetFetchRequest(group_id=groups[0], topics=named, require_stable=False)
    named = None if topics is None else [({"name": name}, partitions) for name, partitions in topics]
    return fetch_groups(groups, named)


def fetch_by_id(group, topics):
    return fetch_groups([group], topics and [({"topic_id": topic}, partitions) for topic, partitions in topics])


def fetch_groups(groups, topics):
    Group = OffsetFetchRequest.OffsetFetchRequestGroup
    asked = topics and [Group.OffsetFetchRequestTopics(**key, partition_indexes=partitions) for key, partitions in topics]
    asked = [] if topics == [] else asked
    return OffsetFetchRequest(
        groups=[Group(group_id=group, member_id=None, member_epoch=-1, topics=asked) for group in groups],
        require_stable=True,
    )


def delete_offsets(group, topics):
    Topic = OffsetDeleteRequest.OffsetDeleteRequestTopic
    return OffsetDeleteRequest(
        group_id=group,
        topics=[
            Topic(name=name, partitions=[Topic.OffsetDeleteRequestPartition(partition_index=index) for index in indexes])
            for name, indexes in topics
        ],
    )


def describe(*groups):
    return DescribeGroupsRequest(groups=list(groups), include_authorized_operations=True)
