"""Clients that others wrote, with their own ideas of retrying, through the death and the stop of nodes."""

import threading
import time

from kafka import KafkaProducer

from harness import checker
from harness.context import equal, eventually
from harness.flow import read_all, verdict
from harness.outside import FranzGo, Java, JavaReader
from harness.registry import case

PARTITIONS = 3


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
