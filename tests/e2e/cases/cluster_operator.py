"""A cluster as its operator meets it: what every answer says of placement, `cluster status`, and the ways of old to start one."""

import time
from collections import Counter

from confluent_kafka.admin import ConfigResource

from harness import placement, wire
from harness.cluster import ChronikNode, tolerant
from harness.context import equal, eventually
from harness.records import consume, produce_all
from harness.registry import case

PARTITIONS = 9
HEALTHY, UNHEALTHY, UNREACHABLE = 0, 10, 4


@case(nodes=3, only_chronik=True, timeout_s=300)
def every_answer_tells_of_the_same_placement(cx):
    cluster = cx.cluster
    topic = cx.topic(partitions=PARTITIONS)
    produce_all(cx.producer(), topic, [(b"%d" % n, b"%d" % n) for n in range(900)])
    cluster.wait_in_sync(topic)
    exit_code, document = settled(cluster, topic)
    equal((exit_code, document["verdict"], document["problems"]), (HEALTHY, "HEALTHY", []))
    equal([(node["leaders"], node["replicas"]) for node in document["nodes"]], [(3, PARTITIONS)] * 3, "balanced")
    equal({node["lag_records"] for node in document["nodes"]}, {0})

    # One that leads a third of it is gone.
    lost = cluster.leader(topic, 0)
    lost.kill()
    eventually(lambda: state_of(cluster, lost) == "down", f"node {lost.node_id} is given up")
    exit_code, document = settled(cluster, topic)
    equal((exit_code, document["verdict"]), (UNHEALTHY, "DEGRADED"))
    equal(sorted(problem["code"] for problem in document["problems"]), ["NODE_DOWN", "UNDER_REPLICATED"])
    equal(len(document["affected_partitions"]), PARTITIONS)
    fixes = " ".join(problem["fix"] for problem in document["problems"])
    assert f"start node {lost.node_id}" in fixes, fixes

    # Back, it follows: others go on leading until an operator, or five minutes, gives it its share back.
    lost.start()
    cluster.wait_in_sync(topic)
    exit_code, document = settled(cluster, topic)
    equal((exit_code, document["not_preferred_partitions"]), (HEALTHY, 3))
    equal([problem["severity"] for problem in document["problems"]], ["NOTE"])
    preferred = [index for index, partition in cluster.partitions(topic).items() if partition.replicas[0] == lost.node_id]
    # Asked of any node; what has its leader already says so.
    asked = cluster.others(lost)[0]
    equal(placement.elect_preferred(asked.port, topic, preferred), {index: 0 for index in preferred})
    equal(placement.elect_preferred(asked.port, topic, preferred[:1]), {preferred[0]: 84}, "ELECTION_NOT_NEEDED")
    exit_code, document = settled(cluster, topic)
    equal((exit_code, document["problems"], [node["leaders"] for node in document["nodes"]]), (HEALTHY, [], [3, 3, 3]))


@case(nodes=3, only_chronik=True, timeout_s=200)
def a_majority_is_gone(cx):
    """What the metadata says of silent nodes is old then, and nobody may take it for true."""
    cluster = cx.cluster
    topic = cx.topic(partitions=3)
    cluster.wait_in_sync(topic)
    left = cluster[1]
    for node in cluster.others(left):
        node.kill()
    exit_code, document, said = status_when(left, lambda document: document["metadata"]["leader"] is None)
    equal((exit_code, document["verdict"]), (UNHEALTHY, "UNAVAILABLE"))
    codes = [problem["code"] for problem in document["problems"]]
    assert {"NO_METADATA_LEADER", "OFFLINE_PARTITIONS", "NODE_DOWN"} <= set(codes), codes
    equal(document["problems"][0]["fix"], "start nodes 2, 3; 2 of 3 have to be up")
    equal(document["offline_partitions"], 2, "those that the dead lead")
    assert "(node 2) not reached: connection refused" in said and "(node 3) not reached" in said, said

    # Started again while the others are away, it says for whom it waits, and says so to who asks.
    left.stop()
    left.launch()
    waits = "waiting for a majority of the nodes, which elects a metadata leader: nodes [2, 3] are not reached"
    eventually(lambda: waits in left.log_tail(), "it says for whom it waits")
    exit_code, document, said = placement.status(left)
    equal((exit_code, document), (UNREACHABLE, None))
    assert "(node 1) accepts connections and does not answer: it waits for other nodes" in said, said
    cluster.come_back(cluster.others(left))
    left.wait_until_ready()
    cluster.wait_in_sync(topic)
    status_when(left, lambda document: document["verdict"] == "HEALTHY")


