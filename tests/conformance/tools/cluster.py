"""Tools that look at the cluster, and those that move leaders and replicas."""

import json
import re

from harness.context import equal
from harness.records import produce_all
from harness.registry import case
from tools.names import (
    API_VERSIONS, CLIENT_METRICS, CLUSTER, ELECTION, FEATURES, LOG_DIRS, QUORUM, REASSIGN, TRANSACTIONS,
)


def at(cx):
    return ["--bootstrap-server", cx.bootstrap]


@case()
def cluster_id(cx):
    said = cx.java_tool(CLUSTER, "cluster-id", *at(cx))
    assert re.search(r"^Cluster ID: [\w-]{22}$", said, re.MULTILINE), said


@case()
def cluster_endpoints(cx):
    said = cx.java_tool(CLUSTER, "list-endpoints", *at(cx))
    assert re.search(rf"^1\s+127\.0\.0\.1\s+{cx.port}\s+null\s+.*broker\s*$", said, re.MULTILINE), said


@case()
def unregistering_an_unknown_broker(cx):
    code, said = cx.java_tool(CLUSTER, "unregister", *at(cx), "--id", 99, check=False)
    assert code != 0 and "BrokerIdNotRegisteredException: Broker ID 99 is not currently registered" in said, (code, said)


@case()
def quorum_status(cx):
    said = cx.java_tool(QUORUM, *at(cx), "describe", "--status")
    values = dict(re.findall(r"^(\w+):\s+(.*)$", said, re.MULTILINE))
    equal((values["LeaderId"], values["MaxFollowerLag"], values["CurrentObservers"]), ("1", "0", "[]"))
    assert int(values["LeaderEpoch"]) >= 1 and int(values["HighWatermark"]) > 0, said
    equal([voter["id"] for voter in json.loads(values["CurrentVoters"])], [1])


@case()
def quorum_replication(cx):
    said = cx.java_tool(QUORUM, *at(cx), "describe", "--replication")
    rows = [line.split() for line in said.splitlines() if re.match(r"\d", line)]
    equal([(row[0], row[3], row[-1]) for row in rows], [("1", "0", "Leader")])


@case()
def features_described(cx):
    said = cx.java_tool(FEATURES, *at(cx), "describe")
    assert re.search(r"Feature: metadata\.version\s+SupportedMinVersion: \S+\s+SupportedMaxVersion: \S+\s+FinalizedVersionLevel: \S+\s+Epoch: \d+", said), said


@case()
def api_versions_of_one_broker(cx):
    said = cx.java_tool(API_VERSIONS, *at(cx))
    assert re.search(rf"^127\.0\.0\.1:{cx.port} \(id: 1 rack: null isFenced: false\) -> \($", said, re.MULTILINE), said
    served = re.findall(r"^\t(\w+)\((\d+)\): (\d+)(?: to (\d+))? \[usable: \d+\]", said, re.MULTILINE)
    assert len(served) >= 30, said


@case(timeout_s=180)
def preferred_election(cx):
    topic = cx.topic(partitions=2)
    said = cx.java_tool(ELECTION, *at(cx), "--election-type", "preferred", "--topic", topic, "--partition", 1)
    assert f"Valid replica already elected for partitions {topic}-1" in said, said
    path = cx.directory / "partitions.json"
    path.write_text(json.dumps({"partitions": [{"topic": topic, "partition": n} for n in range(2)]}))
    said = cx.java_tool(ELECTION, *at(cx), "--election-type", "unclean", "--path-to-json-file", path)
    assert re.search(rf"Valid replica already elected for partitions {topic}-[01], {topic}-[01]", said), said


@case()
def election_of_all(cx):
    cx.topic()
    code, said = cx.java_tool(ELECTION, *at(cx), "--election-type", "preferred", "--all-topic-partitions", check=False)
    equal((code, "Error" in said), (0, False), said)


@case()
def election_of_an_unknown_partition(cx):
    code, said = cx.java_tool(ELECTION, *at(cx), "--election-type", "preferred", "--topic", "unknown", "--partition", 0, check=False)
    assert code != 0 and "UnknownTopicOrPartitionException: No such topic as unknown" in said, (code, said)


@case()
def reassignments_listed(cx):
    equal(cx.java_tool(REASSIGN, *at(cx), "--list").strip(), "No partition reassignments found.")


