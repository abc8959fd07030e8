"""A load by `chronik-server bench`, which is quick, and a process of its own."""

import json
import os
import subprocess


def bench(bootstrap, *arguments, timeout_s=100):
    """The document that a run prints."""
    command = [os.environ["E2E_SERVER"], "bench", *map(str, arguments), "-b", bootstrap, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)["results"][0]
