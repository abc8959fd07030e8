"""What a suite is given: its cache, a directory of this run, brokers, and a way to start programs that ends all they leave behind."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from core import pins
from harness.broker import PATIENCE, Chronik, Kafka

BROKERS = {"chronik": Chronik, "kafka": Kafka}

# What has to end when a run is broken off.
GROUPS = set()
RUNNING = []


class Suite:
    """One run of one suite against one kind of broker."""

    def __init__(self, name, module, against, cache, directory):
        self.name = name
        self.module = module
        self.against = against
        self.cache = cache
        self.directory = Path(directory)
        self._brokers = []
        self._broker = None

    @property
    def broker(self):
        """The broker of this run with the suite's settings, started at first use."""
        if self._broker is None:
            self._broker = self.start_broker()
        return self._broker

    @property
    def bootstrap(self):
        return self.broker.bootstrap

    @property
    def kafka_version(self):
        """Which Apache Kafka is the reference, as clients want to be told it."""
        return pins.kafka_version()

    @property
    def patience(self):
        """How many times as long as usual everything may take: CONFORMANCE_PATIENCE, for a machine that is busy with other things."""
        return PATIENCE

    def start_broker(self, settings=None, port=None, **arguments):
        """Another broker, fresh: the suite's settings, and these over them. Ended with the run unless `stop_broker` is first."""
        directory = self.directory / f"broker-{len(self._brokers)}"
        settings = {**self.module.SETTINGS, **(settings or {})}
        broker = BROKERS[self.against](directory, settings, **arguments)
        broker.port = port or broker.port
        self._brokers.append(broker)
        RUNNING.append(broker)
        return broker.start()

    def stop_broker(self, broker):
        """Ends it and takes its data away."""
        broker.kill()
        broker.remove()

    def execute(self, command, timeout_s, log=None, environment=None, **arguments):
        """Runs a program in a process group of its own. Its exit code, None when its time was over, and all it said."""
        path = self._log(command, log)
        with open(path, "wb") as output, started(command, output, environment, arguments) as process:
            try:
                code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                code = None
        return code, path.read_text(errors="replace")

    def lines(self, command, timeout_s, log=None, environment=None, **arguments):
        """The same, giving its lines while it runs; ends quietly when its time is over."""
        deadline = time.monotonic() + timeout_s
        path = self._log(command, log)
        with (
            open(path, "wb") as output,
            open(path, "rb") as reader,
            started(command, output, environment, arguments) as process,
        ):
            rest = b""
            while True:
                running = process.poll() is None and time.monotonic() < deadline
                rest += reader.read()
                *whole, rest = rest.split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
                if not running:
                    break
                time.sleep(0.2)
            if rest:
                yield rest.decode(errors="replace")

    def _log(self, command, log):
        return self.directory / f"{log or Path(str(command[0])).name}.log"

    def close(self):
        for broker in self._brokers:
            broker.kill()


@contextlib.contextmanager
def started(command, output, environment, arguments):
    """A program that is over, with all it has left behind, when the block is."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
        **arguments,
    )
    GROUPS.add(process)
    try:
        yield process
    finally:
        end_group(process)
        GROUPS.discard(process)


def end_group(process):
    """Ends the program and whatever it has left behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def end_everything():
    """For a run that is broken off: nothing that any suite has started stays behind."""
    for process in list(GROUPS):
        end_group(process)
    for broker in list(RUNNING):
        broker.kill()
