"""Brokers as processes: started in a directory of their own, stopped or killed by their process id."""

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from harness import wire
from harness.process import Process

# Below the range that the system takes outgoing ports from, so that no client socket sits on one of them.
# E2E_PORTS (`FIRST-LAST`) moves it, for two runs on one machine that shall not meet.
FIRST_PORT, LAST_PORT = map(int, os.environ.get("E2E_PORTS", "21200-21499").split("-"))
PORTS = range(FIRST_PORT, LAST_PORT + 1)

# How many times as long as usual everything may take, on a machine that is busy with other things.
PATIENCE = int(os.environ.get("CONFORMANCE_PATIENCE", "1"))
READY_TIMEOUT_S = 60.0 * PATIENCE
STOP_TIMEOUT_S = 60.0

# What every case wants unless it says otherwise; names are Kafka's, both brokers take them.
BASE_SETTINGS = {
    "auto.create.topics.enable": "true",
    "num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "100",
    "offsets.topic.num.partitions": "8",
}


class BrokerFailed(AssertionError):
    """The broker did not start, or went away by itself."""


# Held open for as long as this process lives: the ports that it was given.
_reserved = []


def free_port():
    """A port of [`PORTS`] that nobody listens on, and that no other case is given before this process has ended: a broker
    that is killed comes back on its own."""
    for port in random.sample(PORTS, len(PORTS)):
        if reserve(port) and not in_use(port):
            return port
    raise BrokerFailed("no free port")


def reserve(port):
    directory = Path(tempfile.gettempdir()) / "chronik-e2e-ports"
    directory.mkdir(exist_ok=True)
    held = open(directory / str(port), "w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        return False
    _reserved.append(held)
    return True


def in_use(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


class Broker(Process):
    """One broker on loopback. Data outlive `kill` and `stop`; `start` comes back on them, on the same port."""

    def __init__(self, directory, settings=None):
        """Settings go by Kafka's names; `advertised.listeners`, whatever its value, fixes the one listener as what is told."""
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.settings = {**BASE_SETTINGS, **(settings or {})}
        self.process = None
        self.log_path = self.directory / "broker.log"

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    @property
    def node_id(self):
        return int(self.settings.get("node.id", 1))

    @property
    def data_dir(self):
        return self.directory / "data"

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        self.prepare()
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self):
        """Starts the process without waiting for it to serve."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory
            )

    def stop(self):
        """A clean stop, as an operator would ask for it. Returns the exit code."""
        self.ask_to_stop()
        return self.wait_until_stopped()

    def ask_to_stop(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_until_stopped(self):
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BrokerFailed("the broker did not stop on SIGTERM") from None

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise BrokerFailed("no resident size")

    def cpu_seconds(self):
        """Processor time of all threads so far."""
        total_ns = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            total_ns += int((task / "schedstat").read_text().split()[0])
        return total_ns / 1e9

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if not self.running():
                raise BrokerFailed(f"the broker ended with {self.process.returncode}:\n{self.log_tail()}")
            if wire.serves(self.port):
                return
            time.sleep(0.02)
        self.kill()
        raise BrokerFailed(f"the broker is not ready after {READY_TIMEOUT_S} s:\n{self.log_tail()}")

    def log_tail(self, lines=30):
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


# Kafka's names for what our server is told by names of its own.
OWN_NAMES = ("node.id", "advertised.listeners")
# And those that stand at the top of its file under another name.
OWN_KEYS = {
    "default.replication.factor": "replication_factor",
    "min.insync.replicas": "min_insync_replicas",
    "broker.rack": "rack",
}


class Chronik(Broker):
    """Our own server."""

    kind = "chronik"

    def __init__(self, directory, settings=None, binary=None, storage=None, limits=None, replication=None, disk_mib=None):
        """`storage`, `limits` and `replication` are tables of its file. `disk_mib` gives the data directory a small disk of its own (memory, in a mount namespace of the process)."""
        super().__init__(directory, settings)
        self.binary = binary or os.environ["E2E_SERVER"]
        self.http_port = free_port()
        self.tables = {"storage": storage or {}, "limits": limits or {}, "replication": replication or {}}
        self.disk_mib = disk_mib

    def prepare(self):
        lines = [f"node_id = {self.node_id}"]
        lines += [f"{OWN_KEYS[name]} = {toml_value(value)}" for name, value in self.settings.items() if name in OWN_KEYS]
        lines += ["[node.addresses]", f'kafka = "{self.bootstrap}"', f'search = "127.0.0.1:{self.http_port}"', *self._addresses()]
        if "advertised.listeners" in self.settings:
            lines += ["[node.advertise]", f'kafka = "{self.bootstrap}"']
        lines += ["[kafka]"]
        own = {*OWN_NAMES, *OWN_KEYS}
        lines += [f'"{name}" = {toml_value(value)}' for name, value in self.settings.items() if name not in own]
        for table, values in self.tables.items():
            if values:
                lines += [f"[{table}]"] + [f"{name} = {toml_value(value)}" for name, value in values.items()]
        lines += self._peers()
        (self.directory / "chronik.toml").write_text("\n".join(lines) + "\n")

    def _addresses(self):
        """Where it listens beside its port for clients."""
        return []

    def _peers(self):
        """The nodes of its cluster."""
        return []

    def _command(self):
        command = [self.binary, "start", "--config", self.directory / "chronik.toml", "--data-dir", self.data_dir]
        if self.disk_mib is None:
            return command
        self.data_dir.mkdir(exist_ok=True)
        mount = f'mount -t tmpfs -o size={self.disk_mib}m tmpfs "$0" && exec "$@"'
        return ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, self.data_dir, *command]


def toml_value(value):
    """Settings are text, as in a properties file; TOML tells numbers and truth from text."""
    if isinstance(value, bool):
        return str(value).lower()
    if value in ("true", "false") or str(value).lstrip("-").isdigit():
        return str(value)
    return f'"{value}"'


class Kafka(Broker):
    """Apache Kafka, combined broker and controller: what the cases are calibrated on."""

    kind = "kafka"
    CLUSTER_ID = "Y2hyb25pay1yZWZlcmVuYw"

    def __init__(self, directory, settings=None, **_):
        super().__init__(directory, settings)
        self.controller_port = free_port()

    def prepare(self):
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": self._voters(),
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.data_dir),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            **self.settings,
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
        }
        path = self.directory / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        if not self.data_dir.exists():
            formatted = subprocess.run(
                [*java("-Xmx256m"), "kafka.tools.StorageTool", "format", "-t", self.CLUSTER_ID, "-c", path],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if formatted.returncode != 0:
                raise BrokerFailed(f"{self.data_dir} could not be formatted:\n{formatted.stdout}")

    def _voters(self):
        return f"{self.node_id}@127.0.0.1:{self.controller_port}"

    def _command(self):
        return [*java("-Xmx768m"), "kafka.Kafka", self.directory / "server.properties"]


def java(*options):
    """The start of a command line for a class of Apache Kafka's."""
    here = Path(__file__).resolve().parents[2]
    return [
        "java",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        *options,
        f"-Dlog4j2.configurationFile={here / 'kafka' / 'log4j2.properties'}",
        "-cp",
        os.environ["E2E_KAFKA_JARS"] + "/*",
    ]
