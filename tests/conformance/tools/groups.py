"""ConsumerGroupCommand beyond the usual, and the tools that list groups."""

import re

from harness.context import equal
from harness.records import produce_all
from harness.registry import case
from tools.names import ALL_GROUPS, GROUPS, SHARE_GROUPS, STREAMS_GROUPS


def at(cx):
    return ["--bootstrap-server", cx.bootstrap]


def committed(cx, offsets, count=20, timestamps=None):
    """A topic of `count` records a partition, and a group without members that has committed these offsets."""
    from confluent_kafka import TopicPartition

    topic, group = cx.topic(partitions=len(offsets)), cx.name("group")
    producer = cx.producer()
    for partition in range(len(offsets)):
        for n in range(count):
            producer.produce(topic, b"v", partition=partition, timestamp=timestamps[n] if timestamps else 0)
    equal(producer.flush(30), 0)
    consumer = cx.consumer(group)
    positions = [TopicPartition(topic, partition, offset) for partition, offset in enumerate(offsets)]
    consumer.commit(offsets=positions, asynchronous=False)
    consumer.close()
    return topic, group


def reset(cx, group, *arguments):
    """Partition → new offset, as the tool prints it."""
    said = cx.java_tool(GROUPS, *at(cx), "--reset-offsets", "--group", group, *arguments)
    rows = re.findall(rf"^{group}\s+(\S+)\s+(\d+)\s+(\d+)", said, re.MULTILINE)
    return {(topic, int(partition)): int(offset) for topic, partition, offset in rows}


@case(timeout_s=240)
def reset_to_ends_and_by_shifts(cx):
    topic, group = committed(cx, [5, 9])
    both = lambda first, second: {(topic, 0): first, (topic, 1): second}
    chosen = ["--topic", topic]
    equal(reset(cx, group, *chosen, "--to-current", "--dry-run"), both(5, 9))
    equal(reset(cx, group, *chosen, "--shift-by", 3, "--dry-run"), both(8, 12))
    equal(reset(cx, group, *chosen, "--shift-by", -7, "--execute"), both(0, 2))
    equal(reset(cx, group, "--all-topics", "--to-latest", "--execute"), both(20, 20))
    equal(reset(cx, group, *chosen, "--to-offset", 99, "--dry-run"), both(20, 20))
    equal(reset(cx, group, "--topic", f"{topic}:1", "--to-earliest", "--execute"), {(topic, 1): 0})
    equal(reset(cx, group, "--all-topics", "--to-current", "--dry-run"), both(20, 0))


@case(timeout_s=240)
def reset_by_time(cx):
    start = 1_700_000_000_000
    topic, group = committed(cx, [1], timestamps=[start + n * 60_000 for n in range(20)])
    equal(reset(cx, group, "--topic", topic, "--to-datetime", "2023-11-14T22:18:20.000", "--dry-run"), {(topic, 0): 5})
    equal(reset(cx, group, "--topic", topic, "--by-duration", "PT1M", "--execute"), {(topic, 0): 20})


@case(timeout_s=240)
def reset_from_a_file(cx):
    topic, group = committed(cx, [4, 6])
    exported = cx.java_tool(GROUPS, *at(cx), "--reset-offsets", "--group", group, "--topic", topic, "--to-current", "--dry-run", "--export")
    rows = sorted(line for line in exported.splitlines() if topic in line)
    equal(rows, [f"{topic},0,4", f"{topic},1,6"])
    path = cx.directory / "offsets.csv"
    path.write_text(f"{topic},0,11\n{topic},1,12\n")
    equal(reset(cx, group, "--from-file", path, "--execute"), {(topic, 0): 11, (topic, 1): 12})


@case(timeout_s=180)
def groups_by_state(cx):
    _, group = committed(cx, [1])
    said = cx.java_tool(GROUPS, *at(cx), "--list", "--state")
    assert re.search(rf"^{group}\s+Empty\s*$", said, re.MULTILINE), said
    assert group in cx.java_tool(GROUPS, *at(cx), "--list", "--state", "Empty").split()
    assert group not in cx.java_tool(GROUPS, *at(cx), "--list", "--state", "Stable").split()


@case(timeout_s=180)
def groups_by_type(cx):
    _, group = committed(cx, [1])
    said = cx.java_tool(GROUPS, *at(cx), "--list", "--type")
    assert re.search(rf"^{group}\s+Classic\s*$", said, re.MULTILINE), said
    said = cx.java_tool(ALL_GROUPS, *at(cx), "--list")
    assert re.search(rf"^{group}\s+Classic\s*$", said, re.MULTILINE), said
    said = cx.java_tool(ALL_GROUPS, *at(cx), "--list", "--consumer")
    assert group in said.split(), said


@case(timeout_s=180)
def all_groups_described(cx):
    (one, first), (two, second) = committed(cx, [1]), committed(cx, [2])
    said = cx.java_tool(GROUPS, *at(cx), "--describe", "--all-groups", "--offsets")
    for topic, group, offset in ((one, first, 1), (two, second, 2)):
        assert re.search(rf"^{group}\s+{topic}\s+0\s+{offset}\s+20\s+{20 - offset}\s+-", said, re.MULTILINE), said


@case(timeout_s=180)
def a_group_that_does_not_exist(cx):
    group = cx.name("group")
    code, said = cx.java_tool(GROUPS, *at(cx), "--describe", "--group", group, check=False)
    assert code == 0 and f"GroupIdNotFoundException: Group {group} not found." in said, (code, said)
    _, said = cx.java_tool(GROUPS, *at(cx), "--delete", "--group", group, check=False)
    assert f"Group '{group}' could not be deleted" in said and "GroupIdNotFoundException" in said, said


@case(timeout_s=180)
def offsets_of_unknown_topics_are_not_deleted(cx):
    topic, group = committed(cx, [3])
    code, said = cx.java_tool(GROUPS, *at(cx), "--delete-offsets", "--group", group, "--topic", f"{topic}:7", check=False)
    assert re.search(rf"^{topic}\s+7\s+Error: .*partition", said, re.MULTILINE), (code, said)


@case()
def no_share_groups(cx):
    equal(cx.java_tool(SHARE_GROUPS, *at(cx), "--list").strip(), "")


@case()
def no_streams_groups(cx):
    equal(cx.java_tool(STREAMS_GROUPS, *at(cx), "--list").strip(), "")
