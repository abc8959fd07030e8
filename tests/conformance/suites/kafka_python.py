"""kafka-python's own integration tests, in one process of pytest."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from core.outcome import FAIL, Outcome

TITLE = "kafka-python"
VERSION = "3.0.12"
ABOUT = (
    "A client library in Python alone; its tests come with its source archive on PyPI. Those of TLS and SASL want to start a broker of "
    "their own from a distribution of Kafka: they fail or skip themselves whatever they are run against."
)
# Its fixtures are written for broker 0, and for an address that was configured.
SETTINGS = {"node.id": "0", "advertised.listeners": "the one listener"}
# Without those that want the client itself to be quick.
SUBSET = ["*test_admin_integration*", "*test_producer_integration*", "*::test_group", "*::test_heartbeat*", "*offset*"]

SHIMS = Path(__file__).resolve().parents[1] / "shims"
PINS = [SHIMS / "kafka_python_service.py"]
# The compressions are libraries; without one its tests would skip themselves.
TOOLS = [
    "pytest==9.2.0", "pytest-mock==3.17.0", "pytest-timeout==2.4.0", "py==1.11.0",
    "python-snappy==0.7.3", "lz4==4.4.5", "zstandard==0.25.0", "crc32c==2.9.post0",
]
# What its own fixtures start Kafka with.
AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
TIMEOUT_S = 900


def prepare(cache):
    subprocess.run([sys.executable, "-m", "venv", cache / "python"], check=True)
    pip = [cache / "python/bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
    download = ["download", "--no-deps", "--no-binary", ":all:", "--dest", cache, f"kafka-python=={VERSION}"]
    subprocess.run([*pip, *download], check=True, stdout=subprocess.DEVNULL)
    archive = next(cache.glob("*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(cache, filter="data")
    archive.unlink()
    (cache / f"kafka_python-{VERSION}").rename(cache / "source")
    subprocess.run([*pip, "install", *TOOLS, cache / "source"], check=True)
    tests = cache / "source" / "test"
    # Without it, `test` is a package of Python's own.
    (tests / "__init__.py").touch()
    shutil.copy(SHIMS / "kafka_python_service.py", tests / "service.py")


def tests(cx):
    code, said = pytest(cx, "--collect-only", "--quiet", log="collect")
    assert code == 0, said
    return [line for line in said.splitlines() if "::" in line]


def run(cx, names):
    broker = cx.start_broker(AUTHORIZER if cx.against == "kafka" else {})
    outcomes = cx.directory / "pytest.jsonl"
    left, attempt = list(names), 0
    while left:
        attempt += 1
        outcomes.write_text("")
        code, said = pytest(cx, *left, log=f"pytest-{attempt}", uri=f"kafka://{broker.bootstrap}", outcomes=outcomes)
        ended = [Outcome(**json.loads(line)) for line in outcomes.read_text().splitlines()]
        yield from ended
        left = left[len(ended) :]
        # Its time limit for a test ends the process: that test has failed, the others have yet to run.
        if left:
            last = (said.strip().splitlines() or [""])[-1]
            yield Outcome(left.pop(0), FAIL, 0.0, f"pytest ended with {code}: {last}")


def pytest(cx, *arguments, log, uri="kafka://none", outcomes="/dev/null"):
    environment = {
        "KAFKA_URI": uri,
        "KAFKA_VERSION": cx.kafka_version,
        "KAFKA_ROOT": str(cx.directory),
        "PYTHONPATH": str(SHIMS),
        "OUTCOMES": str(outcomes),
    }
    command = [cx.cache / "python/bin/python", "-m", "pytest", "-p", "pytest_outcomes", "-p", "no:logging", "-W", "ignore"]
    targets = arguments if any("::" in part for part in arguments) else [*arguments, "test/integration"]
    return cx.execute([*command, *targets], TIMEOUT_S * cx.patience, log=log, environment=environment, cwd=cx.cache / "source")
