"""docs/compatibility.md, written from the lists and differences.toml."""

from core import gate, lists, pins
from core.outcome import FAIL, PASS, SKIP, UNSTEADY

PAGE = pins.ROOT / "docs" / "compatibility.md"

HEAD = """\
# Compatibility

Written by `cargo xtask conformance --page` from `tests/conformance`; do not edit it here.

The claim is that Kafka's clients cannot tell Chronik from Apache Kafka. It is held by tests that others wrote, for their own clients, run
unchanged against Apache Kafka {kafka} and against `chronik-server`, on one machine, with the same settings. What passes on Kafka has to
pass on ours; each test that does not is named below with its cause.

**{good} of {within} tests within scope pass ({share}).** {passing} tests pass on Kafka. Within scope are those that do not fail here for
want of what this server does not set out to do yet: {outside}.

To repeat a suite, or a test of it: `cargo xtask conformance librdkafka`, `cargo xtask conformance librdkafka 0081_admin`; the same
against Apache Kafka with `--against kafka`. Everything is fetched and built on the way. `cargo xtask test` runs a subset of all suites.
A run fails if a test fails that is not named here, if a test that passed before was not run, and if a test named as failing passes.

| suite | version | tests | pass on Kafka | of these, within scope | of these, pass on ours | share |
|---|---|---|---|---|---|---|
"""


def text(suites, explanations):
    """The whole page."""
    rows, details, totals = [], [], []
    for name, suite in suites.items():
        on_kafka, on_ours = lists.both(name)
        if not on_kafka or not on_ours:
            rows.append(f"| {suite.TITLE} | {suite.VERSION} | not measured yet | | | | |")
            continue
        total = gate.counts(name, on_kafka, on_ours, explanations)
        totals.append(total)
        passing, within, good = total
        rows.append(
            f"| [{suite.TITLE}](#{anchor(suite.TITLE)}) | {suite.VERSION} | {len(on_kafka)} | {passing} | {within} | {good} | {share(good, within)} |"
        )
        details.append(detail(name, suite, on_kafka, on_ours, explanations))
    passing, within, good = (sum(column) for column in zip(*totals)) if totals else (0, 0, 0)
    rows.append(f"| all | | | {passing} | {within} | {good} | {share(good, within)} |")
    head = HEAD.format(
        kafka=pins.kafka_version(),
        good=good,
        within=within,
        passing=passing,
        share=share(good, within),
        outside=", ".join(lists.OUTSIDE.values()),
    )
    return head + "\n".join(rows) + "\n" + not_served(suites, explanations) + "".join(details)


def not_served(suites, explanations):
    """The differences of all suites, by what they come from."""
    counted = {}
    for name in suites:
        for test in gate.differing(*lists.both(name)):
            for difference in explanations.differences:
                if difference.covers(name, test):
                    counted[difference.category] = counted.get(difference.category, 0) + 1
    parts = ["\n## What the differences come from\n\n| tests | what they ask for | within scope |\n|---|---|---|\n"]
    for within, categories in (("yes", lists.INSIDE), ("no", lists.OUTSIDE)):
        parts += [f"| {counted[key]} | {text} | {within} |\n" for key, text in categories.items() if key in counted]
    return "".join(parts) if counted else ""


def detail(name, suite, on_kafka, on_ours, explanations):
    """One suite: what it is, each difference with its cause, and what says nothing about either broker."""
    parts = [f"\n## {suite.TITLE}\n\n{suite.ABOUT}\nIts name here is `{name}`; broker settings: {settings(suite.SETTINGS)}.\n"]
    different = gate.differing(on_kafka, on_ours)
    mine = [difference for difference in explanations.differences if difference.suite == name]
    if different:
        parts.append("\nPass on Kafka and not on ours:\n\n| tests | counts | cause |\n|---|---|---|\n")
        for category in (*lists.INSIDE, *lists.OUTSIDE):
            for difference in mine:
                if difference.category == category:
                    covered = [test for test in different if difference.covers(name, test)]
                    counts = "no: " + category if difference.outside else "yes: " + category
                    parts.append(f"| {named(covered)} | {counts} | {cell(difference.cause)} |\n")
    else:
        parts.append("\nNo test passes on Kafka and not on ours.\n")
    parts.append(others("Pass on ours and not on Kafka", [t for t, o in on_ours.items() if o == PASS and on_kafka.get(t) in (FAIL, SKIP)]))
    parts.append(others("Fail on both", [t for t, o in on_kafka.items() if o == FAIL and on_ours.get(t) == FAIL]))
    parts.append(others("Skip themselves on Kafka", [t for t, o in on_kafka.items() if o == SKIP and on_ours.get(t) != PASS]))
    for unsteady in explanations.unsteady:
        if unsteady.suite == name:
            tests = [t for t in on_kafka if on_kafka[t] == UNSTEADY and unsteady.covers(name, t)]
            parts.append(f"\nDiffer from run to run on Kafka too, and are not judged: {named(tests)}. {unsteady.cause.strip()}\n")
    return "".join(parts)


def others(what, tests):
    return f"\n{what}: {named(tests)}.\n" if tests else ""


def named(tests, most=12):
    """Names, the first few of many."""
    tests = sorted(tests)
    shown = ", ".join(f"`{cell(test)}`" for test in tests[:most])
    return shown if len(tests) <= most else f"{shown} and {len(tests) - most} more"


def cell(text):
    return " ".join(text.split()).replace("|", "\\|")


def settings(values):
    return ", ".join(f"`{name}={value}`" for name, value in values.items()) or "those of every suite"


def share(good, within):
    """Cut, not rounded: 100 % means all."""
    return f"{good * 1000 // within / 10:.1f} %" if within else "–"


def anchor(title):
    """The link that Markdown makes of a heading."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")
