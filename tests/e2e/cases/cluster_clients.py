"""Clients that others wrote, with their own ideas of retrying, through the death and the stop of nodes."""

import json
import os
import subprocess
import threading
import time

from kafka import KafkaProducer

from harness import checker
from harness.broker import java
from harness.context import equal, eventually
from harness.flow import read_all, verdict
from harness.registry import case

PARTITIONS = 3
VERIFIABLE_PRODUCER = "org.apache.kafka.tools.VerifiableProducer"
VERIFIABLE_CONSUMER = "org.apache.kafka.tools.VerifiableConsumer"


@case(nodes=3, timeout_s=400)
def java_franz_go_and_kafka_python(cx):
    """Each fills a topic of its own while a node is killed and another one is restarted; Java reads while it writes."""
    topics = {name: cx.topic(partitions=PARTITIONS) for name in ("java", "go", "python")}
    producers = [Java(cx, topics["java"]), FranzGo(cx, topics["go"]), KafkaPython(cx, topics["python"])]
    reader = JavaReader(cx, topics["java"])
    for producer in [*producers, reader]:
        producer.start()
    go_on(producers, "at first")
    cluster = cx.cluster
    for name in topics:
        victim = cluster.leader(topics[name], 0)
        victim.kill()
        go_on(producers, f"without node {victim.node_id}, which was killed,")
        victim.start()
        for topic in topics.values():
            cluster.wait_in_sync(topic)
        stopped = cluster.others(victim)[0]
        equal(stopped.stop(), cluster.stopped_with)
        go_on(producers, f"without node {stopped.node_id}, which was stopped,")
        stopped.start()
        for topic in topics.values():
            cluster.wait_in_sync(topic)
    go_on(producers, "at last")
    for producer in producers:
        acked = producer.finish()
        read = read_all(cx, producer.topic, PARTITIONS)
        verdict([f"{producer.name}: {finding}" for finding in checker.check(acked, read) + producer.order(read)])
        equal(len(read), len(acked), f"{producer.name}: records in the log")
    written = {(partition, offset) for partition, offset, _ in read_all(cx, topics["java"], PARTITIONS)}
    eventually(lambda: reader.read() >= written, "Java has read all that Java wrote", timeout_s=60)


def go_on(producers, when):
    before = [len(producer.acked()) for producer in producers]
    for producer, count in zip(producers, before):
        eventually(lambda: len(producer.acked()) > count + 50, f"{when} {producer.name} is acknowledged", timeout_s=90)


class Outside:
    """A producer in a process of its own, which prints a line for what is acknowledged."""

    def __init__(self, cx, topic):
        self.cx = cx
        self.topic = topic
        self.path = cx.directory / f"{self.name}.txt"
        self._read = 0
        self._acked = []

    def start(self):
        with open(self.path, "wb") as out, open(f"{self.path}.complaints.txt", "wb") as complaints:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=out, stderr=complaints)

    def acked(self):
        """What was acknowledged so far: [(partition, offset, value)]."""
        with open(self.path, "rb") as out:
            out.seek(self._read)
            text = out.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        self._acked += [entry for entry in map(self.parse, whole.splitlines()) if entry is not None]
        return self._acked

    def finish(self):
        self.end()
        code = self.process.wait(120)
        assert code in self.good, f"{self.name} ended with {code}: {self.path.read_bytes()[-2000:]}"
        return self.acked()

    def order(self, read):
        return checker.check_order(read, lambda _: self.name, self.number)


class Java(Outside):
    name = "java"
    good = (0, 143)

    def command(self):
        config = self.cx.directory / "producer.properties"
        # Left to itself this tool does not retry.
        config.write_text(
            "retries=2147483647\nenable.idempotence=true\ndelivery.timeout.ms=120000\nrequest.timeout.ms=5000\n"
            "linger.ms=5\nmax.block.ms=120000\nreconnect.backoff.max.ms=500\n"
        )
        arguments = ["--topic", self.topic, "--bootstrap-server", self.cx.bootstrap, "--acks", "-1", "--throughput", "500"]
        return [*java("-Xmx256m"), VERIFIABLE_PRODUCER, *arguments, "--value-prefix", "7", "--command-config", config]

    def parse(self, line):
        said = json.loads(line)
        assert said["name"] != "producer_send_error", said
        if said["name"] != "producer_send_success":
            return None
        return said["partition"], said["offset"], said["value"].encode()

    def end(self):
        self.process.terminate()

    def number(self, value):
        return int(value.rsplit(b".", 1)[1])


class FranzGo(Outside):
    name = "franz-go"
    good = (0,)

    def command(self):
        return [os.environ["E2E_GO_CASES"], self.cx.bootstrap, "produce-until", self.topic, "go", "-", "500"]

    def parse(self, line):
        _, partition, offset, value = line.split()
        return int(partition), int(offset), value

    def end(self):
        self.process.stdin.close()

    def number(self, value):
        return int(value.rsplit(b"-", 1)[1])


class KafkaPython:
    """On a thread of its own."""

    name = "kafka-python"

    def __init__(self, cx, topic):
        self.topic = topic
        self.producer = KafkaProducer(
            bootstrap_servers=cx.bootstrap.split(","),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            request_timeout_ms=5000,
            delivery_timeout_ms=120_000,
            max_block_ms=120_000,
            retry_backoff_ms=50,
        )
        self._acked = []
        self.errors = []
        self.sent = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            value = b"py-%d" % self.sent
            self.producer.send(self.topic, value, partition=self.sent % PARTITIONS).add_callback(
                lambda metadata, value: self._acked.append((metadata.partition, metadata.offset, value)), value=value
            ).add_errback(self.errors.append)
            self.sent += 1
            time.sleep(0.002)

    def acked(self):
        return self._acked

    def finish(self):
        self.over.set()
        self.thread.join(130)
        self.producer.flush(120)
        self.producer.close()
        assert not self.errors, self.errors[:3]
        equal(len(self._acked), self.sent, "kafka-python: acknowledged")
        return self._acked

    def order(self, read):
        return checker.check_order(read, lambda _: self.name, lambda value: int(value.rsplit(b"-", 1)[1]))


class JavaReader:
    """Java's consumer in a group of its own."""

    def __init__(self, cx, topic):
        self.cx = cx
        self.topic = topic
        self.path = cx.directory / "java-reader.txt"

    def start(self):
        config = self.cx.directory / "consumer.properties"
        config.write_text("request.timeout.ms=5000\ndefault.api.timeout.ms=60000\nreconnect.backoff.max.ms=500\n")
        arguments = ["--topic", self.topic, "--group-id", "java-reader", "--bootstrap-server", self.cx.bootstrap]
        arguments += ["--reset-policy", "earliest", "--verbose", "--command-config", config]
        with open(self.path, "wb") as out:
            self.cx.java_start(VERIFIABLE_CONSUMER, *arguments, stdout=out)

    def read(self):
        """Where it has been: (partition, offset)."""
        places = set()
        for line in self.path.read_bytes().splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                # The last line may be half written; what is no JSON is a line of its log.
                continue
            if said.get("name") == "record_data":
                places.add((said["partition"], said["offset"]))
        return places
