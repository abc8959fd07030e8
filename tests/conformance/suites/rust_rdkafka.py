"""rust-rdkafka's own tests, one process for each."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from core.outcome import FAIL, PASS, SKIP, Outcome
from suites import librdkafka

TITLE = "rust-rdkafka"
VERSION = "0.39.0"
ABOUT = "The usual client for Rust (crate `rdkafka`), over librdkafka; linked with the librdkafka of the suite above."
# Node 0 on the usual port, three partitions: what its authors run it against, and one test looks for exactly that.
SETTINGS = {"node.id": "0", "num.partitions": "3"}
PORT = 9092
SUBSET = None
NEEDS = ["librdkafka"]
SHIM = Path(__file__).resolve().parents[1] / "shims" / "rust_rdkafka"
PINS = [SHIM / "Cargo.toml", SHIM / "Cargo.lock"]

TEST_TIMEOUT_S = 120


def prepare(cache):
    for name in ("Cargo.toml", "Cargo.lock"):
        shutil.copy(SHIM / name, cache)
    (cache / "src").mkdir()
    (cache / "src" / "lib.rs").touch()
    described = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(described, cwd=cache, check=True, capture_output=True, text=True).stdout)
    (manifest,) = (package["manifest_path"] for package in metadata["packages"] if package["name"] == "rdkafka")
    shutil.copytree(Path(manifest).parent / "tests", cache / "tests")
    library = librdkafka.sources_in(cache.with_name("librdkafka"))
    (cache / "rdkafka.pc").write_text(
        f"Name: librdkafka\nDescription: the one beside\nVersion: {librdkafka.VERSION}\n"
        f"Cflags: -I{library}/src\nLibs: -L{library}/src -lrdkafka\n"
    )
    environment = {**os.environ, "PKG_CONFIG_PATH": str(cache), "CARGO_TARGET_DIR": str(cache / "target")}
    built = subprocess.run(
        ["cargo", "test", "--locked", "--no-run", "--message-format", "json"],
        cwd=cache,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    programs = {m["target"]["name"]: m["executable"] for m in messages if m.get("executable") and m["target"]["kind"] == ["test"]}
    (cache / "programs.json").write_text(json.dumps(programs))


def programs(cx):
    return json.loads((cx.cache / "programs.json").read_text())


def environment(cx):
    return {"LD_LIBRARY_PATH": str(librdkafka.sources_in(cx.cache.with_name("librdkafka")) / "src")}


def tests(cx):
    names = []
    for program, path in sorted(programs(cx).items()):
        listed = subprocess.run(
            [path, "--list", "--format", "terse"],
            env={**os.environ, **environment(cx)},
            check=True,
            capture_output=True,
            text=True,
        )
        names += [f"{program}::{line.removesuffix(': test')}" for line in listed.stdout.splitlines() if line.endswith(": test")]
    return names


def run(cx, names):
    broker = cx.start_broker(port=PORT)
    settings = {**environment(cx), "KAFKA_HOST": broker.bootstrap, "KAFKA_VERSION": cx.kafka_version, "RUST_LOG": "off"}
    for name in names:
        program, test = name.split("::", 1)
        started = time.monotonic()
        command = [programs(cx)[program], "--exact", test, "--test-threads=1"]
        code, output = cx.execute(command, TEST_TIMEOUT_S * cx.patience, log=name.replace("::", "."), environment=settings)
        yield Outcome(name, *verdict(test, code, output, time.monotonic() - started))


def verdict(test, code, output, seconds):
    if code is None:
        return FAIL, seconds, "still running"
    if f"test {test} ... ignored" in output:
        return SKIP, seconds, "marked as ignored"
    if code == 0 and "test result: ok. 1 passed" in output:
        return PASS, seconds, ""
    panics = [line for line in output.splitlines() if "panicked at" in line]
    return FAIL, seconds, panics[0] if panics else f"exit code {code}"
