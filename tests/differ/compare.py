"""Two answers held against each other: what differs, and which differences are explained."""

import fnmatch
import hashlib
import json
import struct
import uuid
from dataclasses import dataclass

# What only one run can have, and words, which are each server's own.
VARYING = {"throttle_time_ms", "host", "port", "cluster_id", "rack", "node_endpoints", "log_dir", "total_bytes", "usable_bytes",
           "partition_size", "partition_offset_lag", "last_fetch_timestamp", "last_caught_up_timestamp", "finalized_features_epoch",
           "finalized_features", "supported_features", "documentation", "unknown_tags"}
# Of these only matters whether there is one.
WORDS = {"error_message", "batch_index_error_message"}
# What tells the members of a list apart.
IDENTITY = ("name", "topic", "topic_name", "topic_id", "partition_index", "partition", "group_id", "resource_type", "resource_name",
            "member_id", "key", "node_id", "broker_id", "api_key", "producer_id", "index")
# No such partition, and so no answer about one.
LOG_APPEND_TIME = 8
# What a leader stamps upon records is later than all dates that they bear themselves.
LONG_AGO_MS = 1_750_000_000_000


@dataclass(frozen=True)
class Difference:
    api: str
    version: int
    path: str
    kafka: str
    here: str
    # What tells the parts of lists apart that it lies in, and their errors: `resource_type=2`, `error_code=87`.
    of: tuple = ()

    @property
    def signature(self):
        """Without the version, and without numbers that are nobody's fault."""
        return self.api, self.path, self.kafka, self.here

    def __str__(self):
        return f"{self.api} v{self.version} {self.path}: Kafka says {self.kafka}, this server {self.here}"


class Explanations:
    """What is known to differ, and why: `explained.toml`."""

    def __init__(self, table):
        self.entries = table.get("difference", [])
        self.used = set()
        for entry in self.entries:
            assert entry["why"].strip() and entry["api"] and entry["path"], entry

    def explains(self, difference):
        for number, entry in enumerate(self.entries):
            if self.fits(entry, difference):
                self.used.add(number)
                return True
        return False

    @staticmethod
    def fits(entry, difference):
        first, _, last = str(entry.get("versions", "0-99")).partition("-")
        return (
            fnmatch.fnmatchcase(difference.api, entry["api"])
            and int(first) <= difference.version <= int(last or first)
            and fnmatch.fnmatchcase(difference.path, entry["path"].replace("[]", "[[]]"))
            and ("of" not in entry or any(fnmatch.fnmatchcase(part, entry["of"]) for part in difference.of))
            and fnmatch.fnmatchcase(difference.kafka, str(entry.get("kafka", "*")))
            and fnmatch.fnmatchcase(difference.here, str(entry.get("here", "*")))
        )


def normal(value, names, key=""):
    """An answer as both would give it: without what varies, with the names of what a broker gave out itself."""
    match value:
        case dict():
            return {name: normal(part, names, name) for name, part in value.items() if name not in VARYING}
        case list() | tuple():
            return merged([normal(part, names, key) for part in value])
        case _ if key == "records":
            return batches(bytes(value or b""), names) if value is not None else None
        case _ if key in WORDS:
            return None if value is None else "some words"
        case uuid.UUID():
            return names.get(value, str(value))
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case str():
            return names.get(value, value)
        case int() if key == "log_append_time_ms" and value >= 0 or key in ("timestamp", "last_timestamp") and value > LONG_AGO_MS:
            return "the leader's"
        case int() if key in ("producer_id", "session_id"):
            return names.get((key, value), value)
    return value


def merged(parts):
    """Topics that come more than once, as in the order of a fetch session: each with all its partitions."""
    found = {}
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("partitions"), list):
            return parts
        rest = {name: value for name, value in part.items() if name != "partitions"}
        found.setdefault(json.dumps(rest, sort_keys=True, default=str), {**rest, "partitions": []})["partitions"].extend(part["partitions"])
    return list(found.values())


def batches(raw, names):
    """Record batches field by field; what a leader stamps upon them is left out."""
    found = []
    while len(raw) >= 61:
        base, length = struct.unpack_from(">qi", raw)
        attributes, delta, first, last, producer, epoch, sequence, count = struct.unpack_from(">hiqqqhii", raw, 21)
        whole = 12 + length <= len(raw)
        stamped = attributes & LOG_APPEND_TIME
        found.append({
            "base_offset": base, "last_offset_delta": delta, "attributes": attributes, "whole": whole,
            "times": "the leader's" if stamped else [first, last], "producer_id": names.get(("producer_id", producer), producer),
            "producer_epoch": epoch, "base_sequence": sequence, "count": count,
            "records": hashlib.sha256(raw[61 : 12 + length]).hexdigest()[:12] if whole else "cut",
        })
        raw = raw[12 + length :]
    return found


def differences(api, version, kafka, here):
    return [Difference(api, version, path, short(left), short(right), of) for path, of, left, right in walk("", (), kafka, here)]


def walk(path, of, kafka, here):
    if isinstance(kafka, dict) and isinstance(here, dict):
        yield from walk_struct(path, of, kafka, here)
    elif isinstance(kafka, list) and isinstance(here, list):
        yield from walk_list(path, of, kafka, here)
    elif kafka != here:
        yield path, of, kafka, here


def walk_struct(path, of, kafka, here):
    errors = [name for name in ("error_code", "config_error_code", "topic_config_error_code") if name in kafka]
    wrong = [name for name in errors if kafka[name] != here.get(name)]
    # Where one is an error and the other is not, or another, the rest follows.
    for name in wrong or kafka.keys() | here.keys():
        inner = f"{path}.{name}" if path else name
        yield from walk(inner, of, kafka.get(name), here.get(name))


def walk_list(path, of, kafka, here):
    kafka, here = keyed(kafka), keyed(here)
    for key in sorted(kafka.keys() | here.keys()):
        within = (*of, *key[:-1], *same_error(kafka.get(key), here.get(key)))
        if key not in here:
            yield f"{path}[]", within, shown(kafka[key]), "nothing"
        elif key not in kafka:
            yield f"{path}[]", within, "nothing", shown(here[key])
        else:
            yield from walk(f"{path}[]", within, kafka[key], here[key])


def same_error(kafka, here):
    """The error of a part of a list, where both say the same."""
    errors = [part.get("error_code") if isinstance(part, dict) else None for part in (kafka, here)]
    return [f"error_code={errors[0]}"] if errors[0] == errors[1] is not None else []


def keyed(parts):
    """The parts of a list by what tells them apart, and by their number where nothing does."""
    found = {}
    for part in sorted(parts, key=lambda part: json.dumps(part, sort_keys=True, default=str)):
        key = [f"{name}={part[name]}" for name in IDENTITY if name in part] if isinstance(part, dict) else [str(part)]
        number = 0
        while (*key, str(number)) in found:
            number += 1
        found[(*key, str(number))] = part
    return found


def shown(part):
    """A part of a list that only one has: what it is, not all it says."""
    if isinstance(part, dict):
        return {name: value for name, value in part.items() if name in IDENTITY or name == "error_code"}
    return part


def short(value):
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 160 else text[:159] + "…"
