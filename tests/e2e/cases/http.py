"""A node seen from outside: its probes, its metrics, its verdict on the cluster, and what it does with clients that are none."""

import re
import socket
import threading
import time
from pathlib import Path

from harness import http, wire
from harness.cluster import tolerant
from harness.context import equal, eventually
from harness.records import consume, produce_all
from harness.registry import case

RECORDS = 500
REFERENCE = Path(__file__).resolve().parents[3] / "docs/operate/metrics.md"


@case(fresh=True, only_chronik=True)
def a_single_node_is_alive_ready_and_healthy(cx):
    node = cx.broker
    for path in ("/livez", "/readyz", "/version"):
        equal(http.get(node, path).status, 200, path)
    equal(http.document(node, "/readyz")[1], {"status": "ready", "reasons": []})
    topic = cx.topic(partitions=3)
    status, cluster = http.document(node, "/clusterz")
    equal((status, cluster["verdict"], cluster["problems"]), (200, "HEALTHY", []))
    equal(cluster["metadata"]["leader"], node.node_id)
    assert topic and cluster["partitions"] >= 3, cluster
    (only,) = cluster["nodes"]
    equal((only["id"], only["state"], only["leaders"]), (node.node_id, "up", cluster["partitions"]))
    assert only["disk_total_bytes"] > only["disk_free_bytes"] > 0, only
    equal(http.document(node, "/api/v1/cluster")[0], 200)


@case(fresh=True, only_chronik=True)
def what_is_counted_is_what_was_done(cx):
    topic = cx.topic(partitions=2)
    values = [b"value-%d" % number for number in range(RECORDS)]
    produce_all(cx.producer(), topic, [(None, value) for value in values])
    group = cx.name("group")
    consumer = cx.consumer(group)
    consume(consumer, topic, RECORDS)
    consumer.commit(asynchronous=False)
    produce_all(cx.producer(), topic, [(None, b"later")] * 7)

    scrape = http.scrape(cx.broker)
    equal(scrape("chronik_kafka_records_total", topic=topic), RECORDS + 7, "records from producers")
    bytes_in, bytes_out = (scrape("chronik_kafka_bytes_total", topic=topic, direction=way) for way in ("in", "out"))
    assert bytes_in > sum(map(len, values)) and bytes_out > sum(map(len, values)), (bytes_in, bytes_out)
    assert scrape("chronik_kafka_node_bytes_total", direction="in") >= bytes_in
    for api in ("Produce", "Fetch", "Metadata", "JoinGroup", "OffsetCommit"):
        assert scrape("chronik_kafka_request_duration_seconds_count", api=api, result="ok") >= 1, api
    equal(scrape("chronik_group_members", group=group), 1)
    equal(sum(scrape.all("chronik_group_lag_records").values()), 7, "records behind")
    assert scrape("chronik_group_rebalances_total", group=group) >= 1
    assert scrape("chronik_wal_fsync_duration_seconds_count") >= 1
    assert scrape("chronik_kafka_connections", listener="PLAINTEXT") >= 1
    equal(scrape("chronik_raft_isr_size", topic=topic, partition=1), 1)
    equal(scrape("chronik_cluster_health_status"), 0)
    assert scrape("chronik_disk_free_bytes") > 0
    consumer.close()


@case(fresh=True, only_chronik=True)
def failures_are_counted_as_such(cx):
    topic = cx.topic()
    broken = wire.header(wire.PRODUCE, 3, 7) + wire.produce_body(topic, 99, wire.batch([b"value"]))
    with wire.Connection(cx.port) as connection:
        connection.send(wire.frame(broken))
        connection.response()
    with wire.Connection(cx.port) as connection:
        connection.send(wire.frame(wire.header(wire.METADATA, 99, 1) + b"\0" * 20))
        assert connection.closed_by_peer()
    scrape = http.scrape(cx.broker)
    equal(scrape("chronik_kafka_request_duration_seconds_count", api="Produce", result="error"), 1)
    equal(scrape("chronik_kafka_request_duration_seconds_count", api="Metadata", result="closed"), 1)


@case(fresh=True, only_chronik=True)
def who_holds_connections_open_keeps_nobody_out(cx):
    """Two hundred that say a byte a second, and some that speak Kafka: probes, scrapes and records go on."""
    topic = cx.topic()
    silent = []
    for _ in range(200):
        connection = socket.create_connection(("127.0.0.1", cx.broker.http_port), 10)
        connection.sendall(b"GET /livez HTTP/1.1\r\nX: ")
        silent.append(connection)
    for garbage in (b"\0\0\0\x12\0\x12\0\0\0\0\0\1\0\1a", b"\xff" * 5000, b"GET " + b"/" * 100_000):
        with socket.create_connection(("127.0.0.1", cx.broker.http_port), 10) as connection:
            try:
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                said = connection.recv(1000)
            except TimeoutError:
                raise
            except OSError:
                # Closed before all was said, and perhaps before this side could end it.
                said = b""
            assert said == b"" or said.startswith(b"HTTP/1.1 4"), said
    dripping = threading.Thread(target=drip, args=(silent,), daemon=True)
    dripping.start()
    produce_all(cx.producer(), topic, [(None, b"value")] * 10)
    for _ in range(10):
        equal(http.get(cx.broker, "/livez").status, 200)
        http.scrape(cx.broker)
    equal(len(consume(cx.consumer(), topic, 10)), 10)
    # All of them end, however they drip.
    dripping.join(30)
    assert not dripping.is_alive(), "a connection that never ends its request is still open"


def drip(connections):
    open_ones = list(connections)
    while open_ones:
        for connection in list(open_ones):
            try:
                connection.sendall(b"x")
            except OSError:
                open_ones.remove(connection)
        time.sleep(0.5)