@case(nodes=3, only_chronik=True)
def a_node_that_waits_for_the_others_says_so(cx):
    cluster = cx.new_cluster()
    first = cluster[1]
    first.prepare()
    first.launch()
    waits = "waiting for nodes [2, 3]: a cluster is founded when all of its nodes are up for the first time"
    eventually(lambda: waits in first.log_tail(), "it says for whom")
    equal(placement.status(first)[0], UNREACHABLE)
    for node in cluster.others(first):
        node.prepare()
        node.launch()
    cluster.wait_for_nodes()
    lines = [line for line in first.log_path.read_text().splitlines() if "waiting for nodes" in line]
    assert len(lines) <= 3, f"said once, and when it changes: {lines}"


@case(nodes=3, only_chronik=True, timeout_s=200)
def nodes_that_are_started_by_their_old_flags(cx):
    """`raft-cluster` with a list of the others' Raft addresses, as earlier servers had it."""
    cluster = cx.new_cluster()
    cluster.nodes = [OldNode(cx.directory / f"old-{number}", node.settings, number) for number, node in enumerate(cluster.nodes, 1)]
    for node in cluster.nodes:
        node.nodes = cluster.nodes
    cluster.start()
    topic = cx.topic(partitions=3)
    cluster.wait_in_sync(topic)
    equal(Counter(partition.leader for partition in cluster.partitions(topic).values()), {1: 1, 2: 1, 3: 1})
    produce_all(cx.producer(), topic, [(None, b"%d" % n) for n in range(90)])
    equal(sorted(int(message.value()) for message in consume(cx.consumer(), topic, 90)), list(range(90)))
    # Who was told of Raft addresses alone knows all others by now.
    for node in cluster.nodes:
        equal(placement.brokers(node.port), {1: False, 2: False, 3: False})
        for name in ("raft-cluster", "--peers", "--raft-addr", "--node-id", "--bootstrap", "CHRONIK_WAL_RECEIVER_ADDR"):
            assert any("warning[CHK0301]" in line and name in line for line in node.log_path.read_text().splitlines()), name
    cluster.stop()


@case({"default.replication.factor": "2", "min.insync.replicas": "1"}, nodes=3, only_chronik=True, timeout_s=200)
def settings_of_a_cluster_are_kept_to(cx):
    """Far from their defaults, so that it need not be measured whether something came a moment early or late."""
    cluster = cx.new_cluster()
    for node in cluster.nodes:
        node.tables["raft"] = {"election_timeout_ms": 60_000, "rpc_timeout_ms": 300}
        node.tables["replication"] = {"session_timeout_ms": 60_000}
    cluster.start()
    made = cx.name()
    produce_all(cx.producer(), made, [(None, b"made by its first record")])
    equal({len(partition.replicas) for partition in cluster.partitions(made).values()}, {2}, "replication_factor")
    resource = ConfigResource(ConfigResource.Type.TOPIC, made)
    configs = cx.admin().describe_configs([resource])[resource].result(30)
    equal(configs["min.insync.replicas"].value, "1", "min_insync_replicas")

    leader = cluster.metadata_leader()
    silent, asked = cluster.others(leader)
    silent.pause()
    # By default it would be fenced after three seconds.
    time.sleep(6)
    equal(placement.brokers(asked.port), {1: False, 2: False, 3: False}, "nobody is given up")
    silent.resume()
    leader.pause()
    # By default another would lead after two, and who asks meanwhile would wait for five.
    time.sleep(6)
    begun = time.monotonic()
    equal(wire.metadata_leader(asked.port), None, "nobody leads in its place")
    assert time.monotonic() - begun < 4, "whoever does not lead says so after rpc_timeout_ms"
    leader.resume()
    equal(cluster.metadata_leader(asked).node_id, leader.node_id)


