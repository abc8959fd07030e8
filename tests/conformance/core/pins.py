"""Versions that are pinned elsewhere in the tree."""

import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def kafka_version():
    """The Apache Kafka that everything is compared with."""
    pom = xml.parse(ROOT / "tests" / "kafka" / "pom.xml")
    return pom.find("{*}properties/{*}kafka.version").text
