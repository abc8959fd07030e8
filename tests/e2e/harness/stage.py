"""A topic of a cluster with records flowing into it and out of it while faults are done to its nodes; then everything is looked at."""

from harness import checker, disk
from harness.context import equal
from harness.flow import IDEMPOTENT, Flow, Follower, order, read_all, taken_without, verdict

PARTITIONS = 3
PER_SECOND = 3000


def with_flow(cx, faults):
    """Records flow while `faults` are done to the cluster; then everything is looked at."""
    stage = Stage(cx)
    flow, topic = stage.flow, stage.topic
    faults(stage)
    sent = flow.finish()
    assert not flow.errors, flow.errors[:5]
    equal(len(flow.acked), len(sent), "acknowledged records")
    read = read_all(cx, topic, PARTITIONS)
    own = [entry for entry in read if entry[2] not in stage.may_appear]
    acked, sent = flow.acked + stage.others_acked, sent | {value for _, _, value in stage.others_acked}
    verdict(checker.check(acked, read, sent=sent | stage.may_appear, may_repeat=stage.may_appear) + order(own))
    equal(len(own), len(sent), "records in the log")
    verdict(checker.check_seen(stage.follower.finish(), read))
    assert not stage.follower.errors, stage.follower.errors[:5]
    verdict(disk.stopped(cx, topic, PARTITIONS))


class Stage:
    """A topic with records flowing into it and out of it."""

    def __init__(self, cx):
        self.cx = cx
        self.topic = cx.topic(partitions=PARTITIONS)
        cx.cluster.wait_in_sync(self.topic)
        self.flow = Flow(cx, self.topic, PARTITIONS, per_second=PER_SECOND, **IDEMPOTENT).start()
        self.follower = Follower(cx, self.topic, PARTITIONS, socket_timeout_ms=3000).start()
        self.may_appear = set()
        self.others_acked = []
        self.turn = 0
        self.flow.progress(100)

    def without(self, node):
        """The others lead, and take records."""
        prefix = f"without-{len(self.others_acked)}"
        self.others_acked += taken_without(self.cx.cluster, self.topic, PARTITIONS, node, prefix)

    def leader(self):
        return self.cx.cluster.leader(self.topic, 0)

    def metadata_leader(self):
        return self.cx.cluster.metadata_leader()

    def next(self):
        self.turn += 1
        return self.cx.cluster[self.turn % 3 + 1]

    def back(self, node):
        """The node is started, and has everything again."""
        node.start()
        self.cx.cluster.wait_in_sync(self.topic)
        self.flow.progress()
