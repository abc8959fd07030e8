"""Toxiproxy: a process that stands between nodes and lets their connections stall, slow down, and break."""

import json
import os
import subprocess
import urllib.error
import urllib.request

from harness.broker import free_port
from harness.context import eventually
from harness.process import Process


class Toxiproxy(Process):
    """Proxies by name; each carries what comes to `listen` on to `upstream`. Bytes that flow as the dialling side sends them go
    upstream, answers go downstream."""

    def __init__(self, directory, name):
        self.port = free_port()
        self.log_path = directory / f"toxiproxy-{name}.log"
        self.process = None

    def start(self):
        command = [os.environ["E2E_TOXIPROXY"], "-host", "127.0.0.1", "-port", str(self.port)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(self.serves, "Toxiproxy serves")
        return self

    def serves(self):
        assert self.process.poll() is None, f"Toxiproxy ended:\n{self.log_path.read_text()}"
        try:
            self.ask("GET", "/version")
            return True
        except OSError:
            return False

    def add(self, name, listen, upstream):
        self.ask("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream})

    def toxic(self, proxy, stream, kind, **attributes):
        """Does something to one direction of all connections of a proxy, those to come too."""
        body = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "attributes": attributes}
        self.ask("POST", f"/proxies/{proxy}/toxics", body)

    def enable(self, proxy, enabled):
        """Who is not enabled refuses connections, and ends those that there are."""
        self.ask("POST", f"/proxies/{proxy}", {"enabled": enabled})

    def reset(self):
        """All proxies are enabled, and do nothing to what they carry."""
        self.ask("POST", "/reset")

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None
