"""Clients in processes of their own: producers that print a line for each record that is acknowledged, readers one for each that they read."""

import json
import os
import subprocess

from harness import checker
from harness.broker import java

VERIFIABLE_PRODUCER = "org.apache.kafka.tools.VerifiableProducer"
VERIFIABLE_CONSUMER = "org.apache.kafka.tools.VerifiableConsumer"


class Outside:
    """A producer in a process of its own, which prints a line for what is acknowledged."""

    def __init__(self, cx, topic, prefix=None):
        """`prefix` begins its values; whoever is started twice gives two."""
        self.cx = cx
        self.topic = topic
        self.prefix = prefix or self.prefix
        self.path = cx.directory / f"{self.name}-{self.prefix}.txt"
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
    """`prefix`: a number."""

    name = "java"
    prefix = "7"
    good = (0, 143)

    def command(self):
        config = self.cx.directory / "producer.properties"
        # Left to itself this tool does not retry.
        config.write_text(
            "retries=2147483647\nenable.idempotence=true\ndelivery.timeout.ms=120000\nrequest.timeout.ms=5000\n"
            "linger.ms=5\nmax.block.ms=120000\nreconnect.backoff.max.ms=500\n"
        )
        arguments = ["--topic", self.topic, "--bootstrap-server", self.cx.bootstrap, "--acks", "-1", "--throughput", "500"]
        return [*java("-Xmx256m"), VERIFIABLE_PRODUCER, *arguments, "--value-prefix", self.prefix, "--command-config", config]

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
    prefix = "go"
    good = (0,)

    def command(self):
        return [os.environ["E2E_GO_CASES"], self.cx.bootstrap, "produce-until", self.topic, self.prefix, "-", "500"]

    def parse(self, line):
        _, partition, offset, value = line.split()
        return int(partition), int(offset), value

    def end(self):
        self.process.stdin.close()

    def number(self, value):
        return int(value.rsplit(b"-", 1)[1])


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
