"""librdkafka: what an administrator does."""

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from harness.context import equal, eventually
from harness.records import consume, produce_all
from harness.registry import case


@case()
def create_and_delete_topics(cx):
    admin = cx.admin()
    name = cx.topic(partitions=3)
    refused(admin.create_topics([NewTopic(name, 1, 1)])[name], "TOPIC_ALREADY_EXISTS")
    admin.delete_topics([name], operation_timeout=20)[name].result(20)
    eventually(lambda: name not in admin.list_topics(timeout=10).topics, "the topic is gone")
    refused(admin.delete_topics([name])[name], "UNKNOWN_TOPIC_OR_PART")
    cx.topic(name=name)
    equal(len(admin.list_topics(name, timeout=10).topics[name].partitions), 1, "a new topic under the old name")


@case()
def only_validated_topics_are_not_created(cx):
    name = cx.name()
    cx.admin().create_topics([NewTopic(name, 1, 1)], validate_only=True)[name].result(20)
    assert name not in cx.admin().list_topics(timeout=10).topics


@case()
def topics_that_cannot_be(cx):
    wrong = {
        "INVALID_PARTITIONS": {"num_partitions": 0, "replication_factor": 1},
        "INVALID_REPLICATION_FACTOR": {"num_partitions": 1, "replication_factor": 2},
        "INVALID_CONFIG": {"num_partitions": 1, "replication_factor": 1, "config": {"no.such": "1"}},
    }
    for code, how in wrong.items():
        name = cx.name()
        refused(cx.admin().create_topics([NewTopic(name, **how)])[name], code)
    name = cx.name()
    refused(cx.admin().create_topics([NewTopic(name, 1, 1, config={"max.message.bytes": "many"})])[name], "INVALID_CONFIG")


@case()
def partitions_can_be_added_not_taken(cx):
    topic = cx.topic(partitions=2)
    admin = cx.admin()
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(20)
    cx.wait_for_topic(topic, 5)
    for count in (5, 3):
        refused(admin.create_partitions([NewPartitions(topic, count)])[topic], "INVALID_PARTITIONS")
    unknown = cx.name()
    refused(admin.create_partitions([NewPartitions(unknown, 5)])[unknown], "UNKNOWN_TOPIC_OR_PART")
    produce_all(cx.producer(), topic, [(None, b"v")], partition=4)


@case()
def configs_of_a_topic(cx):
    topic = cx.topic(configs={"retention.ms": "1000000"})
    found = describe(cx, ResourceType.TOPIC, topic)
    equal((found["retention.ms"].value, found["retention.ms"].is_default), ("1000000", False))
    equal((found["cleanup.policy"].value, found["cleanup.policy"].is_default), ("delete", True))
    alter(cx, topic, [("retention.ms", "2000000", AlterConfigOpType.SET), ("segment.bytes", "2097152", AlterConfigOpType.SET)])
    eventually(lambda: describe(cx, ResourceType.TOPIC, topic)["retention.ms"].value == "2000000", "altered")
    equal(describe(cx, ResourceType.TOPIC, topic)["segment.bytes"].value, "2097152")
    alter(cx, topic, [("retention.ms", None, AlterConfigOpType.DELETE)])
    eventually(lambda: describe(cx, ResourceType.TOPIC, topic)["retention.ms"].value == "604800000", "back to the default")
    refused(alteration(cx, topic, [("retention.ms", "soon", AlterConfigOpType.SET)]), "INVALID_CONFIG")
    refused(alteration(cx, topic, [("no.such", "1", AlterConfigOpType.SET)]), "INVALID_CONFIG")
    refused(alteration(cx, cx.name(), [("retention.ms", "1", AlterConfigOpType.SET)]), "UNKNOWN_TOPIC_OR_PART")


