"""TopicCommand, ConfigCommand, GetOffsetShell and DeleteRecordsCommand beyond the usual."""

import json
import re

from harness.context import equal
from harness.records import produce_all
from harness.registry import case
from tools.names import CONFIGS, DELETE_RECORDS, OFFSETS, TOPICS


def at(cx):
    return ["--bootstrap-server", cx.bootstrap]


@case(timeout_s=240)
def topics_in_trouble(cx):
    """Nothing is under-replicated on a node that is well; everything is at its minimum."""
    topic = cx.topic(partitions=2)
    for question in ("--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"):
        equal(cx.java_tool(TOPICS, *at(cx), "--describe", "--topic", topic, question).strip(), "", question)
    said = cx.java_tool(TOPICS, *at(cx), "--describe", "--topic", topic, "--at-min-isr-partitions")
    equal(len(re.findall(rf"Topic: {topic}\s+Partition: \d", said)), 2)


@case(timeout_s=180)
def topics_with_overrides(cx):
    plain, special = cx.topic(), cx.topic(configs={"retention.ms": "1000000"})
    said = cx.java_tool(TOPICS, *at(cx), "--describe", "--topics-with-overrides")
    assert re.search(rf"Topic: {special}\s.*Configs: .*retention\.ms=1000000", said), said
    # Kafka counts the minimum of copies that a new cluster has set for all topics.
    assert not re.search(rf"Topic: {plain}\s.*retention\.ms", said), said


@case(timeout_s=180)
def a_topic_by_its_id(cx):
    topic = cx.topic()
    said = cx.java_tool(TOPICS, *at(cx), "--describe", "--topic", topic)
    topic_id = re.search(r"TopicId: (\S+)", said).group(1)
    said = cx.java_tool(TOPICS, *at(cx), "--describe", "--topic-id", topic_id)
    assert f"Topic: {topic}\t" in said, said


@case(timeout_s=180)
def topics_that_do_not_exist(cx):
    name = cx.name()
    for action in ("--describe", "--delete"):
        code, said = cx.java_tool(TOPICS, *at(cx), action, "--topic", name, check=False)
        assert code != 0 and f"Topic '{name}' does not exist as expected" in said, (code, said)
        equal(cx.java_tool(TOPICS, *at(cx), action, "--topic", name, "--if-exists").strip(), "")


@case(timeout_s=180)
def topics_that_cannot_be(cx):
    code, said = cx.java_tool(TOPICS, *at(cx), "--create", "--topic", cx.name(), "--replication-factor", 3, check=False)
    assert code != 0 and "InvalidReplicationFactorException" in said and "cannot be reached because only 1 broker(s)" in said, (code, said)
    code, said = cx.java_tool(TOPICS, *at(cx), "--create", "--topic", cx.name(), "--config", "nonsense=1", check=False)
    assert code != 0 and "Unknown topic config name: nonsense" in said, (code, said)


@case(timeout_s=180)
def topics_with_an_assignment(cx):
    name = cx.name()
    cx.java_tool(TOPICS, *at(cx), "--create", "--topic", name, "--replica-assignment", "1,1,1")
    said = cx.java_tool(TOPICS, *at(cx), "--describe", "--topic", name)
    equal(re.findall(r"Replicas: (\S+)\s+Isr: (\S+)", said), [("1", "1")] * 3)
    code, said = cx.java_tool(TOPICS, *at(cx), "--alter", "--topic", name, "--partitions", 2, check=False)
    assert code != 0 and "InvalidPartitionsException" in said, (code, said)


@case(timeout_s=240)
def configs_of_the_broker(cx):
    broker = [*at(cx), "--entity-type", "brokers", "--entity-name", 1]
    said = cx.java_tool(CONFIGS, *broker, "--alter", "--add-config", "log.retention.ms=7654321")
    assert "Completed updating config for broker 1." in said, said
    said = cx.java_tool(CONFIGS, *broker, "--describe")
    assert re.search(r"log\.retention\.ms=7654321 sensitive=false synonyms=\{DYNAMIC_BROKER_CONFIG:log\.retention\.ms=7654321", said), said
    cx.java_tool(CONFIGS, *broker, "--alter", "--delete-config", "log.retention.ms")
    assert "7654321" not in cx.java_tool(CONFIGS, *broker, "--describe")
    code, said = cx.java_tool(CONFIGS, *broker, "--alter", "--add-config", "node.id=7", check=False)
    assert code != 0 and "InvalidRequestException" in said, (code, said)


@case(timeout_s=240)
def configs_of_all_brokers(cx):
    brokers = [*at(cx), "--entity-type", "brokers", "--entity-default"]
    said = cx.java_tool(CONFIGS, *brokers, "--alter", "--add-config", "log.segment.bytes=2000000")
    assert "Completed updating default config for brokers in the cluster." in said, said
    topic = cx.topic()
    said = cx.java_tool(CONFIGS, *at(cx), "--entity-type", "topics", "--entity-name", topic, "--describe", "--all")
    assert re.search(r"segment\.bytes=2000000 sensitive=false synonyms=\{DYNAMIC_DEFAULT_BROKER_CONFIG:log\.segment\.bytes=2000000", said), said
    cx.java_tool(CONFIGS, *brokers, "--alter", "--delete-config", "log.segment.bytes")


@case(timeout_s=180)
def configs_that_cannot_be(cx):
    topic = [*at(cx), "--entity-type", "topics", "--entity-name", cx.topic()]
    code, said = cx.java_tool(CONFIGS, *topic, "--alter", "--add-config", "retention.ms=soon", check=False)
    assert code != 0 and "InvalidConfigurationException" in said and "retention.ms" in said, (code, said)
    said = cx.java_tool(CONFIGS, *topic, "--alter", "--delete-config", "retention.ms")
    assert "Completed updating config for topic" in said, said


@case(timeout_s=180)
def offsets_of_chosen_partitions(cx):
    topic, other = cx.topic(partitions=3), cx.topic()
    produce_all(cx.producer(), topic, [(None, b"v")] * 4, partition=1)
    said = cx.java_tool(OFFSETS, *at(cx), "--topic-partitions", f"{topic}:1-3,{other}:0")
    equal(said.split(), sorted([f"{topic}:1:4", f"{topic}:2:0", f"{other}:0:0"]))
    said = cx.java_tool(OFFSETS, *at(cx), "--topic", topic, "--partitions", "0,1", "--time", "earliest")
    equal(said.split(), [f"{topic}:0:0", f"{topic}:1:0"])


@case(timeout_s=180)
def records_that_cannot_be_deleted(cx):
    topic = cx.topic()
    produce_all(cx.producer(), topic, [(None, b"v")] * 3)
    path = cx.directory / "delete.json"
    path.write_text(json.dumps({"partitions": [{"topic": topic, "partition": 0, "offset": 9}], "version": 1}))
    said = cx.java_tool(DELETE_RECORDS, *at(cx), "--offset-json-file", path)
    assert re.search(rf"partition: {topic}-0\s+error: .*OffsetOutOfRangeException", said), said
