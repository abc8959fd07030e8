"""The checker is checked: each fault it looks for is put before it once."""

from harness import checker
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


def found(word, findings):
    assert any(word in finding for finding in findings), (word, findings)
