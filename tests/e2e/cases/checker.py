"""The checker is checked: each fault it looks for is put before it once."""

from harness import checker, disk
from harness.context import equal
from harness.registry import case


@case()
def finds_each_kind_of_fault(_):
    acked = [(0, n, b"p-%d" % n) for n in range(5)]
    good = list(acked)
    equal(checker.check(acked, good), [])
    found("lost", checker.check(acked, good[:4]))
    found("changed", checker.check(acked, [*good[:2], (0, 2, b"p-3"), (0, 3, b"p-2"), good[4]]))
    found("doubled", checker.check(acked, [*good, (0, 5, b"p-0")]))
    found("came where", checker.check(acked, [*good, (0, 7, b"p-7")]))
    found("invented", checker.check(acked, [*good, (0, 5, b"x")], sent={value for _, _, value in acked}))
    swapped = [(0, 0, b"p-1"), (0, 1, b"p-0")]
    found("reordered", checker.check_order(swapped, lambda v: v[:1], lambda v: int(v[2:])))
    equal(checker.check_order(good, lambda v: v[:1], lambda v: int(v[2:])), [])


@case()
def finds_what_was_seen_and_is_not_there_any_more(_):
    seen = [(0, n, b"p-%d" % n) for n in range(5)]
    equal(checker.check_seen(seen[:3], seen), [])
    found("changed", checker.check_seen(seen, seen[:4]))
    found("changed", checker.check_seen(seen, [*seen[:4], (0, 4, b"p-9")]))
    found("came where", checker.check_seen([seen[0], seen[2]], seen))


@case()
def finds_where_disks_differ(_):
    log = [(n, b"%061d" % n) for n in range(5)]
    equal(disk.compare({1: log, 2: log[:3], 3: log}), [])
    found("node 3 has offset 4", disk.compare({1: log, 2: log[:3], 3: [*log[:4], (4, b"%061d" % 9)]}))
    found("node 2 has offset 2", disk.compare({1: log, 2: [*log[:1], *log[2:]]}))


def found(word, findings):
    assert any(word in finding for finding in findings), (word, findings)
