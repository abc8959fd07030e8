"""rskafka's own integration tests."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from core.outcome import FAIL, PASS, SKIP, Outcome

TITLE = "rskafka"
VERSION = "0.6.0"
ABOUT = (
    "A small client library in Rust; its tests come with the crate, and also exchange records with Kafka's Java client and librdkafka. "
    "Kafka's list was taken with `auto.create.topics.enable=true`, and lacks the test to which that matters and one that failed there once."
)
# One of its tests wants an unknown topic to stay unknown.
SETTINGS = {"auto.create.topics.enable": "false"}
# To build it takes longer than the whole short run may.
SUBSET = []
SHIM = Path(__file__).resolve().parents[1] / "shims" / "rskafka"
PINS = [SHIM / "Cargo.toml", SHIM / "Cargo.lock"]

TIMEOUT_S = 600
ENDED = re.compile(r"^test (\S+) \.\.\. (ok|FAILED|ignored)", re.MULTILINE)
SAID = re.compile(r"^---- (\S+) stdout ----\n(.*?)(?=^---- |^\w+:$|\Z)", re.MULTILINE | re.DOTALL)


def prepare(cache):
    for name in ("Cargo.toml", "Cargo.lock"):
        shutil.copy(SHIM / name, cache)
    (cache / "src").mkdir()
    (cache / "src" / "lib.rs").touch()
    described = ["cargo", "metadata", "--locked", "--format-version", "1"]
    metadata = json.loads(subprocess.run(described, cwd=cache, check=True, stdout=subprocess.PIPE, text=True).stdout)
    (manifest,) = (package["manifest_path"] for package in metadata["packages"] if package["name"] == "rskafka")
    shutil.copytree(Path(manifest).parent / "tests", cache / "tests")
    environment = {**os.environ, "CARGO_TARGET_DIR": str(cache / "target")}
    build = ["cargo", "test", "--locked", "--no-run", "--message-format", "json"]
    built = subprocess.run(build, cwd=cache, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    programs = {m["target"]["name"]: m["executable"] for m in messages if m.get("executable") and m["target"]["kind"] == ["test"]}
    (cache / "programs.json").write_text(json.dumps(programs))


def programs(cx):
    return json.loads((cx.cache / "programs.json").read_text())


def tests(cx):
    names = []
    for file, program in sorted(programs(cx).items()):
        said = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout
        names += [f"{file}::{line.removesuffix(': test')}" for line in said.splitlines() if line.endswith(": test")]
    return names


def run(cx, names):
    environment = {
        "TEST_INTEGRATION": "1",
        "TEST_BROKER_IMPL": "kafka",
        "TEST_JAVA_INTEROPT": "1",
        "KAFKA_CONNECT": cx.bootstrap,
    }
    for file, program in sorted(programs(cx).items()):
        wanted = [name.removeprefix(file + "::") for name in names if name.startswith(file + "::")]
        if not wanted:
            continue
        command = [program, "--test-threads=2", "--show-output", "--exact", *wanted]
        code, said = cx.execute(command, TIMEOUT_S * cx.patience, log=file, environment=environment, cwd=cx.cache)
        ended, spoken = dict(ENDED.findall(said)), dict(SAID.findall(said))
        for name in wanted:
            yield outcome(f"{file}::{name}", ended.get(name), spoken.get(name, ""), code)


def outcome(name, ended, spoken, code):
    lines = [line.strip() for line in spoken.splitlines() if line.strip()]
    skipped = [line for line in lines if line.lower().startswith("skipping")]
    if ended == "ok" and skipped:
        return Outcome(name, SKIP, 0.0, skipped[0])
    if ended == "ok":
        return Outcome(name, PASS)
    if ended == "ignored":
        return Outcome(name, SKIP, 0.0, "ignored")
    panicked = [index for index, line in enumerate(lines) if "panicked at" in line]
    note = " ".join(lines[panicked[0] : panicked[0] + 2])[:300] if panicked else f"the process ended with {code}"
    return Outcome(name, FAIL, 0.0, note)
