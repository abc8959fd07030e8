"""Random requests that are valid: each field of Kafka's schema gets a value that means something, or nearly does."""

import random
import uuid

from harness import wire
from compare import IDENTITY
from messages import CLASSES

TOPICS = ("apple", "birch", "cedar", "dill")
STRANGE_TOPICS = ("", ".", "a b", "x" * 250, "absent")
GROUPS = ("north", "south", "east")
ABSENT_ID = uuid.UUID(int=77)
NO_ID = uuid.UUID(int=0)
CONFIGS = (
    ("retention.ms", "-1"), ("retention.ms", "9000000000000"), ("retention.ms", "-2"), ("retention.ms", "soon"),
    ("retention.bytes", "-1"), ("retention.bytes", ""), ("cleanup.policy", "compact"), ("cleanup.policy", "delete"),
    ("cleanup.policy", "compact,delete"), ("cleanup.policy", "wash"), ("segment.bytes", "1048576"), ("segment.bytes", "10"),
    ("max.message.bytes", "200"), ("max.message.bytes", "-1"), ("compression.type", "producer"), ("compression.type", "zip"),
    ("message.timestamp.type", "LogAppendTime"), ("message.timestamp.type", "CreateTime"), ("min.insync.replicas", "1"),
    ("min.insync.replicas", "0"), ("unclean.leader.election.enable", "true"), ("preallocate", "maybe"), ("flush.ms", "1000"),
    ("segment.ms", "604800001"), ("delete.retention.ms", "5"), ("min.cleanable.dirty.ratio", "0.3"), ("min.cleanable.dirty.ratio", "3"),
    ("no.such.setting", "1"), ("retention.ms", None), ("", "1"),
)
# How often each API is asked beside the others, which are asked once. What makes things comes more often than what ends them.
WEIGHTS = {"CreateTopics": 3, "Produce": 6, "Fetch": 4, "ListOffsets": 3, "OffsetCommit": 3, "OffsetFetch": 2, "JoinGroup": 2,
           "DeleteTopics": 0.6, "DeleteGroups": 0.6, "InitProducerId": 0.6}
MAKERS = ("CreateTopics", "Produce", "JoinGroup", "OffsetCommit", "InitProducerId")


