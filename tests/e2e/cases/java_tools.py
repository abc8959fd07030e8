"""Apache Kafka's own command-line tools, used as an operator uses them."""

import json
import re
import subprocess
import time

from harness.context import equal, eventually
from harness.records import produce_all
from harness.registry import case

TOPICS = "org.apache.kafka.tools.TopicCommand"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONSOLE_PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
CONFIGS = "kafka.admin.ConfigCommand"


@case(timeout_s=180)
def topic_command(cx):
    name = cx.name()
    at = ["--bootstrap-server", cx.bootstrap]
    cx.java_tool(TOPICS, *at, "--create", "--topic", name, "--partitions", 3, "--replication-factor", 1, "--config", "retention.ms=3600000")
    described = cx.java_tool(TOPICS, *at, "--describe", "--topic", name)
    assert re.search(rf"Topic: {name}\s+TopicId: \S+\s+PartitionCount: 3\s+ReplicationFactor: 1\s+Configs: .*retention.ms=3600000", described), described
    equal(len(re.findall(r"Leader: 1\s", described)), 3)
    cx.java_tool(TOPICS, *at, "--alter", "--topic", name, "--partitions", 6)
    assert "PartitionCount: 6" in cx.java_tool(TOPICS, *at, "--describe", "--topic", name)
    assert name in cx.java_tool(TOPICS, *at, "--list").split()
    code, said = cx.java_tool(TOPICS, *at, "--create", "--topic", name, check=False)
    assert code != 0 and "already exists" in said, said
    cx.java_tool(TOPICS, *at, "--delete", "--topic", name)
    eventually(lambda: name not in cx.java_tool(TOPICS, *at, "--list").split(), "the topic is gone")


@case()
def console_producer_and_consumer(cx):
    topic = cx.topic()
    lines = ["k1:one", "k2:zwei ü", "k3:"]
    cx.java_tool(
        CONSOLE_PRODUCER, "--bootstrap-server", cx.bootstrap, "--topic", topic,
        "--reader-property", "parse.key=true", "--reader-property", "key.separator=:",
        stdin="\n".join(lines) + "\n",
    )
    out = cx.java_tool(
        CONSOLE_CONSUMER, "--bootstrap-server", cx.bootstrap, "--topic", topic, "--from-beginning",
        "--max-messages", 3, "--timeout-ms", 30000,
        "--formatter-property", "print.key=true", "--formatter-property", "key.separator=:",
        "--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true",
    )
    equal(out.splitlines(), [f"Partition:0:Offset:{n}:{line}" for n, line in enumerate(lines)])


@case()
def console_consumer_sees_headers_and_nulls(cx):
    topic = cx.topic()
    cx.java_tool(
        CONSOLE_PRODUCER, "--bootstrap-server", cx.bootstrap, "--topic", topic,
        "--reader-property", "parse.headers=true", "--reader-property", "parse.key=true",
        "--reader-property", "null.marker=NULL",
        stdin="a:1,b:2\tkey\tNULL\n",
    )
    out = cx.java_tool(
        CONSOLE_CONSUMER, "--bootstrap-server", cx.bootstrap, "--topic", topic, "--from-beginning",
        "--max-messages", 1, "--timeout-ms", 30000,
        "--formatter-property", "print.headers=true", "--formatter-property", "print.key=true",
    )
    equal(out.splitlines(), ["a:1,b:2\tkey\tnull"])


@case(timeout_s=180)
def every_compression_from_the_console(cx):
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        topic = cx.topic()
        text = "".join(f"{codec} line {n} {'again ' * 20}\n" for n in range(200))
        cx.java_tool(CONSOLE_PRODUCER, "--bootstrap-server", cx.bootstrap, "--topic", topic, "--compression-codec", codec, stdin=text)
        out = cx.java_tool(
            CONSOLE_CONSUMER, "--bootstrap-server", cx.bootstrap, "--topic", topic, "--from-beginning",
            "--max-messages", 200, "--timeout-ms", 30000,
        )
        equal(out.splitlines(), text.splitlines(), codec)


