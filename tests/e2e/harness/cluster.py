"""Clusters of brokers as processes on loopback: each node in a directory of its own, told of all the others."""

from harness import wire
from harness.broker import Chronik, Kafka, free_port
from harness.context import eventually

# Times that a case can wait for; the rest is as it comes.
SESSION_TIMEOUT_MS = 3000
HEARTBEAT_INTERVAL_MS = 500


class ChronikNode(Chronik):
    """A node of our own."""

    def __init__(self, directory, settings, node_id, **tables):
        super().__init__(directory, {**settings, "node.id": str(node_id)}, **tables)
        self.wal_port, self.raft_port = free_port(), free_port()
        self.nodes = []

    def _addresses(self):
        return [f'wal = "127.0.0.1:{self.wal_port}"', f'raft = "127.0.0.1:{self.raft_port}"']

    def _peers(self):
        lines = []
        for node in self.nodes:
            lines += ["[[peers]]", f"id = {node.node_id}", f'kafka = "{node.bootstrap}"']
            lines += [f'wal = "127.0.0.1:{node.wal_port}"', f'raft = "127.0.0.1:{node.raft_port}"']
        return lines


class KafkaNode(Kafka):
    """A node of Apache Kafka's, broker and controller in one."""

    def __init__(self, directory, settings, node_id, **_):
        of_cluster = {
            "offsets.topic.replication.factor": settings["default.replication.factor"],
            "broker.session.timeout.ms": str(SESSION_TIMEOUT_MS),
            "broker.heartbeat.interval.ms": str(HEARTBEAT_INTERVAL_MS),
            "group.coordinator.append.linger.ms": "0",
        }
        super().__init__(directory, {**of_cluster, **settings, "node.id": str(node_id)})
        self.nodes = []

    def _voters(self):
        return ",".join(f"{node.node_id}@127.0.0.1:{node.controller_port}" for node in self.nodes)


NODES = {"chronik": ChronikNode, "kafka": KafkaNode}


class Cluster:
    """Nodes 1 to `size`. `tables`: what else their files say, by the names of our own (`storage`, `replication`)."""

    node_types = NODES

    def __init__(self, kind, directory, settings, size, **tables):
        self.kind = kind
        replicas = min(3, size)
        settings = {
            "default.replication.factor": str(replicas),
            "min.insync.replicas": "2" if replicas == 3 else "1",
            **settings,
        }
        node = self.node_types[kind]
        self.nodes = [node(directory / f"node-{number}", settings, number, **tables) for number in range(1, size + 1)]
        for node in self.nodes:
            node.nodes = self.nodes

    def __getitem__(self, node_id):
        return self.nodes[node_id - 1]

    @property
    def bootstrap(self):
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self):
        """Starts all at once, as nobody waits for another, and waits until each knows of all."""
        for node in self.nodes:
            node.prepare()
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_ready()
        self.wait_for_nodes()
        return self

    def wait_for_nodes(self):
        def complete():
            return all(len(wire.metadata(node.port).brokers) == len(self.nodes) for node in self.running())

        eventually(tolerant(complete), "each node knows of all", timeout_s=60)

    def stop(self):
        """Asks all at once to stop: none of them waits for another."""
        running = self.running()
        for node in running:
            node.ask_to_stop()
        for node in running:
            ended = node.wait_until_stopped()
            assert ended == self.stopped_with, f"node {node.node_id} ended with {ended}:\n{node.log_tail()}"

    @property
    def stopped_with(self):
        """What a node ends with that was asked to: a JVM ends with the number of the signal."""
        return 143 if self.kind == "kafka" else 0

    def kill(self):
        for node in self.nodes:
            node.kill()

    def come_back(self, nodes=None):
        """Starts nodes that were killed all at once, as none of them waits for another, and waits until each serves."""
        nodes = self.nodes if nodes is None else nodes
        for node in nodes:
            node.launch()
        for node in nodes:
            node.wait_until_ready()

    def running(self):
        return [node for node in self.nodes if node.running()]

    def others(self, node):
        return [other for other in self.nodes if other is not node]

    def partitions(self, topic, of=None):
        """The topic as one node knows it, by partition; nothing while it knows no such topic."""
        error, partitions = wire.metadata((of or self.running()[0]).port, [topic]).topics[topic]
        return partitions if error == 0 else {}

    def leader(self, topic, partition=0, of=None):
        """The node that leads a partition."""

        def found():
            known = self.partitions(topic, of).get(partition)
            return known is not None and known.leader > 0 and self[known.leader]

        return eventually(tolerant(found), f"somebody leads {topic}-{partition}", timeout_s=60)

    def metadata_leader(self, of=None):
        """The node that leads the metadata."""

        def found():
            leader = wire.metadata_leader((of or self.running()[0]).port)
            return leader is not None and self[leader]

        return eventually(tolerant(found), "somebody leads the metadata", timeout_s=60)

    def wait_in_sync(self, topic, of=None):
        """Waits until every replica of the topic is in sync, as every node that runs knows it."""

        def whole():
            for node in [of] if of else self.running():
                known = self.partitions(topic, node).values()
                if not known or any(sorted(p.in_sync) != sorted(p.replicas) or p.leader < 1 for p in known):
                    return False
            return True

        eventually(tolerant(whole), f"every replica of {topic} is in sync", timeout_s=90)


def tolerant(condition):
    """The condition, not true while the node that is asked does not answer."""

    def asked():
        try:
            return condition()
        except (OSError, EOFError):
            return False

    return asked
