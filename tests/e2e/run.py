"""Runs the end-to-end cases: each in a process group of its own, against a fresh broker, two at a time.

Called by `cargo xtask test`, which prepares everything that the environment variables name:
E2E_SERVER, E2E_KAFKA_JARS, E2E_GO_CASES, E2E_TOXIPROXY.
"""

import argparse
import concurrent.futures
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import registry  # noqa: E402
from harness.context import BROKERS, Context  # noqa: E402


def main():
    arguments = parse()
    cases = select(registry.load(), arguments)
    if arguments.list:
        print("\n".join(case.name for case in cases))
        return 0
    if arguments.child:
        return run_child(registry.CASES[arguments.child], arguments)
    return Run(arguments, cases).all()


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", choices=BROKERS, default="chronik")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="cases whose name contains this")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", metavar="DIR", help="where logs and data of failed cases are kept")
    parser.add_argument("--show", action="store_true", help="also what cases print that pass")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def select(cases, arguments):
    chosen = [case for name, case in cases.items() if not arguments.only or any(part in name for part in arguments.only)]
    if arguments.against == "kafka":
        chosen = [case for case in chosen if not case.only_chronik]
    return chosen


def run_child(case, arguments):
    """One case, in its own process, which ends here: 0 when it passed."""
    context = Context(arguments.against, arguments.directory, case.settings, arguments.port, case.nodes)
    code = 0
    try:
        case.run(context)
    except BaseException:
        traceback.print_exc()
        code = 1
    context.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not `sys.exit`: the background threads of a client may not keep a case that is over.
    os._exit(code)


class Run:
    def __init__(self, arguments, cases):
        self.arguments = arguments
        self.cases = cases
        self.root = Path(tempfile.mkdtemp(prefix="chronik-e2e-"))
        self.keep = Path(arguments.keep) if arguments.keep else None
        self.shared = {}
        self.lock = threading.Lock()

    def all(self):
        started = time.monotonic()
        try:
            with concurrent.futures.ThreadPoolExecutor(self.arguments.jobs) as pool:
                outcomes = list(pool.map(self.one, self.cases))
        finally:
            for broker in self.shared.values():
                broker.kill()
            shutil.rmtree(self.root, ignore_errors=True)
        passed = sum(outcomes)
        lost = len(outcomes) - passed
        for case, good in zip(self.cases, outcomes):
            if not good:
                print(f"failed: {case.name}")
        print(f"end-to-end against {self.arguments.against}: {time.monotonic() - started:.0f} s", flush=True)
        print(f"{passed} passed, {lost} failed", flush=True)
        return 0 if lost == 0 and passed > 0 else 1

    def one(self, case):
        directory = self.root / case.name.replace("::", "-")
        directory.mkdir()
        started = time.monotonic()
        good, output = self.in_child(case, directory)
        verdict = "ok" if good else "FAILED"
        if good:
            # librdkafka tells of every connection that it loses.
            output = "\n".join(line for line in output.splitlines() if self.arguments.show and not line.startswith("%"))
        shown = f"\n{indent(output)}" if output else ""
        self.say(f"{case.name} ... {verdict} ({time.monotonic() - started:.1f} s){shown}")
        if not good:
            self.keep_evidence(case, directory, output)
        shutil.rmtree(directory, ignore_errors=True)
        return good

    def in_child(self, case, directory):
        command = [sys.executable, __file__, "--against", self.arguments.against, "--child", case.name]
        command += ["--directory", str(directory)]
        if self.arguments.against == "kafka" and not case.fresh:
            command += ["--port", str(self.shared_broker(case.settings).port)]
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            output, _ = child.communicate(timeout=case.timeout_s)
            good = child.returncode == 0
        except subprocess.TimeoutExpired:
            good, output = False, f"still running after {case.timeout_s} s".encode()
        end_group(child)
        return good, output.decode(errors="replace")

    def shared_broker(self, settings):
        """A JVM takes seconds to start: Kafka is started once for all cases that want the same settings."""
        key = tuple(sorted(settings.items()))
        with self.lock:
            if key not in self.shared:
                directory = self.root / f"shared-{len(self.shared)}"
                self.shared[key] = BROKERS["kafka"](directory, settings).start()
            return self.shared[key]

    def keep_evidence(self, case, directory, output):
        if self.keep is None:
            return
        target = self.keep / directory.name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        (target / "output.txt").write_text(output)
        for log in directory.rglob("*"):
            if log.is_file() and log.suffix in (".log", ".txt", ".toml", ".properties", ".jsonl") and "data" not in log.parts:
                shutil.copy(log, target / "-".join(log.relative_to(directory).parts))
        self.say(f"    kept in {target}")

    def say(self, text):
        with self.lock:
            print(text, flush=True)


def end_group(child):
    """Ends whatever the case has left behind: its process group is its own."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def indent(text, lines=80):
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


if __name__ == "__main__":
    sys.exit(main())
