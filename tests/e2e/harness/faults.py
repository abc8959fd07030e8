"""What can happen to a cluster. Each fault is done to it while records flow, those who are left are seen to go on where a majority is
left, and it ends: afterwards all nodes run or have been started, and the network is whole."""

import time
from collections import Counter

from harness.flow import taken_without

ALL = {}


def fault(function):
    ALL[function.__name__] = function
    return function


class Trouble:
    """What a fault may use: the nodes, the network between them, dice, and somebody to ask whether records are acknowledged."""

    def __init__(self, cluster, topic, flow, dice, prefix):
        """`prefix` begins the values of what others than `flow` send."""
        self.cluster = cluster
        self.topic = topic
        self.flow = flow
        self.dice = dice
        self.prefix = prefix
        # (partition, offset, value)
        self.others_acked = []
        self.counts = Counter()
        self.story = []

    def victim(self):
        """Often one that leads something."""
        which = self.dice.choice(("partition", "partition", "metadata", "any"))
        if which == "partition":
            return self.cluster.leader(self.topic, self.dice.randrange(3))
        return self.cluster.metadata_leader() if which == "metadata" else self.dice.choice(self.cluster.nodes)

    def two(self):
        first = self.victim()
        return [first, self.dice.choice(self.cluster.others(first))]

    def shuffled(self):
        nodes = list(self.cluster.nodes)
        self.dice.shuffle(nodes)
        return nodes

    def kill(self, *nodes):
        self.note("kill -9", nodes)
        for node in nodes:
            node.process.kill()
        for node in nodes:
            node.kill()

    def stop(self, *nodes):
        self.note("SIGTERM", nodes)
        for node in nodes:
            node.ask_to_stop()
        for node in nodes:
            ended = node.wait_until_stopped()
            assert ended == 0, f"node {node.node_id} ended with {ended}:\n{node.log_tail()}"

    def start(self, *nodes):
        """Starts them without waiting: whether they serve is looked at when all is over."""
        for node in nodes:
            node.launch()

    def pause(self, *nodes):
        self.note("SIGSTOP", nodes)
        for node in nodes:
            node.pause()

    def resume(self, *nodes):
        for node in nodes:
            node.resume()

    def network(self, what, node, *arguments):
        self.note(what, [node], kind="network")
        getattr(self.cluster.network, what)(node, *arguments)

    def heal(self):
        self.cluster.network.heal()

    def note(self, what, nodes, kind=None):
        self.counts[kind or what] += len(nodes)
        self.story.append(f"{what} {'+'.join(str(node.node_id) for node in nodes)}")

    def moment(self, shortest_s, longest_s):
        time.sleep(self.dice.uniform(shortest_s, longest_s))

    def goes_on(self, more=300):
        """A majority is left: records of every partition are acknowledged."""
        self.flow.progress(more, f"after {', '.join(self.story)} records are acknowledged", timeout_s=60)

    def others_go_on(self, node):
        """A node is apart from the others, which lead without it. A client that is connected to that one alone may stay with it, as with
        any server that does not know yet that it was left behind; who asks the others is served."""
        self.others_acked += taken_without(self.cluster, self.topic, 3, node, f"{self.prefix}-{len(self.others_acked)}")

    def told(self):
        return ", ".join(self.story)


# Processes


@fault
def one_is_killed(trouble):
    node = trouble.victim()
    trouble.kill(node)
    trouble.goes_on()
    trouble.start(node)


@fault
def one_is_killed_and_comes_back_at_once(trouble):
    node = trouble.victim()
    trouble.kill(node)
    trouble.start(node)
    trouble.goes_on()


@fault
def one_is_killed_while_it_catches_up(trouble):
    node = trouble.victim()
    for _ in range(3):
        trouble.kill(node)
        trouble.goes_on()
        trouble.start(node)
        trouble.moment(0, 0.8)


