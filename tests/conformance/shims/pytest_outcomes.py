"""A plugin of pytest's: one line of JSON for each test as it ends, into the file that OUTCOMES names."""

import json
import os

KEPT = {}


def pytest_runtest_logreport(report):
    test = KEPT.setdefault(report.nodeid, {"test": report.nodeid, "outcome": "pass", "seconds": 0.0, "note": ""})
    test["seconds"] += report.duration
    if report.failed:
        test["outcome"], test["note"] = "fail", last_line(report)
    elif report.skipped and test["outcome"] == "pass":
        test["outcome"], test["note"] = "skip", last_line(report)
    if report.when == "teardown":
        with open(os.environ["OUTCOMES"], "a") as file:
            file.write(json.dumps(KEPT.pop(report.nodeid)) + "\n")


def last_line(report):
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else str(report.longrepr)).strip().splitlines()[0][:300]
