"""One record at a time, evenly: how long a client waits while something happens to the brokers."""

import threading
import time

from harness.context import equal


class Probe:
    """A producer on a thread of its own to one partition, `per_second` records a second."""

    def __init__(self, producer, topic, prefix="probe", partition=0, per_second=500):
        self.producer = producer
        self.topic = topic
        self.prefix = prefix.encode()
        self.partition = partition
        self.per_second = per_second
        # When, and which: (moment, offset, value).
        self.acknowledged = []
        self.failed = []
        self.sent = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def run(self):
        due = time.monotonic()
        while not self.ended.is_set():
            value = b"%s-%d" % (self.prefix, self.sent)
            self.producer.produce(self.topic, value, partition=self.partition, on_delivery=self.told)
            self.sent += 1
            due += 1 / self.per_second
            self.producer.poll(max(0, due - time.monotonic()))
        self.producer.flush(60)

    def told(self, error, message):
        if error:
            self.failed.append(str(error))
        else:
            self.acknowledged.append((time.monotonic(), message.offset(), message.value()))

    def longest_wait_ms(self, since, until):
        """The longest time without an acknowledgement."""
        moments = [moment for moment, _, _ in list(self.acknowledged) if since <= moment <= until]
        edges = [since, *moments, until]
        return max(later - earlier for earlier, later in zip(edges, edges[1:])) * 1000

    def finish(self):
        """Lets all be acknowledged: [(partition, offset, value)]."""
        self.ended.set()
        self.thread.join(90)
        assert not self.failed, self.failed[:3]
        equal(len(self.acknowledged), self.sent, "acknowledged records of the probe")
        return [(self.partition, offset, value) for _, offset, value in self.acknowledged]