@fault
def one_is_stopped(trouble):
    node = trouble.victim()
    trouble.stop(node)
    trouble.goes_on()
    trouble.start(node)


@fault
def one_after_the_other_is_restarted(trouble):
    for node in trouble.shuffled():
        trouble.stop(node)
        trouble.goes_on()
        node.start()
        trouble.cluster.wait_in_sync(trouble.topic)


@fault
def one_stands_still(trouble):
    node = trouble.victim()
    trouble.pause(node)
    trouble.goes_on()
    trouble.moment(0, 2)
    trouble.resume(node)


@fault
def each_stands_still_for_a_moment(trouble):
    for node in trouble.shuffled():
        trouble.pause(node)
        trouble.moment(0.1, 2)
        trouble.resume(node)
        trouble.moment(0, 0.5)


@fault
def two_are_killed(trouble):
    nodes = trouble.two()
    trouble.kill(*nodes)
    trouble.moment(0, 3)
    trouble.start(*nodes)


@fault
def two_are_killed_one_after_the_other(trouble):
    first, second = trouble.two()
    trouble.kill(first)
    trouble.moment(0, 5)
    trouble.kill(second)
    trouble.moment(0, 5)
    trouble.start(second)
    trouble.moment(0, 1)
    trouble.start(first)


@fault
def two_stand_still(trouble):
    nodes = trouble.two()
    trouble.pause(*nodes)
    trouble.moment(0.5, 5)
    trouble.resume(*nodes)


@fault
def all_are_killed(trouble):
    trouble.kill(*trouble.cluster.nodes)
    for node in trouble.shuffled():
        trouble.start(node)
        trouble.moment(0, 0.5)


@fault
def all_are_stopped(trouble):
    trouble.stop(*trouble.cluster.nodes)
    trouble.start(*trouble.shuffled())


@fault
def all_stand_still(trouble):
    trouble.pause(*trouble.cluster.nodes)
    trouble.moment(0.5, 5)
    for node in trouble.shuffled():
        trouble.resume(node)
        trouble.moment(0, 0.5)


@fault
def one_is_killed_while_another_stands_still(trouble):
    killed, still = trouble.two()
    trouble.pause(still)
    trouble.kill(killed)
    trouble.moment(0, 4)
    trouble.resume(still)
    trouble.goes_on()
    trouble.start(killed)


# The network between nodes


@fault
def one_is_held_apart(trouble):
    node = trouble.victim()
    trouble.network("hold", node)
    trouble.others_go_on(node)
    trouble.moment(0, 2)
    trouble.heal()


@fault
def each_is_held_apart_for_a_moment(trouble):
    for node in trouble.shuffled():
        trouble.network("hold", node)
        trouble.moment(0.1, 2)
        trouble.heal()
        trouble.moment(0, 0.5)


def one_is_apart(trouble, how):
    node = trouble.victim()
    trouble.network(how, node)
    trouble.others_go_on(node)
    trouble.heal()


@fault
def one_is_cut_off(trouble):
    one_is_apart(trouble, "drop")


@fault
def one_is_not_heard(trouble):
    one_is_apart(trouble, "mute")


@fault
def one_hears_nothing(trouble):
    one_is_apart(trouble, "deafen")


@fault
def one_is_refused(trouble):
    one_is_apart(trouble, "refuse")


@fault
def connections_break_again_and_again(trouble):
    for _ in range(8):
        trouble.network("break_connections", trouble.victim())
        trouble.moment(0.02, 0.4)


@fault
def one_is_slow(trouble):
    trouble.network("slow", trouble.victim(), trouble.dice.randint(100, 800))
    trouble.goes_on()
    trouble.heal()


@fault
def one_is_killed_while_another_is_held_apart(trouble):
    killed, apart = trouble.two()
    trouble.network("hold", apart)
    trouble.moment(0, 2)
    trouble.kill(killed)
    trouble.moment(0, 2)
    trouble.heal()
    trouble.goes_on()
    trouble.start(killed)