class Question:
    """One request: its API, its version, and the fields in both brokers' words."""

    def __init__(self, world, dice, api, version):
        self.world, self.dice, self.api, self.version = world, dice, api, version
        self.around = []
        self.fields = self.struct(CLASSES[f"{api}Request"]._struct)
        self.answered = not (api == "Produce" and self.fields["acks"] == 0)

    def struct(self, struct):
        made = {}
        self.around.append(made)
        for field in struct._fields:
            if field.for_version_q(self.version) and not field.tagged_field_q(self.version):
                made[field.name] = self.value(field)
        self.around.pop()
        return made

    def value(self, field):
        own_rule = RULES.get(f"{self.api}.{field.name}")
        if field.is_struct_array() and own_rule is not None:
            return own_rule(self)
        rule = own_rule or RULES.get(field.name)
        nullable = field.nullable_for_version_q(self.version)
        if field.is_struct_array() or field.is_array():
            if nullable and self.dice.random() < 0.2:
                return None
            # Nobody asks for no partitions of a topic, or twice for the same: where one of the two answers with a map.
            count = self.dice.choices((0, 1, 2, 3), (1 if len(self.around) == 1 else 0, 8, 3, 1))[0]
            make = (lambda: self.struct(field)) if field.is_struct_array() else (lambda: rule(self))
            parts = [make() for _ in range(count)]
            return list({identity(part): part for part in parts}.values())
        if field.is_struct():
            return None if nullable and self.dice.random() < 0.7 else self.struct(field)
        if rule is None:
            if field.type_str == "bool":
                return self.dice.random() < 0.3
            raise KeyError(f"no rule for {self.api}.{field.name}, a {field.type_str}")
        value = rule(self)
        assert value is not None or nullable, f"{self.api}.{field.name} cannot be null in version {self.version}"
        return value

    # What fields hold

    def one(self, *values):
        return self.dice.choice(values)

    def topic(self):
        return self.one(*STRANGE_TOPICS) if self.dice.random() < 0.12 else self.one(*TOPICS)

    def topic_id(self):
        if self.dice.random() < 0.1:
            return self.one(ABSENT_ID, NO_ID)
        return self.world.topic_ids.get(self.one(*TOPICS), ABSENT_ID)

    def group(self):
        return "" if self.dice.random() < 0.05 else self.one(*GROUPS)

    def member(self):
        known = self.world.members.get(self.around[0].get("group_id"), [])
        if known and self.dice.random() < 0.7:
            return known[-1] if self.dice.random() < 0.8 else self.dice.choice(known)
        return self.one("", "", "nobody")

    def maybe(self, value):
        """Null, in three of four cases, where it may be."""
        return None if self.dice.random() < 0.75 else value

    def named_or_numbered(self):
        """For structs with both, of which one is to be set: decided with the first of the two."""
        here = self.around[-1]
        here["by_id"] = self.dice.random() < 0.4
        both = self.dice.random() < 0.08
        here["both"] = both
        return here

    def id_where_wanted(self):
        here = self.around[-1] if "by_id" in self.around[-1] else self.named_or_numbered()
        return self.topic_id() if here["by_id"] or here["both"] else NO_ID

    def name_where_wanted(self):
        if self.version < {"Metadata": 10, "DeleteTopics": 6}[self.api]:
            return self.topic()
        here = self.around[-1] if "by_id" in self.around[-1] else self.named_or_numbered()
        return None if here["by_id"] and not here["both"] else self.topic()

    def resource_name(self):
        match self.around[-1]["resource_type"]:
            case 2:
                return self.topic()
            case 32:
                return self.group()
            case _:
                return self.one("1", "1", "", "2", "one")

    def config_name(self):
        name, value = self.dice.choice(CONFIGS)
        self.around[-1]["wanted"] = value
        return name

    def name_in_create(self):
        return self.topic() if len(self.around) == 2 else self.config_name()

    def config_value(self):
        return self.around[-1].pop("wanted", None)

    def session(self):
        """A new session, none, one of those that were begun, or one that nobody knows: id and epoch together."""
        here = self.around[0]
        if self.world.sessions and self.dice.random() < 0.5:
            session = self.dice.choice(self.world.sessions)
            here["epoch"] = session[1] + (self.dice.random() < 0.1)
            session[1] += 1
            return session[0]
        session_id, here["epoch"] = self.one((0, -1), (0, -1), (0, 0), (0, 3), (12345, 4))
        return session_id

    def records(self):
        dice, here = self.dice, self.around[-1]
        topic = self.around[1]
        values = [b"value %d" % dice.randrange(100) for _ in range(dice.randint(1, 3))]
        kind = dice.random()
        # Null is not asked: Kafka does not answer it.
        if kind < 0.1:
            return b""
        if kind < 0.15:
            return wire.batch(values, crc=7)
        if kind < 0.2:
            return wire.batch([], payload=wire.gzip_payload(b"".join(wire.record(n, v) for n, v in enumerate(values))), attributes=1, count=len(values))
        if kind < 0.6 or not self.world.producers:
            return wire.batch(values)
        producer = dice.choice(self.world.producers)
        place = (producer.name, repr(topic.get("name", topic.get("topic_id"))), here["index"])
        sequence = self.world.sequences.get(place, 0)
        match dice.randrange(10):
            case 0:
                sequence += 1
            case 1:
                sequence = max(0, sequence - len(values))
            case _:
                self.world.sequences[place] = sequence + len(values)
        # Not -1: with a producer's id it is refused here, and Kafka takes it.
        epoch = 0 if dice.random() < 0.9 else 1
        return Records(producer, dict(values=values, producer_epoch=epoch, base_sequence=sequence))


class Records:
    """A batch whose producer each broker calls by another id."""

    def __init__(self, producer, batch):
        self.producer, self.batch = producer, batch

    def __call__(self, broker):
        return wire.batch(producer_id=self.producer.values[broker], **self.batch)

    def __repr__(self):
        return f"<batch of {self.producer.name}: {self.batch}>"


def identity(part):
    """What one part of a list would be known by."""
    if not isinstance(part, dict):
        return repr(part)
    known = [name for name in IDENTITY if part.get(name) not in (None, NO_ID) and not (name == "member_id" and "group_id" in part)]
    known = known or [name for name in IDENTITY if name in part]
    return repr([(name, part[name]) for name in known]) if known else repr(part)


def one(*values):
    return lambda q: q.dice.choice(values)


partition = one(0, 0, 0, 1, 1, 2, 5, -1)
epoch = one(-1, -1, -1, 0, 0, 1, 5)
resource_type = one(2, 2, 2, 2, 4, 8, 16, 32, 0, 99)

