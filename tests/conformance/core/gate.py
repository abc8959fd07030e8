"""The rules. All of them are functions of what is expected and what was seen; they return findings, one sentence each."""

from core.lists import INSIDE, OUTSIDE
from core.outcome import FAIL, PASS, SKIP, UNSTEADY

# Of the tests that pass on Apache Kafka and lie within scope, how many must pass on ours.
SHARE_MIN = 0.97


def judge(suite, expected, seen, wanted):
    """A run against what its list says. `expected` and `seen` give outcomes by test; `wanted` are the tests of the list that
    the run was asked for."""
    findings = []
    for test in sorted(set(wanted) - set(seen)):
        if expected[test] not in (UNSTEADY, SKIP):
            findings.append(f"{suite}: {test}: not run; its list says {expected[test]}")
    for test in sorted(seen):
        findings.extend(verdict(suite, test, expected.get(test), seen[test]))
    return findings


def verdict(suite, test, expected, seen):
    if expected == UNSTEADY or expected == seen:
        return []
    if expected is None:
        return [f"{suite}: {test}: {seen}, and in no list (--record writes it there)"]
    if seen == PASS:
        return [f"{suite}: {test}: passes now; its list says {expected} (--record, and strike out its difference)"]
    return [f"{suite}: {test}: {seen}; its list says {expected}"]


def explained(suite, on_kafka, on_ours, explanations):
    """Every difference between the two lists has one cause, and every cause a difference."""
    findings = []
    different = differing(on_kafka, on_ours)
    mine = [difference for difference in explanations.differences if difference.suite == suite]
    for test in different:
        covering = [difference for difference in mine if difference.covers(suite, test)]
        if not covering:
            findings.append(f"{suite}: {test}: passes on Kafka and not on ours, without a cause in differences.toml")
        if len(covering) > 1:
            findings.append(f"{suite}: {test}: {len(covering)} causes in differences.toml")
    for difference in mine:
        if difference.category not in OUTSIDE and difference.category not in INSIDE:
            findings.append(f"{suite}: {difference.pattern}: no such category: {difference.category}")
        if not difference.cause.strip():
            findings.append(f"{suite}: {difference.pattern}: no cause")
        if not any(difference.covers(suite, test) for test in different):
            findings.append(f"{suite}: {difference.pattern}: explains a difference that there is not (any more)")
    for unsteady in explanations.unsteady:
        if unsteady.suite != suite:
            continue
        if not unsteady.cause.strip():
            findings.append(f"{suite}: {unsteady.pattern}: unsteady without a cause")
        if not any(unsteady.covers(suite, test) for test in {**on_kafka, **on_ours}):
            findings.append(f"{suite}: {unsteady.pattern}: no such test is unsteady")
    for lists in (on_kafka, on_ours):
        for test, outcome in sorted(lists.items()):
            declared = any(unsteady.covers(suite, test) for unsteady in explanations.unsteady)
            if declared != (outcome == UNSTEADY):
                findings.append(f"{suite}: {test}: listed as {outcome}, and {'' if declared else 'not '}declared unsteady")
    return findings


def differing(on_kafka, on_ours):
    """Tests that pass on Kafka and not on ours."""
    return sorted(
        test
        for test, outcome in on_kafka.items()
        if outcome == PASS and on_ours.get(test, FAIL) not in (PASS, UNSTEADY)
    )


def counts(suite, on_kafka, on_ours, explanations):
    """How many pass on Kafka; of these, how many lie within scope; of those, how many pass on ours."""
    passing = [test for test, outcome in on_kafka.items() if outcome == PASS and on_ours.get(test) != UNSTEADY]
    outside = {
        test
        for test in differing(on_kafka, on_ours)
        if any(difference.outside and difference.covers(suite, test) for difference in explanations.differences)
    }
    within = [test for test in passing if test not in outside]
    good = [test for test in within if on_ours.get(test) == PASS]
    return len(passing), len(within), len(good)


def enough(totals):
    """The share over all suites: `totals` are what `counts` gave."""
    within = sum(total[1] for total in totals)
    good = sum(total[2] for total in totals)
    if within and good / within < SHARE_MIN:
        return [f"{good} of {within} tests within scope pass, fewer than {SHARE_MIN:.0%}"]
    return []