@case()
def verifiable_producer_and_consumer(cx):
    topic, group = cx.topic(partitions=3), cx.name("group")
    out = cx.java_tool(
        "org.apache.kafka.tools.VerifiableProducer", "--bootstrap-server", cx.bootstrap, "--topic", topic,
        "--max-messages", 5000, "--acks", "-1", "--throughput", "-1",
    )
    events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    equal(sum(event["name"] == "producer_send_success" for event in events), 5000)
    equal([event["acked"] for event in events if event["name"] == "tool_data"], [5000])
    path = cx.directory / "verifiable-consumer.txt"
    with open(path, "wb") as log:
        consumer = cx.java_start(
            "org.apache.kafka.tools.VerifiableConsumer", "--bootstrap-server", cx.bootstrap, "--topic", topic,
            "--group-id", group, "--max-messages", 5000, "--reset-policy", "earliest", stdout=log,
        )
        equal(consumer.wait(90), 0)
    events = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    equal(sum(event["count"] for event in events if event["name"] == "records_consumed"), 5000)
    committed = [offset for event in events if event["name"] == "offsets_committed" and event["success"] for offset in event["offsets"]]
    equal(sum(max((o["offset"] for o in committed if o["partition"] == n), default=0) for n in range(3)), 5000)


@case(timeout_s=240)
def consumer_group_command(cx):
    topic, group = cx.topic(partitions=2), cx.name("group")
    for partition, count in ((0, 10), (1, 20)):
        produce_all(cx.producer(), topic, [(None, b"v")] * count, partition=partition)
    at = ["--bootstrap-server", cx.bootstrap]
    cx.java_tool(
        CONSOLE_CONSUMER, *at, "--topic", topic, "--from-beginning", "--max-messages", 30, "--timeout-ms", 30000, "--group", group
    )
    assert group in cx.java_tool(GROUPS, *at, "--list").split()
    equal(positions(cx.java_tool(GROUPS, *at, "--describe", "--group", group), topic), {0: (10, 10), 1: (20, 20)})
    assert re.search(rf"{group}.*Empty", cx.java_tool(GROUPS, *at, "--describe", "--group", group, "--state"))
    cx.java_tool(GROUPS, *at, "--reset-offsets", "--group", group, "--topic", f"{topic}:1", "--to-offset", 7, "--execute")
    equal(positions(cx.java_tool(GROUPS, *at, "--describe", "--group", group), topic), {0: (10, 10), 1: (7, 20)})
    cx.java_tool(GROUPS, *at, "--delete-offsets", "--group", group, "--topic", f"{topic}:0")
    equal(positions(cx.java_tool(GROUPS, *at, "--describe", "--group", group), topic), {1: (7, 20)})
    cx.java_tool(GROUPS, *at, "--delete", "--group", group)
    assert group not in cx.java_tool(GROUPS, *at, "--list").split()


@case()
def a_group_with_a_member(cx):
    topic, group = cx.topic(partitions=2), cx.name("group")
    produce_all(cx.producer(), topic, [(None, b"v")] * 5)
    with open(cx.directory / "member.txt", "wb") as log:
        member = cx.java_start(
            CONSOLE_CONSUMER, "--bootstrap-server", cx.bootstrap, "--topic", topic, "--group", group,
            "--command-property", "client.id=the-member", stdout=log,
        )
        at = ["--bootstrap-server", cx.bootstrap]

        def described():
            code, said = cx.java_tool(GROUPS, *at, "--describe", "--group", group, "--members", "--verbose", check=False)
            return code == 0 and re.search(rf"the-member\s+2\s+.*{topic}.*0,1", said)

        # It is seen without partitions for a moment, while the group is rebalancing.
        eventually(described, "the member is seen with both partitions", timeout_s=60)
        code, said = cx.java_tool(GROUPS, *at, "--delete", "--group", group, check=False)
        assert code == 0 and "not empty" in said.lower(), said
        member.terminate()
        member.wait(30)


@case()
def api_versions(cx):
    out = cx.java_tool("org.apache.kafka.tools.BrokerApiVersionsCommand", "--bootstrap-server", cx.bootstrap)
    for api in ("Produce(0)", "Fetch(1)", "ListOffsets(2)", "Metadata(3)", "JoinGroup(11)", "ApiVersions(18)", "CreateTopics(19)", "InitProducerId(22)"):
        assert re.search(rf"{re.escape(api)}: \d+ (to \d+ )?\[usable: \d+\]", out), (api, out)