# By the name of a field, or of an API and a field.
RULES = {
    "name": Question.topic, "topic": Question.topic, "topic_name": Question.topic, "topic_names": Question.topic,
    "topic_id": Question.topic_id,
    "Metadata.topic_id": Question.id_where_wanted, "Metadata.name": Question.name_where_wanted,
    "DeleteTopics.topic_id": Question.id_where_wanted, "DeleteTopics.name": Question.name_where_wanted,
    "DescribeQuorum.topic_name": one("__cluster_metadata", "__cluster_metadata", "apple"),
    "group_id": Question.group, "groups": Question.group, "groups_names": Question.group, "key": Question.group,
    "coordinator_keys": Question.group, "key_type": one(0, 0, 0, 0, 7),
    "partition": partition, "partition_index": partition, "partition_indexes": partition, "partitions": partition, "index": partition,
    "DescribeQuorum.partition_index": one(0, 0, 1),
    "current_leader_epoch": epoch, "leader_epoch": epoch, "last_fetched_epoch": one(-1, -1, -1, 0, 1), "committed_leader_epoch": epoch,
    "timeout_ms": one(5000, 10_000), "replica_id": one(-1),
    # Topics
    "CreateTopics.name": Question.name_in_create, "num_partitions": one(1, 2, 3, -1, 0), "replication_factor": one(1, 1, 1, -1, -1, 2, 0),
    "CreateTopics.assignments": lambda q: [], "broker_ids": one(1, 1, 1, 1, 2), "count": one(1, 2, 3, 4, 0, -1),
    "CreatePartitions.assignments": lambda q: None,
    "replicas": one(1, 1, 1, 2), "offset": one(-1, 0, 1, 2, 5, 100, -2),
    "election_type": one(0, 0, 1, 5), "response_partition_limit": one(1, 2, 2000, 0),
    "path": lambda q: q.world.log_dir if q.dice.random() < 0.7 else "/nowhere",
    # Settings
    "resource_type": resource_type, "resource_types": one(2, 4, 16, 32, 99), "resource_name": Question.resource_name,
    "configuration_keys": lambda q: q.dice.choice(CONFIGS)[0], "config_operation": one(0, 0, 0, 1, 2, 3, 9),
    "AlterConfigs.name": Question.config_name, "IncrementalAlterConfigs.name": Question.config_name, "value": Question.config_value,
    # Records
    "transactional_id": lambda q: None, "acks": one(-1, -1, -1, 1, 1, 0, 2), "records": Question.records,
    "max_wait_ms": one(0, 0, 50), "min_bytes": one(0, 0, 1), "max_bytes": one(1 << 20, 1 << 20, 100, 0), "isolation_level": one(0, 0, 1),
    "session_id": Question.session, "session_epoch": lambda q: q.around[0].pop("epoch"), "fetch_offset": one(0, 0, 1, 2, 5, 100, -1),
    "log_start_offset": one(-1), "partition_max_bytes": one(1 << 20, 1 << 20, 100, 0), "rack_id": one("", "rack"),
    "timestamp": one(-1, -1, -2, -2, -3, -4, -5, 0, 1_700_000_000_000, 1_800_000_000_000),
    "transaction_timeout_ms": one(1000, 60_000), "producer_id": one(-1, -1, -1, 5), "producer_epoch": one(-1, -1, -1, 0),
    "enable2_pc": one(False), "keep_prepared_txn": one(False),
    # Groups
    "member_id": Question.member, "group_instance_id": lambda q: None, "generation_id": one(-1, 0, 1, 1, 2, 3),
    "generation_id_or_member_epoch": one(-1, -1, -1, 0, 1, 2), "member_epoch": one(-1),
    # None ends while we ask; a version without a timeout for rebalances would wait for as long.
    "session_timeout_ms": lambda q: q.one(1_700_000, 1_700_000, 1_700_000, 10, 2_000_000) if q.version > 0 else 10,
    "rebalance_timeout_ms": one(1500), "protocol_type": one("consumer", "consumer", "consumer", "connect", ""),
    "protocol_name": lambda q: q.maybe(q.one("range", "wild")), "SyncGroup.protocol_type": lambda q: q.maybe(q.one("consumer", "connect")),
    "JoinGroup.name": one("range", "roundrobin"), "metadata": one(b"", b"\0\1\0\0\0\1\0\5apple\0\0\0\0"), "assignment": one(b"", b"some"),
    "reason": lambda q: q.maybe("because"), "retention_time_ms": one(-1), "committed_offset": one(0, 1, 5, 100, -1),
    "committed_metadata": lambda q: q.one("", "note", "x" * 5000) if q.dice.random() < 0.8 else None,
    "states_filter": one("Stable", "Empty", "empty", "nonsense"), "types_filter": one("classic", "consumer", "nonsense"),
    # The cluster
    "feature": one("metadata.version", "no.such.feature"), "max_version_level": one(0, 99, 999), "upgrade_type": one(1, 2, 3, 9),
    "client_software_name": one("differ", "differ", "", "a b"), "client_software_version": one("1.0", "1.0", "-"),
    "endpoint_type": one(1, 1, 2, 9),
}


def dice_for(seed, number):
    """The dice of one request: the same for the same seed, whatever was answered before."""
    return random.Random(f"{seed}:{number}")
