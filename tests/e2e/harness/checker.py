"""The promise of the log, checked: what was acknowledged is there, once, in order, unchanged."""

from collections import defaultdict


def check(acked, read, *, sent=None, may_repeat=(), begins=None):
    """Finds what was lost, doubled, reordered or changed.

    `acked`: [(partition, offset, value)] in the order of acknowledgement; `read`: [(partition, offset, value)] as
    consumed from the beginning, or from what `begins` has for each partition; `sent`: all values that were ever handed to a
    producer, if what nobody sent is a finding too. Values must be unique, but for those that `may_repeat`. Returns a list
    of findings, each a sentence.
    """
    findings = []
    at = {}
    places = defaultdict(list)
    for partition, offset, value in read:
        if (partition, offset) in at:
            findings.append(f"read twice: {partition}@{offset}")
        at[partition, offset] = value
        places[value].append((partition, offset))
    for partition, offset, value in acked:
        found = at.get((partition, offset))
        if not places[value]:
            findings.append(f"lost: {show(value)} was acknowledged at {partition}@{offset}, where {show(found)} is")
        elif offset >= 0 and found != value:
            findings.append(f"changed: {partition}@{offset} was acknowledged with {show(value)} and holds {show(found)}")
    for value, where in places.items():
        if len(where) > 1 and value not in may_repeat:
            findings.append(f"doubled: {show(value)} at {where}")
        if sent is not None and where and value not in sent:
            findings.append(f"invented: {show(value)} at {where}")
    findings += gaps(read, begins)
    return findings


def check_order(read, producer_of, number_of):
    """Within a partition, the records of one producer come in the order in which it sent them."""
    findings = []
    last = {}
    for partition, offset, value in sorted(read):
        key = partition, producer_of(value)
        number = number_of(value)
        if number <= last.get(key, -1):
            findings.append(f"reordered: {show(value)} at {partition}@{offset} comes after number {last[key]}")
        last[key] = number
    return findings


def check_seen(seen, read, begins=None):
    """What somebody read before is still there, in the same place. `seen` and `read`: [(partition, offset, value)], from the
    beginning or from what `begins` has for each partition."""
    at = {(partition, offset): value for partition, offset, value in read}
    findings = gaps(seen, begins)
    for partition, offset, value in seen:
        found = at.get((partition, offset))
        if found != value:
            findings.append(f"seen and changed: {partition}@{offset} was read as {show(value)} and holds {show(found)}")
    return findings


def gaps(read, begins=None):
    findings = []
    next_offset = dict(begins or {})
    for partition, offset, _ in read:
        wanted = next_offset.get(partition, 0)
        if offset != wanted:
            findings.append(f"partition {partition}: offset {offset} came where {wanted} was due")
        next_offset[partition] = offset + 1
    return findings


def show(value):
    return "nothing" if value is None else repr(value[:60])
