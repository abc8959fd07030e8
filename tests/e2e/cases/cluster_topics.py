"""Topics of a cluster: created anywhere, known everywhere, spread evenly."""

import time
from collections import Counter

from harness import wire
from harness.cluster import tolerant
from harness.context import equal, eventually
from harness.records import consume, produce_all
from harness.registry import case

TOPIC_ALREADY_EXISTS = 36


@case(nodes=3)
def created_on_any_node_known_on_every_node(cx):
    for asked in cx.cluster.nodes:
        name = cx.name(f"on-{asked.node_id}")
        equal(wire.create_topic(asked.port, name, 3, 3), 0, f"created on node {asked.node_id}")
        for node in cx.cluster.nodes:
            known = eventually(lambda: cx.cluster.partitions(name, node), f"node {node.node_id} knows {name}")
            equal(sorted(known), [0, 1, 2])
            for partition in known.values():
                equal(sorted(partition.replicas), [1, 2, 3])
        # Whoever is asked next, there is one such topic.
        for node in cx.cluster.nodes:
            equal(wire.create_topic(node.port, name, 3, 3), TOPIC_ALREADY_EXISTS, f"again on node {node.node_id}")


@case(nodes=3)
def nine_partitions_on_three_nodes(cx):
    topic = cx.topic(partitions=9)
    partitions = cx.cluster.partitions(topic)
    equal(Counter(partition.leader for partition in partitions.values()), {1: 3, 2: 3, 3: 3}, "leaders")
    for index, partition in partitions.items():
        equal(partition.leader, partition.replicas[0], f"partition {index} is led by the first of its replicas")
        equal(sorted(partition.replicas), [1, 2, 3])
    pairs = [(b"%d" % n, b"%d" % n) for n in range(900)]
    produce_all(cx.producer(), topic, pairs)
    got = consume(cx.consumer(), topic, 900)
    equal(sorted(int(message.value()) for message in got), list(range(900)))
    equal({message.partition() for message in got}, set(range(9)))


@case(nodes=5)
def ten_partitions_on_five_nodes(cx):
    """Each node leads two, and holds its share of the three copies."""
    topic = cx.topic(partitions=10)
    partitions = cx.cluster.partitions(topic).values()
    equal(Counter(partition.leader for partition in partitions), {node: 2 for node in range(1, 6)}, "leaders")
    replicas = Counter(node for partition in partitions for node in partition.replicas)
    equal(replicas, {node: 6 for node in range(1, 6)}, "replicas")


@case(nodes=3)
def nodes_that_start_one_after_the_other(cx):
    """Nobody has to start them in an order, or at once; and once there is a cluster, two of the three will do."""
    cluster = cx.new_cluster()
    for node in cluster.nodes:
        node.prepare()
        node.launch()
        time.sleep(1)
    for node in cluster.nodes:
        node.wait_until_ready()
    cluster.wait_for_nodes()
    topic = cx.topic(partitions=3)
    cluster.wait_in_sync(topic)
    produce_all(cx.producer(), topic, [(None, b"%d" % n) for n in range(30)])
    cluster.stop()
    two, third = cluster.nodes[1:], cluster.nodes[0]
    cx.cluster.come_back(two)
    produce_all(cx.producer(), topic, [(None, b"%d" % n) for n in range(30, 60)])
    third.start()
    cluster.wait_for_nodes()
    cluster.wait_in_sync(topic)
    equal(sorted(int(message.value()) for message in consume(cx.consumer(), topic, 60)), list(range(60)))


@case(nodes=3)
def deleted_on_one_node_gone_on_every_node(cx):
    topic = cx.topic(partitions=3)
    cx.admin().delete_topics([topic])[topic].result(30)
    for node in cx.cluster.nodes:
        gone = tolerant(lambda: not cx.cluster.partitions(topic, node))
        eventually(gone, f"node {node.node_id} knows {topic} no more")
