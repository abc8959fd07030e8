"""What a case is given: a broker, names of its own, and the clients' usual starting points."""

import os
import secrets
import subprocess
import time
from pathlib import Path

from harness.broker import PATIENCE, Chronik, Kafka, java

BROKERS = {"chronik": Chronik, "kafka": Kafka}


class Context:
    def __init__(self, against, directory, settings, shared_port=None, nodes=1):
        self.against = against
        self.nodes = nodes
        self.directory = Path(directory)
        self.settings = settings
        self._shared_port = shared_port
        self._broker = None
        self._cluster = None
        self._own = []

    @property
    def bootstrap(self):
        if self.nodes > 1:
            return self.cluster.bootstrap
        if self._shared_port is not None:
            return f"127.0.0.1:{self._shared_port}"
        return self.broker.bootstrap

    @property
    def port(self):
        return self._shared_port or self.broker.port

    @property
    def cluster(self):
        """As many nodes as the case wants, started at first use."""
        if self._cluster is None:
            self._cluster = self.new_cluster().start()
        return self._cluster

    def new_cluster(self, proxied=False, **tables):
        """The same, not started yet. `proxied`: with a network that can be at fault; `tables` of its nodes' files."""
        from harness.cluster import Cluster
        from harness.network import ProxiedCluster

        assert self.nodes > 1, "a case that has a cluster says of how many nodes"
        kind = ProxiedCluster if proxied else Cluster
        self._cluster = kind(self.against, self.directory, self.settings, self.nodes, **tables)
        self._own.append(self._cluster)
        return self._cluster

    @property
    def broker(self):
        """A broker for this case alone, started at first use."""
        assert self.nodes == 1, "a case that has a cluster says which of its nodes it means"
        assert self._shared_port is None, "a case that touches its broker must be marked fresh"
        if self._broker is None:
            self._broker = self.new_broker("broker").start()
        return self._broker

    def new_broker(self, name, **arguments):
        """Another broker in a directory of its own, not started yet; ended with the case."""
        settings = {**self.settings, **arguments.pop("settings", {})}
        broker = BROKERS[self.against](self.directory / name, settings, **arguments)
        self._own.append(broker)
        return broker

    def use(self, broker):
        """Makes this the broker that clients of this case talk to."""
        self._broker = broker
        return broker

    def close(self):
        for broker in self._own:
            broker.kill()

    # Names

    def name(self, what="topic"):
        """A name that nobody else uses on a shared broker."""
        return f"{what}-{secrets.token_hex(4)}"

    def topic(self, partitions=1, configs=None, name=None):
        """A new topic, ready to be used. Its name."""
        from confluent_kafka.admin import NewTopic

        name = name or self.name()
        topic = NewTopic(name, num_partitions=partitions, replication_factor=min(3, self.nodes), config=configs or {})
        self.admin().create_topics([topic])[name].result(30)
        self.wait_for_topic(name, partitions)
        return name

    def wait_for_topic(self, name, partitions):
        def ready():
            topic = self.admin().list_topics(name, timeout=10).topics[name]
            return topic.error is None and len(topic.partitions) == partitions and all(
                partition.leader >= 0 for partition in topic.partitions.values()
            )

        eventually(ready, f"{name} has {partitions} partitions with leaders")

    # librdkafka

    def admin(self):
        from confluent_kafka.admin import AdminClient

        if not hasattr(self, "_admin"):
            self._admin = AdminClient({"bootstrap.servers": self.bootstrap})
        return self._admin

    def producer(self, **settings):
        from confluent_kafka import Producer

        return Producer({"bootstrap.servers": self.bootstrap, **dotted(settings)})

    def consumer(self, group=None, **settings):
        from confluent_kafka import Consumer

        defaults = {
            "bootstrap.servers": self.bootstrap,
            "group.id": group or self.name("group"),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 100,
        }
        return Consumer({**defaults, **dotted(settings)})

    # Other processes

    def java_tool(self, main_class, *arguments, stdin=None, timeout_s=60, check=True, ok=(0,)):
        """Runs one of Kafka's own tools; its standard output."""
        done = subprocess.run(
            [*java("-Xmx256m"), main_class, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s * PATIENCE,
        )
        if check and done.returncode not in ok:
            raise AssertionError(f"{main_class} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout if check else (done.returncode, done.stdout + done.stderr)

    def java_start(self, main_class, *arguments, stdout):
        """Starts one of Kafka's own tools and leaves it running."""
        process = subprocess.Popen(
            [*java("-Xmx256m"), main_class, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
        )
        self._own.append(OwnProcess(process))
        return process

    def go(self, *arguments, timeout_s=100, stdout=None):
        """Runs one case of the franz-go program; its standard output."""
        done = subprocess.run(
            [os.environ["E2E_GO_CASES"], self.bootstrap, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


class OwnProcess:
    """Something to be killed with the case."""

    def __init__(self, process):
        self.process = process

    def kill(self):
        self.process.kill()
        self.process.wait()


def dotted(settings):
    """`a_b=1` for Kafka's `a.b`."""
    return {name.replace("_", "."): value for name, value in settings.items()}


def eventually(condition, what, timeout_s=30):
    """Waits until the condition holds: what is promised is that it comes, not when."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.05)


def equal(found, wanted, what=""):
    assert found == wanted, f"{what}: found {short(found)}, wanted {short(wanted)}"


def short(value, limit=2000):
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "…"