@case(timeout_s=180)
def offsets_by_time(cx):
    topic = cx.topic(partitions=2)
    stamp = int(time.time() * 1000) - 60_000
    producer = cx.producer()
    for n in range(10):
        producer.produce(topic, b"v", partition=0, timestamp=stamp + n)
    equal(producer.flush(20), 0)

    def offsets(when):
        return cx.java_tool("org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", cx.bootstrap, "--topic", topic, "--time", when).split()

    equal(offsets("latest"), [f"{topic}:0:10", f"{topic}:1:0"])
    equal(offsets("earliest"), [f"{topic}:0:0", f"{topic}:1:0"])
    equal(offsets("max-timestamp")[0], f"{topic}:0:9")
    equal(offsets(stamp + 4)[0], f"{topic}:0:4")


@case()
def delete_records_command(cx):
    topic = cx.topic()
    produce_all(cx.producer(), topic, [(None, b"v")] * 10, partition=0)
    path = cx.directory / "delete.json"
    path.write_text(json.dumps({"partitions": [{"topic": topic, "partition": 0, "offset": 6}], "version": 1}))
    out = cx.java_tool("org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server", cx.bootstrap, "--offset-json-file", path)
    assert f"partition: {topic}-0\tlow_watermark: 6" in out, out


@case(timeout_s=180)
def config_command(cx):
    topic = cx.topic()
    at = ["--bootstrap-server", cx.bootstrap, "--entity-type", "topics", "--entity-name", topic]
    cx.java_tool(CONFIGS, *at, "--alter", "--add-config", "retention.ms=1234567,max.message.bytes=2000")
    out = cx.java_tool(CONFIGS, *at, "--describe")
    assert "retention.ms=1234567" in out and "max.message.bytes=2000" in out, out
    cx.java_tool(CONFIGS, *at, "--alter", "--delete-config", "retention.ms")
    out = cx.java_tool(CONFIGS, *at, "--describe")
    assert "retention.ms" not in out and "max.message.bytes=2000" in out, out
    assert "retention.ms=604800000" in cx.java_tool(CONFIGS, *at, "--describe", "--all")
    broker = ["--bootstrap-server", cx.bootstrap, "--entity-type", "brokers", "--entity-name", 1]
    assert "num.partitions=4" in cx.java_tool(CONFIGS, *broker, "--describe", "--all")


@case()
def log_dirs_command(cx):
    topic = cx.topic(partitions=2)
    produce_all(cx.producer(), topic, [(None, b"x" * 1000)] * 100, partition=1)
    out = cx.java_tool("org.apache.kafka.tools.LogDirsCommand", "--bootstrap-server", cx.bootstrap, "--describe", "--topic-list", topic)
    described = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    directories = described["brokers"][0]["logDirs"]
    equal([directory["error"] for directory in directories], [None])
    sizes = {p["partition"]: p["size"] for p in directories[0]["partitions"]}
    assert sizes[f"{topic}-0"] == 0 and sizes[f"{topic}-1"] >= 100_000, sizes


@case(timeout_s=180)
def performance_tools(cx):
    topic = cx.topic(partitions=3)
    out = cx.java_tool(
        "org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", cx.bootstrap, "--topic", topic, "--num-records", 20000,
        "--record-size", 512, "--throughput", -1, "--command-property", "enable.idempotence=true",
    )
    assert out.splitlines()[-1].startswith("20000 records sent"), out
    out = cx.java_tool(
        "org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", cx.bootstrap, "--topic", topic, "--num-records", 20000,
        "--timeout", 30000,
    )
    fields = [field.strip() for field in out.splitlines()[-1].split(",")]
    equal(int(fields[4]), 20000)


@case(settings={"auto.create.topics.enable": "false"})
def console_producer_to_no_topic(cx):
    code, said = cx.java_tool(
        CONSOLE_PRODUCER, "--bootstrap-server", cx.bootstrap, "--topic", cx.name(), "--command-property", "max.block.ms=3000",
        stdin="lost\n", check=False,
    )
    assert "not present in metadata" in said, said


def positions(described, topic):
    """Partition → (committed, end) out of what `--describe` prints."""
    row = re.compile(rf"\s{re.escape(topic)}\s+(\d+)\s+(\d+)\s+(\d+)\s")
    return {int(partition): (int(committed), int(end)) for partition, committed, end in row.findall(described)}
