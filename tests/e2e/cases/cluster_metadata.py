"""What a cluster has decided stays decided, whoever leads its metadata and whoever dies; and without a majority nothing is."""

import threading
import time
from collections import Counter

from harness import wire
from harness.cluster import tolerant
from harness.context import equal, eventually
from harness.registry import case

NONE = 0


@case(nodes=3, timeout_s=200)
def topics_are_created_while_metadata_leaders_die(cx):
    """Each node is asked in turn; what was answered is known to every node in the end, also to those that were away."""
    creations = Creations(cx).start()
    creations.progress("at first")
    for number in range(4):
        node = cx.cluster.metadata_leader()
        if number % 2 == 0:
            node.kill()
        else:
            node.pause()
        took_s = creations.progress(f"without node {node.node_id}, which led the metadata")
        print(f"node {node.node_id} away: created again after {took_s:.2f} s")
        if number % 2 == 0:
            node.start()
        else:
            node.resume()
        cx.cluster.wait_for_nodes()
        creations.progress("with all nodes back")
    known_everywhere(cx, creations.finish())


@case(nodes=3, timeout_s=200)
def nothing_is_decided_without_a_majority(cx):
    before = cx.name("before")
    equal(wire.create_topic(cx.cluster[1].port, before, 2, 3), NONE)
    for left in cx.cluster.nodes:
        others = cx.cluster.others(left)
        for node in others:
            node.kill()
        lonely = cx.name("lonely")
        equal(created(left, lonely, timeout_s=8), False, f"created by node {left.node_id} alone")
        # What was decided is still told.
        assert cx.cluster.partitions(before, left), f"node {left.node_id} has forgotten {before}"
        cx.cluster.come_back(others)
        after = cx.name("after")
        eventually(lambda: created(left, after), "with all nodes back, topics are created")
        known_everywhere(cx, [before, after])


@case(nodes=3, timeout_s=200)
def all_are_killed_at_once_and_know_what_they_knew(cx):
    creations = Creations(cx).start()
    for round in range(3):
        creations.progress(f"round {round}", more=10)
        for node in cx.cluster.nodes:
            node.process.kill()
        cx.cluster.kill()
        cx.cluster.come_back()
    creations.progress("at last")
    known_everywhere(cx, creations.finish())


@case(nodes=3)
def another_node_leads_the_metadata(cx):
    """As a node knows it that is left, after a death and after a stop in good order."""
    for end in ("kill", "stop"):
        led = cx.cluster.metadata_leader()
        asked = cx.cluster.others(led)[0]
        started = time.monotonic()
        getattr(led, end)()

        def another():
            leader = wire.metadata_leader(asked.port)
            return leader is not None and leader != led.node_id

        eventually(tolerant(another), "another node leads the metadata", timeout_s=30)
        print(f"{end}: another leader after {time.monotonic() - started:.2f} s")
        led.start()
        cx.cluster.wait_for_nodes()


class Creations:
    """Topics created without a pause, each on the next node; those whose creation was answered are noted."""

    def __init__(self, cx):
        self.cx = cx
        self.done = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        cx = self.cx
        # Before the thread, which asks for them too.
        self.nodes = list(cx.cluster.nodes)
        self.thread.start()
        return self

    def run(self):
        number = 0
        while not self.over.is_set():
            number += 1
            name = f"created-{number}"
            if created(self.nodes[number % len(self.nodes)], name, timeout_s=3):
                self.done.append(name)
            # The metadata is to be followed, not to be filled.
            time.sleep(0.05)

    def progress(self, when, more=3, timeout_s=60):
        started = time.monotonic()
        before = len(self.done)
        eventually(lambda: len(self.done) >= before + more, f"{when}, topics are created", timeout_s)
        return time.monotonic() - started

    def finish(self):
        self.over.set()
        self.thread.join(60)
        return self.done


def created(node, name, timeout_s=10):
    """Whether the node answered that it has created the topic."""
    try:
        return wire.create_topic(node.port, name, 2, 3, timeout_s) == NONE
    except (OSError, EOFError):
        return False


def known_everywhere(cx, names):
    def known():
        for node in cx.cluster.nodes:
            topics = wire.metadata(node.port, names, timeout_s=20).topics
            for name in names:
                error, partitions = topics[name]
                if error != NONE or sorted(partitions) != [0, 1]:
                    return False
                if any(sorted(partition.replicas) != [1, 2, 3] for partition in partitions.values()):
                    return False
        return True

    eventually(tolerant(known), f"every node knows all of {len(names)} topics", timeout_s=60)
    told = Counter(str([wire.metadata(node.port, [name]).topics[name][1][0].replicas for name in names]) for node in cx.cluster.nodes)
    equal(len(told), 1, "placements that the nodes tell of")