@case(nodes=3, timeout_s=180, only_chronik=True)
def a_cluster_is_healthy_then_degraded_then_healthy(cx):
    topic = cx.topic(partitions=3)
    produce_all(cx.producer(), topic, [(None, b"value")] * 100)
    nodes = cx.cluster.nodes

    def verdicts():
        return [http.document(node, "/clusterz") for node in cx.cluster.running()]

    def all_say(verdict):
        return tolerant(lambda: all(document["verdict"] == verdict for _, document in verdicts()))

    eventually(all_say("HEALTHY"), "every node says that the cluster is healthy", 60)
    leader = {document["metadata"]["leader"] for _, document in verdicts()}
    equal(len(leader), 1, "leaders of the metadata that nodes tell of")
    check_metrics_of(cx, topic)

    gone = next(node for node in nodes if node.node_id not in leader)
    gone.kill()
    eventually(all_say("DEGRADED"), "those that are left say that it is degraded", 60)
    for status, document in verdicts():
        equal(status, 200, "it serves")
        codes = {problem["code"]: problem for problem in document["problems"]}
        assert "NODE_DOWN" in codes and f"node {gone.node_id}" in codes["NODE_DOWN"]["examples"], document["problems"]
        assert all(problem["fix"] and problem["title"] for problem in document["problems"]), document["problems"]
        states = {node["id"]: node["state"] for node in document["nodes"]}
        equal(states[gone.node_id], "down")
    # What was told a moment before is told again for a moment.
    eventually(lambda: all(http.scrape(node)("chronik_cluster_health_status") == 1 for node in cx.cluster.running()), "metrics agree", 30)
    scrapes = [http.scrape(node) for node in cx.cluster.running()]
    equal([scrape("chronik_cluster_nodes", state="down") for scrape in scrapes], [1, 1])
    assert sum(scrape("chronik_isr_shrinks_total") for scrape in scrapes) >= 3, "three sets have lost a replica"
    assert sum(scrape("leader_changes_total") for scrape in scrapes) >= 1, "another leads what it led"

    other = next(node for node in cx.cluster.running() if node.node_id not in leader)
    other.kill()
    (left,) = cx.cluster.running()
    eventually(tolerant(lambda: http.document(left, "/clusterz")[0] == 503), "one of three does not serve", 60)
    status, document = http.document(left, "/clusterz")
    equal(document["verdict"], "UNAVAILABLE")
    equal(document["problems"][0]["severity"], "UNAVAILABLE")
    equal(http.document(left, "/api/v1/cluster")[0], 200)

    # One that comes up and finds too few others says what it waits for.
    cx.cluster.kill()
    gone.launch()
    eventually(tolerant(lambda: http.get(gone, "/livez").status == 200), "it lives before it serves", 30)

    def waits_for_others():
        status, document = http.document(gone, "/readyz")
        equal((status, document["status"]), (503, "not_ready"))
        return document["reasons"][0]["code"] == "NO_METADATA_LEADER"

    eventually(waits_for_others, "it says that too few are there to elect a leader", 30)
    cx.cluster.come_back([node for node in nodes if node is not gone])
    gone.wait_until_ready()
    eventually(all_say("HEALTHY"), "every node says that the cluster is healthy again", 60)
    eventually(tolerant(lambda: all(http.get(node, "/readyz").status == 200 for node in nodes)), "all are ready", 30)
    expands = eventually(tolerant(lambda: sum(http.scrape(node)("chronik_isr_expands_total") for node in nodes)), "replicas are back", 30)
    assert expands >= 3, expands


def check_metrics_of(cx, topic):
    """Every name of the reference page is told by every node, and what depends on a cluster is there."""
    documented = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", REFERENCE.read_text(), re.M)
    assert len(documented) > 40, documented

    def followers_are_known():
        lags = [labels for node in cx.cluster.nodes for labels in http.scrape(node).all("chronik_replica_lag_seconds")]
        return len([labels for labels in lags if ("topic", topic) in labels]) == 6

    # Of a follower that has not confirmed anything yet nothing is told.
    eventually(followers_are_known, "leaders tell of two followers of each of three partitions", 30)
    scrapes = [http.scrape(node) for node in cx.cluster.nodes]
    for scrape in scrapes:
        equal(scrape.kinds, dict(documented), "metrics and their kinds")
    led = sum(scrape("chronik_raft_leader_count", node_id=node.node_id) for scrape, node in zip(scrapes, cx.cluster.nodes))
    equal(led, scrapes[0]("chronik_cluster_partitions"), "partitions that somebody leads")
    sizes = [value for scrape in scrapes for labels, value in scrape.all("chronik_raft_isr_size").items() if ("topic", topic) in labels]
    equal(sizes, [3, 3, 3], "in-sync replicas")
    for name in ("chronik_raft_follower_lag_entries", "chronik_raft_follower_lag_ms", "chronik_replica_lag_seconds"):
        lags = [labels for scrape in scrapes for labels in scrape.all(name) if ("topic", topic) in labels]
        equal(len(lags), 6, f"{name}: two followers of each of three partitions")
    assert sum(scrape("chronik_raft_commit_duration_seconds_count") for scrape in scrapes) >= 1
    assert all(scrape("chronik_raft_elections_total") >= 1 for scrape in scrapes)
    heartbeats = [scrape("chronik_raft_rpc_latency_ms_count", rpc="heartbeat") for scrape in scrapes]
    equal(len([count for count in heartbeats if count]), 2, "nodes that say to the leader that they live")
    assert sum(scrape("chronik_follower_discovery_duration_seconds_count") for scrape in scrapes) >= 6
    leaders = {scrape("chronik_raft_leader_id") for scrape in scrapes}
    assert len(leaders) == 1 and leaders < {1, 2, 3}, leaders
