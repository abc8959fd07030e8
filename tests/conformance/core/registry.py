"""The suites: every module of `suites` is one.

A suite module has
  TITLE, VERSION, ABOUT   what it is, which version is pinned, one sentence for the page
  SETTINGS                broker settings, Kafka's names, over the ones that all brokers here start with
  SUBSET                  patterns of the tests that the short run takes; None for all, an empty list for a suite that is left out
  PINS                    further files that `prepare` depends on (optional)
  NEEDS                   suites whose caches `prepare` and `run` use (optional)
  prepare(cache)          fetches and builds below `cache`, which is empty then; done anew when the version, the
                          function, a constant that it names or a pin changes
  tests(cx)               names of all its tests, always the same
  run(cx, names)          yields an `Outcome` for each, as they come
"""

import collections
import hashlib
import importlib
import inspect
import os
import pkgutil
import shutil
import threading
from pathlib import Path

from core.lists import matches
from core.outcome import PASS

# Suites are prepared side by side, each once.
PREPARING = collections.defaultdict(threading.Lock)


def load():
    """All suites by name."""
    import suites

    names = sorted(info.name for info in pkgutil.iter_modules(suites.__path__))
    return {name.replace("_", "-"): importlib.import_module(f"suites.{name}") for name in names}


def cache_of(name):
    """Where the suite is fetched and built: outside the source tree, kept from run to run."""
    return Path(os.environ["CONFORMANCE_CACHE"]) / name


def prepare(name, suites, say):
    """Makes the suite ready, and those it needs, unless they are, from the same pins. Its cache."""
    suite = suites[name]
    for needed in getattr(suite, "NEEDS", []):
        prepare(needed, suites, say)
    with PREPARING[name]:
        return prepare_one(name, suite, say)


def prepare_one(name, suite, say):
    cache = cache_of(name)
    wanted = stamp(suite)
    made_from = cache.with_suffix(".made-from")
    if cache.exists() and made_from.exists() and made_from.read_text() == wanted:
        return cache
    say(f"{name}: fetching and building {suite.VERSION}")
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    suite.prepare(cache)
    made_from.write_text(wanted)
    return cache


def stamp(suite):
    """Of all that `prepare` is made of: its text, the constants it names, and the pins."""
    names = suite.prepare.__code__.co_names
    constants = [(name, getattr(suite, name)) for name in names if name.isupper() and hasattr(suite, name)]
    digest = hashlib.sha256(repr((suite.VERSION, inspect.getsource(suite.prepare), constants)).encode())
    for pin in getattr(suite, "PINS", []):
        digest.update(Path(pin).read_bytes())
    return digest.hexdigest()


def subset(suite, names, on_ours):
    """What the short run takes of these names: of its patterns, what passes."""
    chosen = names if suite.SUBSET is None else [name for name in names if any(matches(part, name) for part in suite.SUBSET)]
    return [name for name in chosen if on_ours.get(name) == PASS]
