"""One case in a process of its own: `python tools CASE AGAINST DIRECTORY [PORT]`. Ends with 0 when it passed."""

import importlib
import os
import sys
import traceback
from pathlib import Path

CONFORMANCE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CONFORMANCE), str(CONFORMANCE.parent / "e2e")]

from harness import registry  # noqa: E402
from harness.context import Context  # noqa: E402

MODULES = ("cases.java_tools", "tools.cluster", "tools.groups", "tools.records", "tools.topics")


def load():
    """The cases by name."""
    for module in MODULES:
        importlib.import_module(module)
    return {name.removeprefix("tools."): case for name, case in registry.CASES.items()}


def main(name, against, directory, port=None):
    case = load()[name]
    context = Context(against, directory, case.settings, int(port) if port else None)
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


if __name__ == "__main__":
    main(*sys.argv[1:])