@case(timeout_s=240)
def reassignment_to_where_it_is(cx):
    topic = cx.topic(partitions=2)
    moves = cx.directory / "topics.json"
    moves.write_text(json.dumps({"version": 1, "topics": [{"topic": topic}]}))
    said = cx.java_tool(REASSIGN, *at(cx), "--generate", "--topics-to-move-json-file", moves, "--broker-list", "1")
    proposed = json.loads(said.split("Proposed partition reassignment configuration")[1])
    equal([(p["topic"], p["partition"], p["replicas"]) for p in proposed["partitions"]], [(topic, 0, [1]), (topic, 1, [1])])
    plan = cx.directory / "plan.json"
    plan.write_text(json.dumps(proposed))
    said = cx.java_tool(REASSIGN, *at(cx), "--execute", "--reassignment-json-file", plan)
    assert f"Successfully started partition reassignments for {topic}-0,{topic}-1" in said, said
    said = cx.java_tool(REASSIGN, *at(cx), "--verify", "--reassignment-json-file", plan)
    for partition in range(2):
        assert f"Reassignment of partition {topic}-{partition} is completed." in said, said


@case(timeout_s=180)
def reassignment_to_a_directory(cx):
    """With the directory of each replica in the plan, DescribeLogDirs and AlterReplicaLogDirs are asked too."""
    topic = cx.topic()
    produce_all(cx.producer(), topic, [(None, b"v")])
    described = cx.java_tool(LOG_DIRS, *at(cx), "--describe", "--topic-list", topic)
    broker = json.loads(next(line for line in described.splitlines() if line.startswith("{")))["brokers"][0]
    plan = cx.directory / "plan.json"
    partition = {"topic": topic, "partition": 0, "replicas": [1], "log_dirs": [broker["logDirs"][0]["logDir"]]}
    plan.write_text(json.dumps({"version": 1, "partitions": [partition]}))
    said = cx.java_tool(REASSIGN, *at(cx), "--execute", "--reassignment-json-file", plan)
    assert f"Successfully started partition reassignment for {topic}-0" in said, said
    said = cx.java_tool(REASSIGN, *at(cx), "--verify", "--reassignment-json-file", plan)
    assert f"Reassignment of partition {topic}-0 is completed." in said, said


@case()
def reassignment_to_an_unknown_broker(cx):
    topic = cx.topic()
    plan = cx.directory / "plan.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": [9]}]}))
    code, said = cx.java_tool(REASSIGN, *at(cx), "--execute", "--reassignment-json-file", plan, check=False)
    assert code != 0 and "Unknown broker id 9" in said, (code, said)


@case()
def reassignment_called_off(cx):
    topic = cx.topic()
    plan = cx.directory / "plan.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": [1]}]}))
    said = cx.java_tool(REASSIGN, *at(cx), "--cancel", "--reassignment-json-file", plan)
    assert "None of the specified partition reassignments are active." in said, said


@case()
def log_dirs_of_all_topics(cx):
    topic = cx.topic(partitions=3)
    said = cx.java_tool(LOG_DIRS, *at(cx), "--describe", "--broker-list", "1")
    (broker,) = json.loads(next(line for line in said.splitlines() if line.startswith("{")))["brokers"]
    found = {p["partition"] for directory in broker["logDirs"] for p in directory["partitions"]}
    assert {f"{topic}-{n}" for n in range(3)} <= found, said


@case()
def client_metrics_listed(cx):
    equal(cx.java_tool(CLIENT_METRICS, *at(cx), "--list").strip(), "")


@case()
def transactions_listed(cx):
    said = cx.java_tool(TRANSACTIONS, *at(cx), "list")
    assert re.search(r"^TransactionalId\s+Coordinator\s+ProducerId\s+TransactionState", said), said


@case()
def producers_described(cx):
    topic = cx.topic()
    producer = cx.producer(enable_idempotence=True)
    produce_all(producer, topic, [(None, b"v")] * 3)
    said = cx.java_tool(TRANSACTIONS, *at(cx), "describe-producers", "--topic", topic, "--partition", 0)
    assert re.search(r"^\d+\s+0\s+-1\s+2\s+\d+\s+None\s*$", said, re.MULTILINE), said