@case()
def a_lower_limit_takes_effect(cx):
    topic = cx.topic()
    alter(cx, topic, [("max.message.bytes", "1000", AlterConfigOpType.SET)])
    eventually(lambda: describe(cx, ResourceType.TOPIC, topic)["max.message.bytes"].value == "1000", "altered")
    from harness.records import deliver

    error = deliver(cx.producer(), topic, value=b"x" * 2000, fails=True)
    equal(error.name(), "MSG_SIZE_TOO_LARGE")
    deliver(cx.producer(), topic, value=b"x" * 500)


@case()
def configs_of_the_broker(cx):
    cluster = cx.admin().describe_cluster().result(20)
    equal([f"{node.host}:{node.port}" for node in cluster.nodes], [cx.bootstrap])
    found = describe(cx, ResourceType.BROKER, str(cluster.nodes[0].id))
    equal(found["num.partitions"].value, "4")
    assert found["log.retention.ms"] is not None


@case()
def delete_records(cx):
    topic = cx.topic()
    produce_all(cx.producer(), topic, [(None, b"%d" % n) for n in range(50)], partition=0)
    admin = cx.admin()
    to_30 = TopicPartition(topic, 0, 30)
    equal(admin.delete_records([to_30])[to_30].result(20).low_watermark, 30)
    consumer = cx.consumer()
    equal(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20), (30, 50))
    equal(consume(consumer, topic, 20)[0].value(), b"30")
    beyond = TopicPartition(topic, 0, 51)
    refused(admin.delete_records([beyond])[beyond], "OFFSET_OUT_OF_RANGE")
    everything = TopicPartition(topic, 0, -1)
    equal(admin.delete_records([everything])[everything].result(20).low_watermark, 50)


@case()
def offsets_by_kind(cx):
    topic = cx.topic()
    for n, stamp in enumerate((1000, 3000, 2000)):
        producer = cx.producer()
        producer.produce(topic, b"%d" % n, partition=0, timestamp=stamp)
        producer.flush(20)
    partition = TopicPartition(topic, 0)

    def offset(spec):
        return cx.admin().list_offsets({partition: spec})[partition].result(20).offset

    equal(offset(OffsetSpec.earliest()), 0)
    equal(offset(OffsetSpec.latest()), 3)
    equal(offset(OffsetSpec.max_timestamp()), 1)
    equal(offset(OffsetSpec.for_timestamp(1500)), 1)
    equal(offset(OffsetSpec.for_timestamp(5000)), -1)


@case()
def describe_topics_with_ids(cx):
    from confluent_kafka import TopicCollection

    topic = cx.topic(partitions=2)
    found = cx.admin().describe_topics(TopicCollection([topic]))[topic].result(20)
    equal((found.name, len(found.partitions), found.is_internal), (topic, 2, False))
    equal([len(p.replicas) for p in found.partitions], [1, 1])
    assert str(found.topic_id) not in ("", "AAAAAAAAAAAAAAAAAAAAAA")


@case(fresh=True)
def topics_and_configs_survive_a_kill(cx):
    names = [cx.topic(partitions=n + 1, configs={"retention.ms": str(1_000_000 + n)}) for n in range(10)]
    gone = names.pop()
    cx.admin().delete_topics([gone], operation_timeout=20)[gone].result(20)
    cx.broker.kill()
    cx.broker.start()
    topics = cx.admin().list_topics(timeout=30).topics
    for n, name in enumerate(names):
        equal(len(topics[name].partitions), n + 1)
        equal(describe(cx, ResourceType.TOPIC, name)["retention.ms"].value, str(1_000_000 + n))
    assert gone not in topics


def describe(cx, kind, name):
    resource = ConfigResource(kind, name)
    return cx.admin().describe_configs([resource])[resource].result(20)


def alteration(cx, topic, changes):
    entries = [ConfigEntry(name, value, incremental_operation=operation) for name, value, operation in changes]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    return cx.admin().incremental_alter_configs([resource])[resource]


def alter(cx, topic, changes):
    alteration(cx, topic, changes).result(20)


def refused(future, name):
    try:
        future.result(20)
    except KafkaException as error:
        equal(error.args[0].name(), name)
        return
    raise AssertionError(f"not refused with {name}")
