"""Asks Apache Kafka and this server the same random questions, and holds their answers against each other.

Called by `cargo xtask differ`, which prepares what the environment variables name: E2E_SERVER, E2E_KAFKA_JARS.
The same seed asks the same questions.
"""

import argparse
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

from compare import Explanations  # noqa: E402
from duel import Duel  # noqa: E402
from harness.broker import Chronik, Kafka  # noqa: E402

# A topic that is asked for is not made by asking; and no request waits for a minute.
SETTINGS = {
    "auto.create.topics.enable": "false",
    "num.partitions": "2",
    "group.min.session.timeout.ms": "6000",
    # What is written bears a date of its own, long ago.
    "log.retention.ms": "-1",
}
KAFKA_ALONE = {"log.cleaner.enable": "false"}


def main():
    arguments = parse()
    explanations = Explanations(tomllib.loads((HERE / "explained.toml").read_text()))
    root = Path(tempfile.mkdtemp(prefix="chronik-differ-"))
    brokers = [Kafka(root / "kafka", SETTINGS | KAFKA_ALONE), Chronik(root / "chronik", SETTINGS)]
    try:
        for broker in brokers:
            broker.start()
        duel = Duel([broker.port for broker in brokers], explanations, arguments)
        duel.fight()
        for broker in brokers:
            assert broker.running(), f"{broker.kind} is gone:\n{broker.log_tail()}"
        return duel.verdict()
    finally:
        for broker in brokers:
            broker.kill()
        shutil.rmtree(root, ignore_errors=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=3000, metavar="N")
    parser.add_argument("--only", action="append", default=[], metavar="API", help="this API, beside those that make topics and groups")
    parser.add_argument("--all", action="store_true", help="show differences that are explained, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
