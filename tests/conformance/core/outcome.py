"""What became of one test, and the line of JSON that says so."""

import json
from dataclasses import asdict, dataclass

PASS = "pass"
FAIL = "fail"
SKIP = "skip"
# In the lists only: a test that differs from run to run on Apache Kafka too (see `unsteady` in differences.toml).
UNSTEADY = "unsteady"


@dataclass
class Outcome:
    """`note` is one line: why it failed or was skipped, in the suite's own words."""

    test: str
    outcome: str
    seconds: float = 0.0
    note: str = ""

    def line(self, suite, against):
        """One line of JSON, without its end."""
        return json.dumps({"suite": suite, "against": against, **asdict(self), "seconds": round(self.seconds, 3)})
