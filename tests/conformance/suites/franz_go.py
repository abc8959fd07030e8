"""franz-go's own tests of its client, `kgo`: those that want a broker, in one process of `go test`."""

import json
import re
import subprocess
from pathlib import Path

from core import lists
from core.outcome import FAIL, PASS, SKIP, Outcome

MODULE = Path(__file__).resolve().parents[2] / "go"
PINS = [MODULE / "go.mod", MODULE / "go.sum"]

TITLE = "franz-go"
VERSION = re.search(r"github\.com/twmb/franz-go v(\S+)", PINS[0].read_text()).group(1)
ABOUT = (
    "A client library in Go; the tests of its package `kgo` that talk to a broker, from the Go module proxy. Of a test with parts, each part is named. "
    "Not run: `TestTxnEtl` and `TestShareGroupETL`, minutes of transactions and of share groups."
)
SETTINGS = {}
SUBSET = ["TestGroupETL*", "TestGroupSimple*", "TestIssue*", "TestClient_*", "TestPause*", "TestAdd*", "TestPing"]

RECORDS = 10_000
TIMEOUT_S = 600
LEFT_OUT = ("TestTxnEtl", "TestShareGroupETL")
# What its tests reach a broker with.
HELPERS = re.compile(r"\b(getSeedBrokers|newTestClient|tmp\w*Topic\w*|tmp\w*Group|adm|testChainETL)\(")
FUNCTION = re.compile(r"^func (Test\w+)\(t \*testing\.T\) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
ENDED = re.compile(r"^\s*--- (PASS|FAIL|SKIP): (\S+) \(([\d.]+)s\)", re.MULTILINE)
OUTCOMES = {"PASS": PASS, "FAIL": FAIL, "SKIP": SKIP}


def prepare(cache):
    package = "github.com/twmb/franz-go/pkg/kgo"
    subprocess.run(["go", "test", "-c", "-o", cache / "kgo-tests", package], cwd=MODULE, check=True)
    found = subprocess.run(["go", "list", "-f", "{{.Dir}}", package], cwd=MODULE, check=True, capture_output=True, text=True)
    names = []
    for file in sorted(Path(found.stdout.strip()).glob("*_test.go")):
        names += [name for name, body in FUNCTION.findall(file.read_text()) if HELPERS.search(body) and name not in LEFT_OUT]
    (cache / "tests.json").write_text(json.dumps(names))


def tests(cx):
    """The parts of a test are known once they ran: from the lists of what was seen."""
    parts = sorted({name for seen in lists.both(cx.name) for name in seen if "/" in name})
    have_parts = {whole(name) for name in parts}
    return [name for name in json.loads((cx.cache / "tests.json").read_text()) if name not in have_parts] + parts


def run(cx, names):
    group, wanted = sorted({whole(name) for name in names}), set(names)
    directory = cx.directory / "tests"
    directory.mkdir()
    command = [cx.cache / "kgo-tests", "-test.v", f"-test.run=^({'|'.join(group)})$", f"-test.timeout={TIMEOUT_S * cx.patience - 10}s"]
    environment = {"KGO_SEEDS": cx.bootstrap, "KGO_TEST_RF": "1", "KGO_TEST_RECORDS": str(RECORDS)}
    code, said = cx.execute(command, TIMEOUT_S * cx.patience, log="kgo", environment=environment, cwd=directory)
    ended = {name: (OUTCOMES[outcome], float(seconds)) for outcome, name, seconds in ENDED.findall(said)}
    leaves = [name for name in ended if not any(other.startswith(name + "/") for other in ended)]
    for name in leaves:
        # A part that nobody knew of is told too, unless only some of them are asked for.
        if name in wanted or whole(name) in wanted:
            yield Outcome(name, *ended[name])
    for name in sorted(wanted - set(ended)):
        outcome, seconds = ended.get(whole(name), (FAIL, 0.0))
        yield Outcome(name, FAIL if outcome == PASS else outcome, seconds, f"not reached; the process ended with {code}")


def whole(name):
    return name.split("/")[0]