class OldNode(ChronikNode):
    """A node that has no file."""

    def _command(self):
        others = ",".join(f"{node.node_id}@127.0.0.1:{node.raft_port}" for node in self.nodes if node is not self)
        return [
            *("env", f"CHRONIK_WAL_RECEIVER_ADDR=127.0.0.1:{self.wal_port}", self.binary),
            *("--node-id", str(self.node_id), "--bind-addr", "127.0.0.1", "--kafka-port", str(self.port)),
            *("raft-cluster", "--raft-addr", f"127.0.0.1:{self.raft_port}", "--peers", others, "--bootstrap"),
            *("--data-dir", self.data_dir),
        ]


def state_of(cluster, node):
    document = placement.status(cluster.running()[0])[1]
    return document["nodes"][node.node_id - 1]["state"] if document else None


def status_when(node, condition):
    """What `cluster status` says, once the document is as wanted."""

    def found():
        answer = placement.status(node)
        return answer[1] is not None and condition(answer[1]) and answer

    return eventually(found, "the status is as wanted", timeout_s=60)


def settled(cluster, topic):
    """Exit code and document, once every node that runs, by every answer it gives, tells of what the document does."""
    seen = {}

    def agreed():
        exit_code, document, _ = placement.status(cluster.running()[0])
        seen["differences"] = list(differences(cluster, topic, document))
        return not seen["differences"] and (exit_code, document)

    try:
        return eventually(tolerant(agreed), "all answers agree", timeout_s=60)
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen}") from None


def differences(cluster, topic, document):
    partitions = cluster.partitions(topic)
    away = {node.node_id for node in cluster.nodes if not node.running()}
    described = {i: (p.leader, p.replicas, sorted(p.in_sync), [r for r in p.replicas if r in away]) for i, p in partitions.items()}
    leaders = Counter(partition.leader for partition in partitions.values())
    replicas = Counter(node for partition in partitions.values() for node in partition.replicas)
    in_sync = Counter(node for partition in partitions.values() for node in partition.in_sync)
    for node in document["nodes"]:
        number = node["id"]
        shares = (node["leaders"], node["replicas"], node["replicas"] - node["out_of_sync"])
        if shares != (leaders[number], replicas[number], in_sync[number]):
            yield f"status of node {number}: {shares}"
        if (node["state"] != "up") != (number in away):
            yield f"state of node {number}: {node['state']}"
    lacking = {i for i, p in partitions.items() if len(p.in_sync) < len(p.replicas)}
    if {affected["partition"] for affected in document["affected_partitions"]} != lacking:
        yield f"affected: {document['affected_partitions']}"
    if document["partitions"] != PARTITIONS:
        yield f"{document['partitions']} partitions"
    for node in cluster.running():
        if cluster.partitions(topic, node) != partitions:
            yield f"Metadata of node {node.node_id}"
        if placement.topic_partitions(node.port, topic) != described:
            yield f"DescribeTopicPartitions of node {node.node_id}"
        if placement.brokers(node.port) != {other.node_id: other.node_id in away for other in cluster.nodes}:
            yield f"DescribeCluster of node {node.node_id}: {placement.brokers(node.port)}"
        if wire.metadata_leader(node.port) != document["metadata"]["leader"]:
            yield f"DescribeQuorum of node {node.node_id}"
        own = {(topic, index) for index, partition in partitions.items() if node.node_id in partition.replicas}
        if {key for key in placement.kept(node.port) if key[0] == topic} != own:
            yield f"DescribeLogDirs of node {node.node_id}"
