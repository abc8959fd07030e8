"""The cases: found by importing every module of `cases`, each function marked with `@case`."""

import importlib
import pkgutil
from dataclasses import dataclass, field
from typing import Callable

CASES = {}


@dataclass
class Case:
    name: str
    run: Callable
    settings: dict = field(default_factory=dict)
    # How many nodes it wants, as a cluster of its own; one broker otherwise.
    nodes: int = 1
    # Kills or starves its broker, or looks at its memory: never shared with other cases.
    fresh: bool = False
    timeout_s: int = 120
    # Cases that say something about our server's own promises, which Kafka does not make.
    only_chronik: bool = False


def case(settings=None, fresh=False, nodes=1, timeout_s=120, only_chronik=False):
    """Registers a function as the case `<module>::<function>`; it is called with a `Context`."""

    def register(function):
        name = f"{function.__module__.removeprefix('cases.')}::{function.__name__}"
        CASES[name] = Case(name, function, settings or {}, nodes, fresh or nodes > 1, timeout_s, only_chronik)
        return function

    return register


def load():
    """All cases by name, in the order of their files."""
    import cases

    for module in sorted(info.name for info in pkgutil.iter_modules(cases.__path__)):
        importlib.import_module(f"cases.{module}")
    return CASES
